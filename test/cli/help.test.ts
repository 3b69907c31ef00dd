/**
 * Every page of help, against the page that a person has read and found good. After a wanted change
 * run this with ASHLAR_GOLDEN=write, and read the difference.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { parseConfigFile } from '../../lib/config/file.js';
import { runProgram } from '../rig/daemon.js';

const golden = path.join(process.cwd(), 'test/cli/golden');

const pages: readonly string[] = [
  '--help',
  'serve --help',
  'status --help',
  'top --help',
  'explain --help',
  'explain volume --help',
  'connect-info --help',
  'portal --help',
  'portal add --help',
  'portal list --help',
  'portal remove --help',
  'portal drain --help',
  'portal resume --help',
  'ana --help',
  'ana set --help',
  'ana list --help',
  'controller list --help',
  'volume --help',
  'volume create --help',
  'volume list --help',
  'volume show --help',
  'volume resize --help',
  'volume rename --help',
  'volume delete --help',
  'volume clone --help',
  'volume reserve --help',
  'volume export --help',
  'volume import --help',
  'volume imports --help',
  'snapshot --help',
  'snapshot create --help',
  'snapshot list --help',
  'snapshot show --help',
  'snapshot diff --help',
  'snapshot rollback --help',
  'snapshot delete --help',
  'schedule --help',
  'schedule create --help',
  'schedule list --help',
  'schedule show --help',
  'schedule change --help',
  'schedule enable --help',
  'schedule disable --help',
  'schedule run --help',
  'schedule delete --help',
  'grant --help',
  'grant add --help',
  'grant list --help',
  'grant remove --help',
  'host --help',
  'host add --help',
  'host list --help',
  'host remove --help',
  'referral --help',
  'referral add --help',
  'referral list --help',
  'referral remove --help',
  'pool --help',
  'pool create --help',
  'pool open --help',
  'pool status --help',
  'pool check --help',
  'pool dump --help',
  'bench --help',
  'bench run --help',
  'bench report --help',
  'bench compare --help',
  'bench fio --help',
  'policy --help',
  'policy create --help',
  'policy set --help',
  'policy list --help',
  'policy show --help',
  'policy delete --help',
  'volume limit --help',
  'event list --help',
  'reservation clear --help',
  'completion --help',
  'doctor --help',
  'support-bundle --help',
  'pool device --help',
  'pool device add --help',
  'pool device attach --help',
  'pool device list --help',
  'tenant --help',
  'tenant show --help',
  'tenant statistics --help',
  'token --help',
  'token create --help',
  'token show --help',
  'whoami --help',
  'job --help',
  'job list --help',
  'job show --help',
  'job watch --help',
  'job delete --help',
  'event --help',
  'event show --help',
  'volume statistics --help',
  'snapshot group --help',
  'snapshot group list --help',
  'snapshot group show --help',
  'snapshot group delete --help',
  'host show --help',
  'grant show --help',
  'portal show --help',
  'pool show --help',
  'pool list --help',
  'pool device show --help',
  'host psk show --help',
  'host key show --help',
  'referral show --help',
  'reservation --help',
  'reservation list --help',
  'reservation show --help',
  'help sizes',
  'help exit-codes',
  'help config',
];

/** Two at a time: two processors. */
async function mapInPairs<T, R>(all: readonly T[], work: (one: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let index = 0; index < all.length; index += 2) {
    results.push(...(await Promise.all(all.slice(index, index + 2).map(work))));
  }
  return results;
}

test('help: every page: as it was read and found good, no line over 90 columns', async () => {
  const shown: string[] = [];
  const runs = await mapInPairs(pages, (page) => runProgram(page.split(' ')));
  for (const [index, page] of pages.entries()) {
    const { code, out, err } = runs[index] ?? assert.fail('ran');
    assert.equal(code, 0, page);
    assert.equal(err, '', page);
    for (const line of out.split('\n')) assert.ok([...line].length <= 90, `${page}: ${line}`);
    shown.push(`$ ashlar ${page}\n${out}`);
  }
  const file = path.join(golden, 'help.txt');
  const text = shown.join('\n');
  if (process.env.ASHLAR_GOLDEN === 'write') {
    fs.mkdirSync(golden, { recursive: true });
    fs.writeFileSync(file, text);
  }
  assert.equal(text, fs.readFileSync(file, 'utf8'));
});

test('help: `help volume create` and `volume create --help`: the same page', async () => {
  const [one, other] = await Promise.all([
    runProgram(['help', 'volume', 'create']),
    runProgram(['volume', 'create', '--help']),
  ]);
  assert.equal(one.out, other.out);
});

test('help: the configuration page: a file that serve accepts', async () => {
  const { out } = await runProgram(['help', 'config']);
  const toml = out.slice(out.indexOf('\n\n'));
  assert.doesNotThrow(() => parseConfigFile(toml, 'help'));
});

test('help: a group without a command: its help on stderr, exit code 2', async () => {
  for (const args of [[], ['volume'], ['pool']]) {
    const { code, out, err } = await runProgram(args);
    assert.equal(code, 2);
    assert.equal(out, '');
    assert.match(err, /^Usage: ashlar/);
  }
});

test('version: the one of the package', async () => {
  const { out, code } = await runProgram(['--version']);
  const manifest: { version: string } = JSON.parse(fs.readFileSync('package.json', 'utf8'));
  assert.equal(out, `${manifest.version}\n`);
  assert.equal(code, 0);
});
