import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { describe, test } from 'node:test';
import { CsiError } from '../../lib/csi/errors.js';
import { identityService } from '../../lib/csi/identity.js';
import { type CsiCall, CsiServer, type ServedServices } from '../../lib/csi/server.js';
import { AshlarError } from '../../lib/errors.js';
import { Folder, logger } from '../api/fixture.js';
import { CsiClient, Refused } from './client.js';

const nobody: ServedServices = {
  Identity: null,
  Controller: null,
  GroupController: null,
  SnapshotMetadata: null,
  Node: null,
};
const identity = (ready: (signal: AbortSignal) => Promise<boolean>): ServedServices => ({
  ...nobody,
  Identity: identityService({ mode: 'controller', ready }),
});
const status =
  (code: string, text = /./) =>
  (error: unknown) =>
    error instanceof Refused && error.status === code && text.test(error.message);

describe('the server', () => {
  test('answers over a socket that is its owner’s alone', async () => {
    using folder = new Folder();
    const socket = folder.file('csi.sock');
    await using _server = await CsiServer.open({
      socket,
      services: identity(async () => true),
      logger,
    });
    using client = new CsiClient(`unix:${socket}`);
    const { name, vendorVersion } = await client.ask('Identity', 'getPluginInfo', {});
    assert.equal(name, 'csi.ashlar.dev');
    assert.match(vendorVersion, /^\d+\.\d+\.\d+/);
    assert.equal(fs.statSync(socket).mode & 0o777, 0o600);
    assert.deepEqual(await client.ask('Identity', 'probe', {}), { ready: { value: true } });
  });

  test('a service that this mode has not is UNIMPLEMENTED', async () => {
    using folder = new Folder();
    const socket = folder.file('csi.sock');
    await using _server = await CsiServer.open({
      socket,
      services: identity(async () => true),
      logger,
    });
    using client = new CsiClient(`unix:${socket}`);
    await assert.rejects(client.ask('Node', 'nodeGetInfo', {}), status('UNIMPLEMENTED'));
  });

  for (const [thrown, code] of [
    [new CsiError('OUT_OF_RANGE', 'too large'), 'OUT_OF_RANGE'],
    [new AshlarError('no-space', 'the pool is full'), 'RESOURCE_EXHAUSTED'],
    [new AshlarError('connection-lost', 'hung up'), 'UNAVAILABLE'],
    [new AshlarError('not-found', 'no such volume'), 'NOT_FOUND'],
    [new TypeError('a mistake of ours'), 'INTERNAL'],
  ] as const) {
    test(`${thrown.name} '${thrown.message}' becomes ${code} with its text`, async () => {
      using folder = new Folder();
      const socket = folder.file('csi.sock');
      const services = identity(() => Promise.reject(thrown));
      await using _server = await CsiServer.open({ socket, services, logger });
      using client = new CsiClient(`unix:${socket}`);
      await assert.rejects(
        client.ask('Identity', 'probe', {}),
        status(code, new RegExp(thrown.message)),
      );
    });
  }

  test('a caller that gives up, or is late, aborts the call', async () => {
    using folder = new Folder();
    const socket = folder.file('csi.sock');
    let ended = 0;
    const started: (() => void)[] = [];
    const services = identity((signal) => {
      started.shift()?.();
      return new Promise((resolve) => {
        signal.addEventListener('abort', () => {
          ended += 1;
          resolve(false);
        });
      });
    });
    await using _server = await CsiServer.open({ socket, services, logger });
    using client = new CsiClient(`unix:${socket}`);
    const cancel = new AbortController();
    const began = new Promise<void>((resolve) => started.push(resolve));
    const call = client.ask('Identity', 'probe', {}, { signal: cancel.signal });
    await began;
    cancel.abort();
    await assert.rejects(call, status('CANCELLED'));
    const late = client.ask('Identity', 'probe', {}, { deadlineMs: 50 });
    await assert.rejects(late, status('DEADLINE_EXCEEDED'));
    // The server hears of both a moment later.
    for (let turn = 0; ended < 2 && turn < 1_000; turn += 1) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(ended, 2);
  });

  test('a stream is sent as it is made, and an error ends it', async () => {
    using folder = new Folder();
    const socket = folder.file('csi.sock');
    const parts = async function* (_request: unknown, _call: CsiCall) {
      yield { volumeCapacityBytes: 1n };
      yield { volumeCapacityBytes: 2n };
      throw new CsiError('NOT_FOUND', 'it went away');
    };
    const services = {
      ...nobody,
      SnapshotMetadata: { getMetadataAllocated: parts, getMetadataDelta: parts },
    };
    await using _server = await CsiServer.open({ socket, services, logger });
    using client = new CsiClient(`unix:${socket}`);
    const seen: bigint[] = [];
    await assert.rejects(async () => {
      const stream = client.stream('SnapshotMetadata', 'getMetadataAllocated', {});
      for await (const { volumeCapacityBytes } of stream) seen.push(volumeCapacityBytes);
    }, status('NOT_FOUND'));
    assert.deepEqual(seen, [1n, 2n]);
  });

  test('the socket of a plugin that was killed is taken over, that of one that serves is not', async () => {
    using folder = new Folder();
    const socket = folder.file('csi.sock');
    const left = net.createServer().listen(socket);
    await once(left, 'listening');
    fs.renameSync(socket, `${socket}.kept`);
    left.close();
    await once(left, 'close');
    fs.renameSync(`${socket}.kept`, socket);
    const services = identity(async () => true);
    await using _server = await CsiServer.open({ socket, services, logger });
    await assert.rejects(CsiServer.open({ socket, services, logger }), /another plugin serves/);
    const file = folder.file('file');
    fs.writeFileSync(file, 'kept');
    await assert.rejects(CsiServer.open({ socket: file, services, logger }), /is no socket/);
    assert.equal(fs.readFileSync(file, 'utf8'), 'kept');
  });

  test('closing waits for what is under way, and no longer than it is told', async () => {
    using folder = new Folder();
    const socket = folder.file('csi.sock');
    let begin = () => {};
    const began = new Promise<void>((resolve) => {
      begin = resolve;
    });
    const services = identity((signal) => {
      begin();
      return new Promise((resolve) => {
        signal.addEventListener('abort', () => resolve(false));
      });
    });
    const server = await CsiServer.open({ socket, services, logger });
    using client = new CsiClient(`unix:${socket}`);
    const call = client.ask('Identity', 'probe', {});
    call.catch(() => {});
    await began;
    await server.close(20);
    await assert.rejects(call);
  });
});
