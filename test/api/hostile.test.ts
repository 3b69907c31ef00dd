/** Callers that take their time, take all connections, or come too late: at every listener. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { ApiClient } from '../../lib/api/client.js';
import { nodeHandlers } from '../../lib/api/handlers.js';
import { apiTimeouts, maxConnections } from '../../lib/api/listeners.js';
import { type ApiServer, serveApi } from '../../lib/api/server.js';
import { claimSocket } from '../../lib/api/socket.js';
import { ApiFixture, Folder, logger } from './fixture.js';

const folder = new Folder();
let api: ApiFixture;
let server: ApiServer;
let secret: string;

/** The same limits as in service, of which only the clock is another. */
const timeouts = { ...apiTimeouts, headersMs: 400, requestMs: 600, checkMs: 50 };

async function serve(name: string): Promise<ApiServer> {
  const socket = folder.file(name);
  return serveApi({
    ...{ handlers: nodeHandlers(api.node), streams: api.node.streams, tokens: api.node.tokens },
    ...{ logger, socket, found: await claimSocket(socket), timeouts },
    loopback: { address: '127.0.0.1', port: 0, optional: false },
  });
}

before(async () => {
  api = await ApiFixture.open();
  server = await serve('hostile.sock');
  secret = (await api.node.tokens.create({ name: 'admin', role: 'admin' })).secret ?? '';
});
after(async () => {
  await server.close();
  await api[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

/** Connects as a stranger, or at the control socket. */
function dial(where: 'socket' | 'loopback', of = server): net.Socket {
  const socket =
    where === 'socket' ? net.connect(of.socket) : net.connect(of.loopbackPort ?? 0, '127.0.0.1');
  socket.on('error', () => undefined);
  return socket;
}

/** All that comes until the other side closes. */
async function answerOf(socket: net.Socket): Promise<string> {
  const pieces: Buffer[] = [];
  socket.on('data', (piece: Buffer) => pieces.push(piece));
  await closing(socket);
  return Buffer.concat(pieces).toString();
}

/** Not `once`, which an error ends before. */
function closing(socket: net.Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

function head(lines: readonly string[]): string {
  return `${['POST /v1/volumes HTTP/1.1', 'host: localhost', ...lines].join('\r\n')}\r\n\r\n`;
}

for (const where of ['socket', 'loopback'] as const) {
  const known = () => (where === 'socket' ? [] : [`authorization: Bearer ${secret}`]);

  test(`hostile: a body that comes a byte at a time (${where}): 408 within its time`, async () => {
    const socket = dial(where);
    const lines = [...known(), 'content-type: application/json', 'content-length: 100000'];
    socket.write(head(lines));
    const drip = setInterval(() => socket.write(' '), 20);
    const answer = await answerOf(socket);
    clearInterval(drip);
    assert.match(answer, /^HTTP\/1\.1 408 /);
    assert.match(answer, /"code":"timed-out"/);
  });

  test(`hostile: a chunked body without end (${where}): 413 once it is too long`, async () => {
    const socket = dial(where);
    socket.write(
      head([...known(), 'content-type: application/json', 'transfer-encoding: chunked']),
    );
    const chunk = `10000\r\n${' '.repeat(0x10000)}\r\n`;
    const more = (): void => {
      while (!socket.destroyed && socket.write(chunk));
    };
    socket.on('drain', more);
    more();
    const answer = await answerOf(socket);
    assert.match(answer, /^HTTP\/1\.1 413 /);
    assert.match(answer, /"code":"limit-exceeded"/);
  });

  test(`hostile: a header a byte at a time (${where}): 408 within its time`, async () => {
    const socket = dial(where);
    socket.write('GET /v1/status HTTP/1.1\r\n');
    const drip = setInterval(() => socket.write('x'), 20);
    const answer = await answerOf(socket);
    clearInterval(drip);
    assert.match(answer, /^HTTP\/1\.1 408 /);
  });
}

test('hostile: nobody reads the answers: the sender is held back, and others go on', async () => {
  const socket = dial('socket');
  const request = 'GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n';
  socket.pause();
  let sent = 0;
  while (sent < 2000 && socket.write(request.repeat(10))) sent += 10;
  await using client = new ApiClient({ socket: server.socket });
  assert.equal((await client.call('getStatus', {})).state, 'serving');
  socket.destroy();
});

test('hostile: strangers hold all connections: who has a token gets in, and stays', async () => {
  const place = { url: `http://127.0.0.1:${server.loopbackPort}`, token: secret };
  await using early = new ApiClient({ socket: place });
  await early.call('getStatus', {});
  const sockets: net.Socket[] = [];
  for (let count = 0; count < maxConnections * 2; count += 1) {
    const socket = dial('loopback');
    sockets.push(socket);
    await once(socket, 'connect');
    socket.write('GET /v1/status HTTP/1.1\r\n');
  }
  await using late = new ApiClient({ socket: place });
  assert.equal((await late.call('getStatus', {})).state, 'serving');
  assert.equal((await early.call('getSelf', {})).name, 'admin');
  for (const socket of sockets) socket.destroy();
});

test('hostile: whoever has said who he is holds all connections: one more is closed', async () => {
  const own = await serve('full.sock');
  const sockets = await Promise.all(
    Array.from({ length: maxConnections }, async () => {
      const socket = dial('socket', own);
      socket.write('GET /v1/self HTTP/1.1\r\nhost: x\r\n\r\n');
      await once(socket, 'data');
      return socket;
    }),
  );
  const extra = dial('socket', own);
  await closing(extra);
  const [first] = sockets;
  first?.destroy();
  // Its place is free once the server has seen it go.
  for (;;) {
    const next = dial('socket', own);
    next.write('GET /v1/self HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
    if (/^HTTP\/1\.1 200 /.test(await answerOf(next))) break;
  }
  for (const socket of sockets) socket.destroy();
  await own.close();
});

test('closing: a request on a connection that is there: 503 closed; the call under way ends', async () => {
  const own = await serve('closing.sock');
  const job = api.node.jobs.open({
    ...{ kind: 'export', title: 'x', tenant: null, owner: 'test', cancellable: true },
  });
  const waiting = dial('socket', own);
  waiting.write(`GET /v1/jobs/${job.id}?waitSeconds=50 HTTP/1.1\r\nhost: x\r\n\r\n`);
  const late = dial('socket', own);
  // Half of its headers are there when the server begins to close.
  late.write('GET /v1/status HTTP/1.1\r\n');
  await once(late, 'connect');
  await using client = new ApiClient({ socket: own.socket });
  await client.call('getStatus', {});
  const closed = own.close();
  const refused = answerOf(late);
  late.write('host: x\r\n\r\n');
  const told = await refused;
  assert.match(told, /^HTTP\/1\.1 503 /);
  assert.match(told, /content-type: application\/problem\+json/);
  assert.match(told, /"code":"closed"/);
  const done = answerOf(waiting);
  job.succeed(null);
  assert.match(await done, /^HTTP\/1\.1 200 .*"state":"succeeded"/s);
  await closed;
  await assert.rejects(client.call('getStatus', {}), { code: 'daemon-not-running' });
});
