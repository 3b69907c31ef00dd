/** `ashlar tenant`, `token`, `job` and `event` with a real daemon. */
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

async function ashlar(
  ...args: string[]
): Promise<{ code: number | null; out: string; err: string }> {
  return runProgram([...args, '--socket', daemon.socket]);
}

test('tenants: created with a quota, changed, listed, held to it, deleted', async () => {
  assert.match((await ashlar('tenant', 'create', 'blue', '--volumes', '1')).out, /^Created tenant/);
  const create = (name: string) =>
    ashlar('volume', 'create', name, '--size', '1GiB', '--tenant', 'blue');
  assert.equal((await create('a')).code, 0);
  const over = await create('b');
  assert.equal(over.code, 6);
  assert.match(over.err, /may have 1 volumes, and has 1/);
  await ashlar('tenant', 'set', 'blue', '--volumes', 'none', '--capacity', '2GiB');
  const { out } = await ashlar('tenant', 'list');
  assert.match(out, /blue +1 GiB of 2 GiB +1 of any +0 of any/);
  assert.equal((await ashlar('tenant', 'delete', 'blue')).code, 4);
  await ashlar('volume', 'delete', 'a', '--tenant', 'blue', '--yes');
  assert.equal((await ashlar('tenant', 'delete', 'blue')).code, 0);
});

test('tokens: created, its secret shown once; rotated; deleted', async () => {
  const { out } = await ashlar('token', 'create', 'ops', '--role', 'viewer', '--expires', '1h');
  const [secret = ''] = out.split('\n');
  assert.match(secret, /^ashlar_[\w-]{43}$/);
  const listed = (await ashlar('token', 'list')).out;
  assert.match(listed, /ops +viewer +\(node\) +bearer/);
  assert.ok(!listed.includes(secret));
  const rotated = (await ashlar('token', 'rotate', 'ops', '--grace', '1h')).out;
  assert.ok(!rotated.includes(secret));
  assert.equal((await ashlar('token', 'create', 'x')).code, 2);
  assert.equal((await ashlar('token', 'delete', 'ops')).code, 0);
  assert.equal((await ashlar('token', 'delete', 'ops')).code, 3);
});

test('jobs and events: listed; a job that is not there: 3', async () => {
  assert.equal((await ashlar('job', 'list')).code, 0);
  const id = '00000000-0000-4000-8000-000000000000';
  assert.equal((await ashlar('job', 'wait', id)).code, 3);
  assert.equal((await ashlar('job', 'cancel', id)).code, 3);
  assert.match((await ashlar('event', 'list', '--limit', '100')).out, /tenant-created/);
});
