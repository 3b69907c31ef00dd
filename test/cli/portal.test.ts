/** `ashlar portal …` and `ashlar ana …` with a real daemon: what a person sees, and scripts. */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { Daemon, runProgram } from '../rig/daemon.js';

let daemon: Daemon;
/** What the daemon listens on, and a port on which nobody does. */
let configured: string;
let free: string;
before(async () => {
  daemon = await Daemon.start({ poolFile: null, demoSize: null, discovery: true });
  configured = `127.0.0.1:${daemon.port}`;
  free = await new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(`127.0.0.1:${port}`));
    });
  });
});
after(async () => {
  await daemon[Symbol.asyncDispose]();
});

/** Exit code, and what it printed; blanks as one, the time and the ports as words. */
async function ashlar(...args: string[]): Promise<string[]> {
  const { code, out, err } = await runProgram([...args, '--socket', daemon.socket]);
  const lines = `${out}${err}`
    .replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, 'TIME')
    .replaceAll(configured, 'CONFIGURED')
    .replaceAll(`127.0.0.1:${daemon.discoveryPort}`, 'DISCOVERY')
    .replaceAll(free, 'ADDED')
    .trimEnd()
    .split('\n')
    .map((line) => line.trim().replaceAll(/ +/g, ' '));
  return [String(code), ...lines];
}

test('portal: added, listed, drained, resumed, removed: as a person sees it', async () => {
  assert.deepEqual(await ashlar('portal', 'add', free), ['0', 'Portal 3 listens on ADDED.']);
  assert.deepEqual(await ashlar('portal', 'list'), [
    '0',
    'ID ENDPOINT SERVES TLS ORIGIN STATE CONTROLLERS ANA',
    '1 CONFIGURED all none configured listening 0 optimized',
    '2 DISCOVERY discovery none configured listening 0',
    '3 ADDED all none added listening 0 optimized',
  ]);
  assert.deepEqual(await ashlar('portal', 'add', free, '--if-missing'), [
    '0',
    'Portal 3 listens on ADDED.',
  ]);
  assert.deepEqual(await ashlar('portal', 'drain', '3'), [
    '0',
    'Hosts are to leave portal ADDED; none is connected through it.',
  ]);
  const drained = '3 ADDED all none added drained, listening 0 group 1 inaccessible';
  assert.equal((await ashlar('portal', 'list')).at(-1), drained);
  assert.match((await ashlar('status')).join('\n'), /Portal ADDED, drained/);
  const connects = (await ashlar('connect-info')).filter((line) => line.includes('nvme connect'));
  assert.equal(connects.length, 1);
  assert.match(connects[0] ?? '', new RegExp(`-s ${daemon.port} `));
  assert.deepEqual(await ashlar('portal', 'resume', free), [
    '0',
    'Portal ADDED is in use; ANA: optimized.',
  ]);
  assert.deepEqual(await ashlar('portal', 'remove', free), [
    '0',
    'Nothing listens on portal ADDED any more.',
  ]);
  assert.equal((await ashlar('portal', 'remove', free, '--if-exists'))[0], '0');
  assert.equal((await ashlar('portal', 'list')).length, 4);
});

test('ana: set and listed, also what is to follow', async () => {
  assert.deepEqual(await ashlar('ana', 'set', '1', 'non-optimized'), [
    '0',
    'ANA group 1 is non-optimized through portal CONFIGURED.',
  ]);
  assert.deepEqual(
    await ashlar('ana', 'set', '1', 'change', '--group', '7', '--next', 'optimized'),
    ['0', 'ANA group 7 is change through portal CONFIGURED; then optimized, at TIME.'],
  );
  assert.deepEqual(await ashlar('ana', 'list'), [
    '0',
    'PORTAL ENDPOINT GROUP STATE THEN',
    '1 CONFIGURED 1 non-optimized',
    '1 CONFIGURED 7 change optimized, at TIME',
  ]);
  await ashlar('ana', 'set', configured, 'optimized', '--group', '7');
  assert.deepEqual(await ashlar('ana', 'set', configured, 'optimized'), [
    '0',
    'ANA group 1 is optimized through portal CONFIGURED.',
  ]);
  assert.deepEqual((await ashlar('ana', 'list')).slice(2), ['1 CONFIGURED 1 optimized']);
});

test('portal, ana: refused: what was given, why, and what to do', async () => {
  const cases: [string[], string, RegExp][] = [
    [['portal', 'add', 'node2'], '2', /portal 'node2' is not an IP address and port/],
    [['portal', 'add', '192.0.2.7:0'], '2', /port from 1 to 65535/],
    [['portal', 'add', '192.0.2.7:70000'], '2', /port above 65535/],
    [['portal', 'add', '224.0.0.251'], '2', /is a multicast address/],
    [['portal', 'add', '255.255.255.255'], '2', /is the broadcast address/],
    [['portal', 'add', 'fe80::1'], '2', /link-local and needs its interface/],
    [['portal', 'add', '::ffff:127.0.0.1'], '2', /write it as IPv4/],
    [['portal', 'add', '192.0.2.7'], '7', /192\.0\.2\.7:4420: this machine has no such address/],
    [['portal', 'add', configured], '4', /exists already, in the configuration, as portal 1/],
    [['portal', 'remove', '1'], '4', /of the configuration .*take it out there/],
    [['portal', 'remove', '9'], '3', /there is no portal 9; "ashlar portal list"/],
    [['portal', 'drain', '2'], '4', /serves discovery alone: there is nothing to drain/],
    [['portal', 'resume', '192.0.2.9'], '3', /there is no portal 192\.0\.2\.9/],
    [['ana', 'set', '1', 'fast'], '2', /'fast' is invalid .*optimized/],
    [['ana', 'set', '1', 'optimized', '--group', '129'], '2', /whole number from 1 to 128/],
    [['ana', 'set', '1', 'optimized', '--next', 'optimized'], '2', /for 'change' alone/],
    [['ana', 'set', '2', 'optimized'], '4', /serves discovery alone/],
  ];
  for (const [args, code, message] of cases) {
    const { code: exitCode, err } = await runProgram([...args, '--socket', daemon.socket]);
    assert.equal(String(exitCode), code, `${args.join(' ')}: ${err}`);
    assert.equal(err.trimEnd().split('\n').length, 1, err);
    assert.match(err, message);
  }
  assert.equal((await ashlar('portal', 'list')).length, 4, 'nothing is kept');
});
