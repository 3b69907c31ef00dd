/** Hostile callers of the API of a daemon: its hosts do not notice. */
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { Target } from '../protocol/fixture.js';
import { keepBusy } from './busy.js';

let target: Target;
before(async () => {
  target = await Target.start({});
});
after(() => target[Symbol.asyncDispose]());

/** Sends `bytes`, as far as they are taken; resolves to what was answered when it is closed. */
async function send(head: string, bytes: number): Promise<string> {
  const socket = net.connect(target.daemon.socket);
  const pieces: Buffer[] = [];
  socket.on('error', () => undefined);
  socket.on('data', (piece: Buffer) => pieces.push(piece));
  socket.write(`${head}\r\nhost: x\r\ncontent-type: application/json\r\n`);
  socket.write(`content-length: ${bytes}\r\n\r\n`);
  const chunk = Buffer.alloc(1 << 16, 0x5b);
  let sent = 0;
  const more = (): void => {
    while (!socket.destroyed && sent < bytes) {
      const piece = chunk.subarray(0, Math.min(chunk.length, bytes - sent));
      sent += piece.length;
      if (!socket.write(piece)) break;
    }
  };
  socket.on('drain', more);
  more();
  // Not `once`, which an error ends before.
  await new Promise((resolve) => socket.once('close', resolve));
  return Buffer.concat(pieces).toString();
}

async function attack(): Promise<void> {
  // As many as there may be, and more, that never come to the end of their headers.
  const slow = Array.from({ length: 200 }, () => {
    const socket = net.connect(target.daemon.socket);
    socket.on('error', () => undefined);
    socket.write('POST /v1/volumes HTTP/1.1\r\nx: ');
    return socket;
  });
  const drip = setInterval(() => {
    for (const socket of slow) socket.write('y');
  }, 20);
  try {
    await attackBesides();
  } finally {
    clearInterval(drip);
    for (const socket of slow) socket.destroy();
  }
}

async function attackBesides(): Promise<void> {
  for (let round = 0; round < 5; round += 1) {
    const huge = Array.from({ length: 8 }, () => send('POST /v1/volumes HTTP/1.1', 2 ** 30));
    for (const answer of await Promise.all(huge)) assert.match(answer, /^HTTP\/1\.1 413 /);
    // The deepest nesting that a body has room for.
    const deep = await send('POST /v1/volumes HTTP/1.1\r\nconnection: close', 2 ** 20);
    assert.match(deep, /^HTTP\/1\.1 400 /);
    const { status } = await target.daemon.api('GET', `/v1/volumes/${'x'.repeat(500)}`);
    assert.equal(status, 404);
  }
}

test('hostile callers of the API: I/O goes on, no host is lost, and answers are as documented', async () => {
  await using busy = await target.associate();
  let over = false;
  const attacked = attack().finally(() => {
    over = true;
  });
  const [{ slowestMs, commands }] = await Promise.all([
    keepBusy(busy, { nsid: target.nsid, slba: 64 }, () => over),
    attacked,
  ]);
  assert.ok(commands > 100, `only ${commands} commands`);
  assert.ok(slowestMs < 500, `a command took ${slowestMs.toFixed(0)} ms`);
  const { controllers } = await target.daemon.call<{ controllers: number }>('GET', '/v1/status');
  assert.equal(controllers, 2, 'the witness and the busy one');
  await target.assertWitness();
});
