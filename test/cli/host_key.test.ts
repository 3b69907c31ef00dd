/** `ashlar host key …` with a real daemon: what a person sees, and what scripts rely on. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { after, before, test } from 'node:test';
import { Daemon, runProgram } from '../rig/daemon.js';

const alice = 'nqn.2026-01.test:alice';

let daemon: Daemon;
before(async () => {
  daemon = await Daemon.start({ poolFile: 'pool', demoSize: null });
  await runProgram(['host', 'add', alice, '--socket', daemon.socket]);
});
after(async () => {
  await daemon[Symbol.asyncDispose]();
});

/** Exit code, and what it printed; blanks as one, the time as a word. */
async function ashlar(...args: string[]): Promise<string[]> {
  const { code, out, err } = await runProgram(['host', 'key', ...args, '--socket', daemon.socket]);
  const lines = `${out}${err}`
    .replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, 'TIME')
    .trimEnd()
    .split('\n')
    .map((line) => line.trim().replaceAll(/ +/g, ' '));
  return [String(code), ...lines];
}

const fingerprint = (secret: string) =>
  createHash('sha256').update(secret).digest('hex').slice(0, 12);

test('host key: generated, set, listed, removed: shown once, and in no list', async () => {
  assert.deepEqual(await ashlar('list'), [
    '0',
    'No keys. Make a host authenticate: ashlar host key generate HOSTNQN',
  ]);
  const [code, secret = '', , said] = await ashlar('generate', alice, '--hash', 'sha512');
  assert.equal(code, '0');
  assert.match(secret, /^DHHC-1:03:[A-Za-z0-9+/]+=*:$/);
  const first = fingerprint(secret);
  assert.equal(said, `That is the host key ${first} of '${alice}'. It is not shown again.`);
  const other = 'DHHC-1:00:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+KfiaR:';
  const file = daemon.workspace.file('key.txt');
  fs.writeFileSync(file, `${other}\n`);
  const second = fingerprint(other);
  assert.deepEqual(await ashlar('set', alice, '--file', file), [
    '0',
    `The host key ${second} of '${alice}' is set.`,
  ]);
  const list = await ashlar('list');
  assert.deepEqual(list, [
    '0',
    'HOST NQN TENANT OF KEY HASH BYTES SINCE',
    `${alice} default host ${second} none 32 TIME`,
    `${alice} default host ${first} sha512 64 TIME`,
  ]);
  assert.deepEqual(await ashlar('remove', alice, first), [
    '0',
    `Key ${first} of '${alice}' is not good any more.`,
  ]);
  assert.equal((await ashlar('remove', alice, first))[0], '3');
  assert.equal((await ashlar('remove', alice, first, '--if-exists'))[0], '0');
  assert.equal(fs.statSync(daemon.workspace.file('pool.key')).mode & 0o777, 0o600);
  assert(!daemon.log.includes(other.slice(10, 30)));
});

test('host key: refused: what was given, why, and what to do', async () => {
  const file = daemon.workspace.file('wrong.txt');
  fs.writeFileSync(file, 'hunter2');
  const long = daemon.workspace.file('long.txt');
  fs.writeFileSync(long, 'hunter2'.repeat(100));
  const empty = daemon.workspace.file('empty.txt');
  fs.writeFileSync(empty, '\n');
  const cases: [string[], string, RegExp][] = [
    [['set', alice, '--file', file], '2', /the host key of nqn\S+ is not of the form 'DHHC-1:hh:/],
    [['set', alice, '--file', long], '2', /is not of the form/],
    [['set', alice, '--file', empty], '2', /no key was given/],
    [['generate', 'nqn.2026-01.test:eve'], '3', /not known to tenant 'default'.*host add/],
    [['generate', 'eve'], '2', /'eve'/],
    [['generate', alice, '--hash', 'md5'], '2', /sha256, sha384, sha512/],
    [['remove', alice, '000000000000'], '3', /has no key 000000000000; "ashlar host key list"/],
  ];
  for (const [args, code, message] of cases) {
    const [exitCode, ...lines] = await ashlar(...args);
    assert.equal(exitCode, code, `${args.join(' ')}: ${lines.join('\n')}`);
    assert.match(lines.join(' '), message);
    assert(!lines.join('\n').includes('hunter2'));
  }
});
