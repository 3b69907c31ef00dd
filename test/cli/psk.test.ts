/** `ashlar host psk …` with a real daemon: the key comes out once, and is nowhere else. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { Daemon, runProgram, Workspace } from '../rig/daemon.js';

const host = 'nqn.2026-01.test:alice';

test('host psk: generated to stdout, set from a file, listed without keys, removed', async () => {
  using workspace = new Workspace();
  await using daemon = await Daemon.start({ poolFile: 'p.ashlar', demoSize: null, workspace });
  const ashlar = async (...args: string[]) => {
    const { code, out, err } = await runProgram(['host', ...args, '--socket', daemon.socket]);
    return { code, text: `${out}${err}`.trim() };
  };
  await ashlar('add', host);
  const made = await ashlar('psk', 'generate', host);
  assert.match(made.text, /^NVMeTLSkey-1:01:[A-Za-z0-9+/=]{48}:$/);
  const file = workspace.file('host.psk');
  fs.writeFileSync(file, `${made.text}\n`);
  const twice = await ashlar('psk', 'set', host, file);
  assert.deepEqual(twice, {
    code: 4,
    text: `ashlar: host ${host} has this PSK already`,
  });
  assert.equal((await ashlar('psk', 'set', host, file, '--if-missing')).code, 0);
  assert.equal((await ashlar('psk', 'set', host, workspace.file('none'))).code, 2);
  const long = workspace.file('long.psk');
  fs.writeFileSync(long, `${made.text}${'A'.repeat(256)}`);
  const refused = await ashlar('psk', 'set', host, long);
  assert.equal(refused.code, 2);
  assert.match(refused.text, /'psk' must be a PSK of the form 'NVMeTLSkey-1:hh:base64:'$/);
  const listed = await ashlar('psk', 'list');
  assert.match(listed.text, /^HOST NQN +PSK +BITS +TRANSFORM +TENANT +SINCE\n/);
  assert.match(listed.text, /alice +[0-9a-f]{12} +256 +sha256 +default/);
  assert.equal((await ashlar('psk', 'remove', host)).code, 0);
  assert.equal((await ashlar('psk', 'remove', host)).code, 3);
  const [, , base64 = ''] = made.text.split(':');
  const key = Buffer.from(base64, 'base64').subarray(0, 32);
  await daemon.stop();
  assert(!daemon.log.includes(base64));
  const pool = fs.readFileSync(workspace.file('p.ashlar'));
  assert(!pool.includes(key) && !pool.includes(base64), 'the pool has the key unwrapped');
});
