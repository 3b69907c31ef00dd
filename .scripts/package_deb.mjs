// npm run package:deb: a Debian package, by Debian's own tool (debhelper). What goes in is built
// and laid out here (package_tree.mjs); how it is installed is said in deploy/debian.
//
// Usage: node .scripts/package_deb.mjs [--arch amd64|arm64] [--revision N] [--out FOLDER]
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { manifest, thirdPartyNotices, writeTree } from './package_tree.mjs';
import { announce, cache, findProgram, root, run, runMain, SetupError } from './steps.mjs';

/** Debian's names for Node's architectures. */
const architectures = { amd64: 'x64', arm64: 'arm64' };
const own = process.arch === 'x64' ? 'amd64' : process.arch;

/** Where Debian's shells look for completions, below /usr/share. */
const completions = {
  bash: 'bash-completion/completions/ashlar',
  zsh: 'zsh/vendor-completions/_ashlar',
  fish: 'fish/vendor_completions.d/ashlar.fish',
};

/** Of the newest commit, so that the same sources give the same package. */
async function sourceDate() {
  const asked = process.env.SOURCE_DATE_EPOCH;
  if (asked !== undefined) return Number(asked);
  return Number((await run('git', ['log', '-1', '--format=%ct']).catch(() => '0')).trim());
}

function writeChangelog(file, version, seconds) {
  const date = new Date(seconds * 1000).toUTCString().replace('GMT', '+0000');
  const text =
    `ashlar (${version}) unstable; urgency=medium\n\n  * As in the repository.\n\n` +
    ` -- Ashlar maintainers <maintainers@ashlar.dev>  ${date}\n`;
  fs.writeFileSync(file, text);
}

async function layOut(folder, version, arch, seconds) {
  const at = (name) => path.join(folder, name);
  const copy = (from, to) => {
    fs.mkdirSync(path.dirname(at(to)), { recursive: true });
    fs.copyFileSync(path.join(root, from), at(to));
  };
  fs.rmSync(folder, { recursive: true, force: true });
  await writeTree(at('tree/usr/lib/ashlar'), architectures[arch], '/usr/bin/node');
  fs.cpSync(path.join(root, 'deploy/debian'), at('debian'), { recursive: true });
  writeChangelog(at('debian/changelog'), version, seconds);
  copy('deploy/systemd/ashlar.service', 'debian/ashlar.service');
  copy('deploy/debian/ashlar.toml', 'tree/etc/ashlar/ashlar.toml');
  fs.rmSync(at('debian/ashlar.toml'));
  copy('deploy/systemd/block-device.conf', 'examples/block-device.conf');
  for (const name of ['README.md', 'docs/performance.md', 'docs/api.md', 'docs/cli.md']) {
    copy(name, `docs/${path.basename(name)}`);
  }
  fs.writeFileSync(at('docs/third-party.txt'), thirdPartyNotices());
  const program = path.join(root, 'dist/program/main.js');
  for (const [shell, place] of Object.entries(completions)) {
    const file = at(`tree/usr/share/${place}`);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, await run(process.execPath, [program, 'completion', shell]));
  }
  const page = await run(process.execPath, [program, 'help', 'config']);
  fs.writeFileSync(at('examples/ashlar.toml'), page.slice(page.indexOf('\n\n') + 2));
}

/** Resolves to the package's path. */
export async function packageDeb({ arch = own, revision = '1', out = 'packages' } = {}) {
  if (architectures[arch] === undefined) {
    throw new SetupError(`--arch '${arch}' is not one of ${Object.keys(architectures)}`);
  }
  for (const program of ['dh', 'dpkg-buildpackage']) {
    if (findProgram(program) === null) {
      throw new SetupError(
        "packaging needs Debian's tools; as root, run: " +
          'apt-get install --no-install-recommends debhelper dpkg-dev',
      );
    }
  }
  const version = `${manifest().version}-${revision}`;
  const place = path.join(cache, 'package', arch);
  const folder = path.join(place, 'ashlar');
  const seconds = await sourceDate();
  fs.rmSync(place, { recursive: true, force: true });
  await layOut(folder, version, arch, seconds);
  const name = `ashlar_${version}_${arch}.deb`;
  await announce(`packaging ${name}`, () =>
    run('dpkg-buildpackage', ['-b', '-us', '-uc', '-d', '--no-check-builddeps', `-a${arch}`], {
      cwd: folder,
      env: { SOURCE_DATE_EPOCH: String(seconds), DEB_BUILD_OPTIONS: 'nocheck noddebs' },
    }),
  );
  const target = path.resolve(root, out, name);
  fs.mkdirSync(path.dirname(target), { recursive: true });
  fs.copyFileSync(path.join(place, name), target);
  return target;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await runMain(async () => {
    const { values } = parseArgs({
      options: {
        arch: { type: 'string' },
        revision: { type: 'string' },
        out: { type: 'string' },
      },
    });
    const file = await packageDeb(values);
    process.stdout.write(`${path.relative(root, file)}\n`);
  });
}
