/** `ashlar explain` with a real daemon: what a person sees, and the exit code. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Daemon, runProgram } from '../rig/daemon.js';

let daemon: Daemon;
before(async () => {
  daemon = await Daemon.start({ poolFile: null, demoSize: '64MiB' });
});
after(async () => {
  await daemon[Symbol.asyncDispose]();
});

const ashlar = (...args: string[]) => runProgram([...args, '--socket', daemon.socket]);

test('explain: a healthy volume, one without a grant, one behind a drained portal, none', async () => {
  const fine = await ashlar('explain', 'volume', 'demo');
  assert.equal(fine.code, 0, fine.err);
  assert.match(fine.out, /^info {5}any host may use it, and none is connected\.$/m);
  assert.match(fine.out, /^Volume 'demo' is healthy\.$/m);
  assert.equal((await ashlar('volume', 'create', 'bare', '--size', '1MiB')).code, 0);
  const bare = await ashlar('explain', 'volume', 'bare');
  assert.equal(bare.code, 1);
  assert.equal(
    bare.out,
    'warning  it is granted to no host, so none sees it.\n' +
      '         Next: "ashlar grant add bare HOSTNQN".\n\n' +
      "Volume 'bare' needs a look.\n",
  );
  assert.equal((await ashlar('portal', 'drain', '1')).code, 0);
  const drained = await ashlar('explain', 'volume', 'demo', '--json');
  assert.equal(drained.code, 1);
  const { healthy, conditions } = JSON.parse(drained.out);
  assert.equal(healthy, false);
  assert.equal(conditions[0].kind, 'no-portal');
  const none = await ashlar('explain', 'volume', 'nothing');
  assert.notEqual(none.code, 0);
  assert.match(none.err, /volume 'nothing'/);
});
