/** The event loop blocked for two seconds: what is native does not notice. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { keepAlive } from '../protocol/connection.js';
import { Target } from '../protocol/fixture.js';
import { keepBusy } from './busy.js';

let target: Target;
before(async () => {
  target = await Target.start({
    script: path.join(process.cwd(), '.build/test/daemon/stalling_main.js'),
  });
});
after(() => target[Symbol.asyncDispose]());

test('a blocked event loop: I/O goes on, Keep Alive is answered, KATO still expires', async () => {
  await using busy = await target.associate();
  await using kept = await target.associate({ kato: 1000 });
  await using silent = await target.associate({ kato: 1000 });
  const blocked = target.daemon.heard();
  target.daemon.tell('block');
  assert.equal(await blocked, 'blocked');
  let over = false;
  const free = target.daemon.heard().then((message) => {
    over = true;
    assert.equal(message, 'free');
  });
  const beats = (async () => {
    while (!over) {
      const answer = await kept.admin.command(keepAlive);
      assert.equal(answer.status, 0);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  })();
  let silentEnded = false;
  const expiry = silent.admin.read().then((pdu) => {
    assert.equal(pdu, null);
    silentEnded = !over;
  });
  const { slowestMs, commands } = await keepBusy(
    busy,
    { nsid: target.nsid, slba: 100 },
    () => over,
  );
  await Promise.all([free, beats, expiry]);
  assert.ok(silentEnded, 'a silent host is dropped while the event loop is blocked');
  assert.ok(commands > 200, `only ${commands} commands in two seconds`);
  assert.ok(slowestMs < 500, `a command took ${slowestMs.toFixed(0)} ms`);
  // Nobody else was lost, and admin commands that JavaScript answers are answered again.
  const { controllers } = await target.daemon.call<{ controllers: number }>('GET', '/v1/status');
  assert.equal(controllers, 3, 'the witness, the busy one and the one that sent Keep Alives');
  await target.assertWitness();
});
