/** Our own host, through its TypeScript face, against a daemon of its own. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { AshlarError } from '../../lib/errors.js';
import {
  type ConnectHostOptions,
  commandStatusOf,
  connectHost,
  type Host,
  type HostNamespace,
} from '../../lib/host/index.js';
import { Daemon } from '../rig/daemon.js';

const kib = 1024;
const mib = 1024 * 1024;
const demoBytes = 64 * mib;
const hostnqn = 'nqn.2014-08.org.nvmexpress:uuid:9f2b1c36-0d8e-4f52-8a55-6c1f0f0e7a01';

let daemon: Daemon;
let subnqn = '';
let nsid = 0;
before(async () => {
  daemon = await Daemon.start({ poolFile: null, poolSize: '512MiB', demoSize: '64MiB' });
  ({ subnqn, nsid } = await daemon.volume('demo'));
});
after(() => daemon[Symbol.asyncDispose]());

function connect(options: Partial<ConnectHostOptions> = {}): Promise<Host> {
  return connectHost({ address: '127.0.0.1', port: daemon.port, subnqn, hostnqn, ...options });
}

function bytes(length: number, seed: number): Uint8Array {
  let state = seed;
  return new Uint8Array(length).map(() => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state >>> 16;
  });
}

function withCode(code: string, words = /./): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof AshlarError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, words);
    return true;
  };
}

function withStatus(status: number): (error: unknown) => boolean {
  return (error) => {
    assert.equal(commandStatusOf(error)?.status, status, String(error));
    return true;
  };
}

async function withNamespace(
  options: Partial<ConnectHostOptions>,
  work: (namespace: HostNamespace, host: Host) => Promise<void>,
): Promise<void> {
  await using host = await connect(options);
  await work(await host.namespace(nsid), host);
}

test('identify: the controller and its namespaces say what they are', async () => {
  await using host = await connect({ ioQueues: 3, queueDepth: 32 });
  assert.equal(host.ioQueues, 3);
  assert.equal(host.queueDepth, 32);
  const controller = await host.identifyController();
  assert.equal(controller.cntlid, host.cntlid);
  assert.equal(controller.subnqn, subnqn);
  assert.ok(controller.volatileWriteCache);
  assert.ok(controller.mdts >= 8);
  assert.ok((await host.activeNamespaces()).includes(nsid));
  const namespace = await host.identifyNamespace(nsid);
  assert.equal(namespace.sizeBytes, BigInt(demoBytes));
  assert.equal(namespace.blockBytes, 4096);
  assert.ok(namespace.thinProvisioned);
  await assert.rejects(host.namespace(nsid + 1000));
  const smart = await host.getLogPage(0x02, 512);
  assert.equal(smart.byteLength, 512);
});

test('an unwritten namespace reads as zeroes', async () => {
  await withNamespace({}, async (namespace) => {
    const read = await namespace.read(BigInt(demoBytes - mib), mib);
    assert.ok(read.every((byte) => byte === 0));
  });
});

for (const headerDigest of [false, true]) {
  for (const dataDigest of [false, true]) {
    const digests = `header digest ${headerDigest}, data digest ${dataDigest}`;
    test(`write and read back, small to several transfers: ${digests}`, async () => {
      const options = { headerDigest, dataDigest, ioQueues: 2 };
      await withNamespace(options, async (namespace) => {
        for (const length of [4 * kib, 8 * kib, 12 * kib, 128 * kib, mib, 3 * mib + 4 * kib]) {
          const data = bytes(length, length);
          await namespace.write(BigInt(16 * kib), data, { fua: length === 8 * kib });
          assert.deepEqual(await namespace.read(BigInt(16 * kib), length), data);
        }
        await namespace.flush();
      });
    });
  }
}

test('compare, write zeroes and deallocate do what they say', async () => {
  await withNamespace({}, async (namespace) => {
    const data = bytes(64 * kib, 5);
    await namespace.write(0n, data);
    assert.equal(await namespace.compare(0n, data), true);
    const other = data.slice();
    other[40 * kib] = (other[40 * kib] ?? 0) ^ 1;
    assert.equal(await namespace.compare(0n, other), false);
    await namespace.writeZeroes(BigInt(8 * kib), BigInt(8 * kib));
    data.fill(0, 8 * kib, 16 * kib);
    assert.equal(await namespace.compare(0n, data), true);
    await namespace.deallocate([
      { offset: BigInt(32 * kib), length: BigInt(4 * kib) },
      { offset: BigInt(48 * kib), length: BigInt(16 * kib) },
    ]);
    data.fill(0, 32 * kib, 36 * kib);
    data.fill(0, 48 * kib, 64 * kib);
    assert.deepEqual(await namespace.read(0n, 64 * kib), data);
  });
});

test('many commands at once on several queues, more than the queues hold', async () => {
  await withNamespace({ ioQueues: 4, queueDepth: 8 }, async (namespace) => {
    const count = 500;
    const at = (i: number): bigint => BigInt(i * 4 * kib);
    await Promise.all(
      Array.from({ length: count }, (_, i) => namespace.write(at(i), bytes(4 * kib, i))),
    );
    const read = await Promise.all(
      Array.from({ length: count }, (_, i) => namespace.read(at(i), 4 * kib)),
    );
    read.forEach((data, i) => {
      assert.deepEqual(data, bytes(4 * kib, i));
    });
  });
});

test('a command that the controller fails rejects with its status', async () => {
  await withNamespace({}, async (namespace, host) => {
    await assert.rejects(namespace.read(BigInt(demoBytes), 4 * kib), withStatus(0x080));
    await assert.rejects(namespace.write(BigInt(demoBytes), bytes(mib, 1)), withStatus(0x080));
    // Raw commands resolve, whatever the status.
    const unknown = await host.admin({ opcode: 0xc5 });
    assert.equal(unknown.status, 0x001);
    const answer = await host.io({ opcode: 0x02, nsid: 0xffff_fff0, dataInBytes: 4096 });
    assert.equal(answer.status, 0x00b);
    assert.equal(answer.dataBytes, 0);
  });
});

test('arguments that cannot be sent are refused before anything is', async () => {
  await withNamespace({}, async (namespace, host) => {
    assert.throws(() => namespace.read(1n, 4096), withCode('invalid-argument', /whole blocks/));
    assert.throws(() => namespace.read(0n, 100), withCode('invalid-argument', /whole blocks/));
    await assert.rejects(namespace.flush({ qid: 9 }), withCode('invalid-argument', /queue 9/));
    await assert.rejects(host.getLogPage(2, 6), withCode('invalid-argument', /multiple of 4/));
  });
  await assert.rejects(connect({ queueDepth: 1 }), withCode('invalid-argument', /2 to 1024/));
  await assert.rejects(connect({ ioQueues: 129 }), withCode('invalid-argument', /129/));
  await assert.rejects(connect({ subnqn: '' }), withCode('invalid-argument', /NQN/));
  await assert.rejects(connect({ hostid: bytes(15, 1) }), withCode('invalid-argument', /16 bytes/));
});

test('connecting says why it failed', async () => {
  await assert.rejects(
    connect({ subnqn: 'nqn.2026-01.io.ashlar:nobody' }),
    withCode('connection-refused', /182h/),
  );
  await assert.rejects(connect({ port: 1 }), withCode('connection-refused'));
  await assert.rejects(
    connect({ address: 'not an address' }),
    (error) => error instanceof AshlarError,
  );
});

test('a listener that never answers: timed out, or given up at the signal', async () => {
  const silent = createServer((socket) => socket.on('error', () => {}));
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const address = silent.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  try {
    await assert.rejects(connect({ port, connectTimeoutMs: 200 }), withCode('timed-out'));
    const given = AbortSignal.timeout(50);
    await assert.rejects(
      connect({ port, connectTimeoutMs: 400, signal: given }),
      withCode('cancelled'),
    );
  } finally {
    silent.close();
  }
});

test('a peer that speaks another protocol is a protocol error', async () => {
  const talker = createServer((socket) => {
    socket.on('error', () => {});
    socket.write('HTTP/1.1 400 Bad Request\r\n\r\n');
  });
  await new Promise<void>((resolve) => talker.listen(0, '127.0.0.1', resolve));
  const address = talker.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  try {
    await assert.rejects(connect({ port }), withCode('protocol-error', /wrong PDU/));
  } finally {
    talker.close();
  }
});

test('an aborted call rejects at once; the connection goes on', async () => {
  await withNamespace({}, async (namespace) => {
    const signal = AbortSignal.abort();
    await assert.rejects(namespace.flush({ signal }), withCode('cancelled'));
    await namespace.flush();
  });
});

test('close is idempotent, and every later use says closed', async () => {
  const host = await connect();
  const namespace = await host.namespace(nsid);
  await Promise.all([host.close(), host.close()]);
  await host.close();
  await assert.rejects(namespace.flush(), withCode('closed'));
  await assert.rejects(host.admin({ opcode: 0x06 }), withCode('closed'));
});

test('load: figures of a short run without errors', async () => {
  await using host = await connect({ ioQueues: 2, queueDepth: 17 });
  const result = await host.load({
    nsid,
    blockBytes: 4096,
    depth: 16,
    queues: 2,
    ioBytes: 4096,
    pattern: 'random',
    readPercent: 50,
    spanBytes: BigInt(demoBytes),
    warmupMs: 50,
    durationMs: 300,
    seed: 7n,
  });
  assert.equal(result.errors, 0n, result.firstError ?? '');
  assert.ok(result.commands > 0n);
  assert.equal(result.bytes, result.commands * 4096n);
  const [p50, p99, p999, max] = result.latencyNs;
  assert.ok(p50 > 0n && p50 <= p99 && p99 <= p999 && p999 <= max);
});

test('the daemon is killed under load: every call settles, close still works', async () => {
  const victim = await Daemon.start({ poolFile: null, poolSize: '256MiB', demoSize: '64MiB' });
  try {
    const volume = await victim.volume('demo');
    const host = await connectHost({
      address: '127.0.0.1',
      port: victim.port,
      subnqn: volume.subnqn,
      hostnqn,
      ioQueues: 2,
      queueDepth: 16,
    });
    const namespace = await host.namespace(volume.nsid);
    let acknowledged = 0;
    const writers = Array.from({ length: 32 }, async (_, lane) => {
      for (;;) {
        await namespace.write(BigInt(lane * 64 * kib), bytes(64 * kib, lane));
        acknowledged += 1;
        if (acknowledged === 200) void victim.kill();
      }
    });
    const ends = await Promise.allSettled(writers);
    for (const end of ends) {
      assert.equal(end.status, 'rejected');
      assert.ok(end.reason instanceof AshlarError);
      assert.ok(['connection-lost', 'closed'].includes(end.reason.code), end.reason.message);
    }
    assert.ok(acknowledged >= 200);
    await assert.rejects(namespace.flush(), withCode('closed'));
    await host.close();
  } finally {
    await victim[Symbol.asyncDispose]();
  }
});

test('a process that ends without closing its host ends at once and in order', () => {
  const script = `
    import { connectHost } from ${JSON.stringify(new URL('../../lib/host/index.js', import.meta.url).href)};
    const host = await connectHost(${JSON.stringify({
      address: '127.0.0.1',
      port: daemon.port,
      subnqn,
      hostnqn,
    })});
    void host.io({ opcode: 0, nsid: ${nsid} });
    console.log('connected');
    process.exit(0);
  `;
  const ran = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  assert.equal(ran.stdout, 'connected\n', ran.stderr);
  assert.equal(ran.status, 0, ran.stderr);
});
