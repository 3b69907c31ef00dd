import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { test } from 'node:test';
import { ApiClient } from '../../lib/api/client.js';
import { claimSocket, inspectSocket, listenAt } from '../../lib/api/socket.js';
import { Folder } from './fixture.js';

/** Leaves a socket behind as a daemon does that is killed. */
async function leaveStaleSocket(path: string): Promise<void> {
  const script =
    'require("net").createServer().listen(process.argv[1], () => console.log("listening"))';
  const child: ChildProcess = spawn(process.execPath, ['-e', script, path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  assert.ok(child.stdout);
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  await once(child, 'exit');
}

async function close(server: net.Server): Promise<void> {
  await new Promise((resolve) => server.close(resolve));
}

test('socket: nothing there: listened at, with mode 0600 and its folder made', async () => {
  using folder = new Folder();
  const path = folder.file('deep/er/s.sock');
  const server = http.createServer();
  await listenAt(server, path, await claimSocket(path));
  assert.equal(fs.statSync(path).mode & 0o777, 0o600);
  assert.equal((await inspectSocket(path)).kind, 'living');
  await close(server);
  assert.equal(fs.existsSync(path), false, 'removed in the end');
});

test('socket: a dead daemon left one: replaced', async () => {
  using folder = new Folder();
  const path = folder.file('s.sock');
  await leaveStaleSocket(path);
  const found = await claimSocket(path);
  assert.equal(found.kind, 'stale');
  const server = http.createServer();
  await listenAt(server, path, found);
  assert.equal((await inspectSocket(path)).kind, 'living');
  await close(server);
});

test('socket: a living daemon has it: daemon-running, and it is left alone', async () => {
  using folder = new Folder();
  const path = folder.file('s.sock');
  const server = net.createServer();
  server.listen(path);
  await once(server, 'listening');
  await assert.rejects(claimSocket(path), {
    code: 'daemon-running',
    message: `a daemon already answers at '${path}'; use it, stop it first, or choose another --socket`,
  });
  assert.equal((await inspectSocket(path)).kind, 'living');
  await close(server);
});

test('socket: another daemon replaced the stale one meanwhile: it keeps it', async () => {
  using folder = new Folder();
  const path = folder.file('s.sock');
  await leaveStaleSocket(path);
  const [first, second] = [http.createServer(), http.createServer()];
  const foundByFirst = await claimSocket(path);
  const foundBySecond = await claimSocket(path);
  await listenAt(first, path, foundByFirst);
  await assert.rejects(listenAt(second, path, foundBySecond), { code: 'daemon-running' });
  assert.equal((await inspectSocket(path)).kind, 'living');
  await close(first);
});

test('socket: an ordinary file in its place: refused, not removed', async () => {
  using folder = new Folder();
  const path = folder.file('s.sock');
  fs.writeFileSync(path, 'precious');
  await assert.rejects(claimSocket(path), { code: 'already-exists' });
  assert.equal(fs.readFileSync(path, 'utf8'), 'precious');
});

test('client: no socket, a dead one, an ordinary file: daemon-not-running, and how to start', async () => {
  using folder = new Folder();
  const stale = folder.file('stale.sock');
  await leaveStaleSocket(stale);
  const file = folder.file('file');
  fs.writeFileSync(file, '');
  for (const path of [folder.file('missing.sock'), stale, file]) {
    await using client = new ApiClient({ socket: path });
    await assert.rejects(client.call('getStatus', {}), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'daemon-not-running');
      assert.ok(error.message.includes(path));
      assert.match(error.message, /ashlar serve/);
      return true;
    });
  }
});

test('client: something that speaks no HTTP: connection-lost, no hang', async () => {
  using folder = new Folder();
  const path = folder.file('s.sock');
  const server = net.createServer((socket) => socket.resume().end('hello\n'));
  server.listen(path);
  await once(server, 'listening');
  const client = new ApiClient({ socket: path });
  await assert.rejects(client.call('getStatus', {}), { code: 'connection-lost' });
  await client.close();
  await close(server);
});

test('client: a daemon that never answers: timed-out', async () => {
  using folder = new Folder();
  const path = folder.file('s.sock');
  const server = http.createServer(() => undefined);
  server.listen(path);
  await once(server, 'listening');
  const client = new ApiClient({ socket: path });
  await assert.rejects(client.call('getStatus', {}, { timeoutMs: 50 }), { code: 'timed-out' });
  const controller = new AbortController();
  const call = client.call('getStatus', {}, { signal: controller.signal });
  controller.abort();
  await assert.rejects(call, { code: 'cancelled' });
  await client.close();
  server.closeAllConnections();
  await close(server);
});
