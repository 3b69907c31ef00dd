// promtool, by which the tests check alert rules and scrapes: Debian's, unpacked below .cache and never
// installed, since the package starts a Prometheus where it is.
import fs from 'node:fs';
import path from 'node:path';
import { cache, digest, findProgram, root, run, stamped } from './steps.mjs';

const folder = path.join(cache, 'prometheus');
const unpacked = path.join(folder, 'promtool');
/** Why there is none, for the tests that skip. */
const reason = path.join(folder, 'missing');

async function download() {
  const partial = path.join(folder, 'partial');
  fs.rmSync(folder, { recursive: true, force: true });
  fs.mkdirSync(partial, { recursive: true });
  // The sandbox user of apt may not write here; the download needs no privilege at all.
  const fetch = ['-q', '-o', 'APT::Sandbox::User=', 'download', 'prometheus'];
  await run('apt-get', fetch, { cwd: partial }).catch(async (error) => {
    if (process.getuid() !== 0) throw error;
    // Its lists may be of another day, or none.
    await run('apt-get', ['-q', 'update']);
    await run('apt-get', fetch, { cwd: partial });
  });
  const tree = path.join(partial, 'tree');
  for (const file of fs.readdirSync(partial)) {
    await run('dpkg-deb', ['-x', path.join(partial, file), tree]);
  }
  fs.renameSync(path.join(tree, 'usr/bin/promtool'), unpacked);
  fs.rmSync(partial, { recursive: true });
}

/** Where there is none to be had, the tests that need it say so and skip. */
export async function preparePromtool() {
  if (findProgram('promtool') !== null) return;
  try {
    await stamped({
      name: 'promtool',
      what: 'fetching promtool',
      key: digest(['.scripts/promtool.mjs']),
      outputs: [path.relative(root, unpacked)],
      work: download,
    });
  } catch (error) {
    fs.mkdirSync(folder, { recursive: true });
    fs.writeFileSync(reason, `${error.message.trim().split('\n').at(-1)}\n`);
  }
}
