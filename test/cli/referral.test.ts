/** `ashlar referral …` with a real daemon: what a person sees, and what scripts rely on. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Daemon, runProgram } from '../rig/daemon.js';

let daemon: Daemon;
before(async () => {
  daemon = await Daemon.start({ poolFile: null, demoSize: null });
});
after(async () => {
  await daemon[Symbol.asyncDispose]();
});

/** Exit code, and what it printed; blanks as one, the time as a word. */
async function ashlar(...args: string[]): Promise<string[]> {
  const { code, out, err } = await runProgram(['referral', ...args, '--socket', daemon.socket]);
  const lines = `${out}${err}`
    .replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, 'TIME')
    .trimEnd()
    .split('\n')
    .map((line) => line.trim().replaceAll(/ +/g, ' '));
  return [String(code), ...lines];
}

test('referral: added, listed, removed: as a person sees it', async () => {
  assert.deepEqual(await ashlar('list'), [
    '0',
    'No referrals. Tell hosts of another node: ashlar referral add ADDRESS',
  ]);
  assert.deepEqual(await ashlar('add', '192.0.2.7'), [
    '0',
    'Hosts that ask this node are told of 192.0.2.7:8009.',
  ]);
  assert.deepEqual(await ashlar('add', '[2001:DB8:0::7]:4420', '--portal-id', '3'), [
    '0',
    'Hosts that ask this node are told of [2001:db8::7]:4420.',
  ]);
  assert.deepEqual(await ashlar('list'), [
    '0',
    'ADDRESS PORT PORTAL SINCE',
    '192.0.2.7 8009 TIME',
    '2001:db8::7 4420 3 TIME',
  ]);
  assert.equal((await ashlar('add', '192.0.2.7', '--if-missing'))[0], '0');
  assert.deepEqual(await ashlar('remove', '[2001:db8::7]:4420'), [
    '0',
    'Hosts are not told of [2001:db8::7]:4420 any more.',
  ]);
  assert.equal((await ashlar('remove', '192.0.2.7'))[0], '0');
  assert.equal((await ashlar('remove', '192.0.2.7', '--if-exists'))[0], '0');
});

test('referral: refused: what was given, why, and what to do', async () => {
  await ashlar('add', '192.0.2.8');
  const own = `127.0.0.1:${daemon.port}`;
  const cases: [string[], string, RegExp][] = [
    [['add', 'node2'], '2', /referral 'node2' is not an IP address and port; write for example/],
    [['add', '192.0.2.7:0'], '2', /port from 1 to 65535/],
    [['add', '192.0.2.7:70000'], '2', /port above 65535/],
    [['add', '0.0.0.0'], '2', /'0\.0\.0\.0' port 8009 stands for every address/],
    [['add', 'fe80::1'], '2', /link-local/],
    [['add', 'fe80::1%eth0'], '2', /has a zone/],
    [['add', '224.0.0.251'], '2', /is a multicast address/],
    [['add', own], '2', /is a portal of this node; refer hosts to another/],
    [['add', '192.0.2.7', '--portal-id', '65536'], '2', /whole number from 0 to 65535/],
    [['add', '192.0.2.8'], '4', /hosts are referred to 192\.0\.2\.8:8009 already/],
    [['remove', '192.0.2.9'], '3', /not referred to 192\.0\.2\.9:8009.*referral list/],
  ];
  for (const [args, code, message] of cases) {
    const [exitCode, ...lines] = await ashlar(...args);
    assert.equal(exitCode, code, args.join(' '));
    assert.equal(lines.length, 1, lines.join('\n'));
    assert.match(lines[0] ?? '', message);
  }
});
