import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import { AshlarError } from '../../lib/errors.js';
import {
  loadNative,
  type NativeAddon,
  type RuntimeHandle,
  type RuntimeOptions,
} from '../../lib/native.js';

const native = loadNative();
const small: RuntimeOptions = {
  reactors: 1,
  cpus: null,
  bufferBytes: null,
  busyPollUs: 0,
};

function threads(): number {
  return readdirSync('/proc/self/task').length;
}

function descriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

function withCode(code: string, words = /./): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof AshlarError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, words);
    assert.ok(!error.message.includes('\n'));
    return true;
  };
}

/** Everything unreachable is collected and its finalizers have run. */
async function collectGarbage(): Promise<void> {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  for (let i = 0; i < 3; i++) {
    gc();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Resolves when `condition` holds; the test's own time-out ends a vain wait. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

function hostOptions(port: number): Parameters<NativeAddon['hostConnect']>[1] {
  return {
    address: '127.0.0.1',
    port,
    subnqn: 'nqn.2026-01.test:none',
    hostnqn: 'nqn.2014-08.org.nvmexpress:uuid:00000000-0000-4000-8000-000000000001',
    hostid: new Uint8Array(16).fill(1),
    ioQueues: 1,
    queueDepth: 16,
    headerDigest: false,
    dataDigest: false,
    keepAliveMs: 0,
    connectTimeoutMs: 10_000,
  };
}

test('probe: names the kernel, the limits and the CRC32C code', () => {
  const probe = native.probe();
  assert.match(probe.kernelRelease, /^\d+\.\d+/);
  assert.equal(probe.ioUring, 'ok');
  assert.equal(probe.problem, null);
  assert.ok(probe.cpus >= 1);
  assert.match(probe.crc32c, /^(sse4\.2|armv8-crc|table)$/);
});

test('runtime: opened and closed 200 times: no thread and no descriptor is left', async () => {
  await native.runtimeClose(native.runtimeOpen(small, () => {}));
  const before = { threads: threads(), descriptors: descriptors() };
  for (let i = 0; i < 200; i++) {
    const runtime = native.runtimeOpen({ ...small, reactors: 1 + (i % 3) }, () => {});
    await native.runtimeClose(runtime);
  }
  assert.deepEqual({ threads: threads(), descriptors: descriptors() }, before);
});

test('runtime: counters of every reactor', async () => {
  const runtime = native.runtimeOpen({ ...small, reactors: 3 }, () => {});
  const counters = native.runtimeCounters(runtime);
  assert.equal(counters.length, 3);
  for (const reactor of counters) {
    assert.equal(typeof reactor.turns, 'bigint');
    assert.equal(reactor.buffersInUse, 0);
    assert.equal(reactor.ioPathAllocations, 0n);
  }
  await native.runtimeClose(runtime);
});

test('runtime: a second close and every later use is refused as closed', async () => {
  const runtime = native.runtimeOpen(small, () => {});
  await native.runtimeClose(runtime);
  await assert.rejects(native.runtimeClose(runtime), withCode('closed'));
  assert.throws(() => native.runtimeCounters(runtime), withCode('closed'));
  await assert.rejects(native.hostConnect(runtime, hostOptions(1)), withCode('closed'));
});

test('runtime: anything but a runtime handle is refused, never believed', async () => {
  for (const value of [{}, null, undefined, 7, 'x', [], () => {}, new Uint8Array(16)]) {
    const wrong = value as unknown as RuntimeHandle;
    assert.throws(() => native.runtimeCounters(wrong), withCode('invalid-argument'));
    await assert.rejects(native.runtimeClose(wrong), withCode('invalid-argument'));
  }
});

test('runtime: options out of range are refused by name and number', () => {
  const cases: [Partial<RuntimeOptions>, RegExp][] = [
    [{ reactors: 0 }, /reactors.* 1 to 64/],
    [{ reactors: 65 }, /reactors.* 1 to 64/],
    [{ reactors: 1.5 }, /reactors/],
    [{ reactors: 2, cpus: [0] }, /cpus/],
    [{ cpus: [1000] }, /CPU 1000/],
    [{ bufferBytes: 4096n }, /2 MiB to 1 GiB/],
    [{ bufferBytes: -1n }, /bufferBytes/],
    [{ busyPollUs: -1 }, /busyPollUs/],
  ];
  for (const [change, words] of cases) {
    assert.throws(
      () => native.runtimeOpen({ ...small, ...change }, () => {}),
      withCode('invalid-argument', words),
    );
  }
  const none = undefined as unknown as () => void;
  assert.throws(() => native.runtimeOpen(small, none), withCode('invalid-argument', /onEvents/));
});

test('runtime: a handle that is collected unclosed harms nothing', async () => {
  const before = threads();
  (() => {
    native.runtimeOpen(small, () => {});
  })();
  await collectGarbage();
  // Its reactor lives on until the environment ends.
  assert.equal(threads(), before + 1);
});

test('runtime: handles of closed runtimes are collected', async () => {
  for (let i = 0; i < 50; i++) await native.runtimeClose(native.runtimeOpen(small, () => {}));
  await collectGarbage();
});

test('calls: 1,000 at once are all answered', async () => {
  const runtime = native.runtimeOpen(small, () => {});
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  server.close();
  await once(server, 'close');
  const calls = Array.from({ length: 1000 }, () =>
    assert.rejects(
      native.hostConnect(runtime, hostOptions(address.port)),
      withCode('connection-refused'),
    ),
  );
  await Promise.all(calls);
  await native.runtimeClose(runtime);
});

const workerSource = `
const { workerData } = require('node:worker_threads');
const { parentPort } = require('node:worker_threads');
(async () => {
  const { loadNative } = await import(workerData.native);
  const native = loadNative();
  const runtime = native.runtimeOpen(workerData.options, () => {});
  if (workerData.connect) native.hostConnect(runtime, workerData.connect).catch(() => {});
  parentPort.postMessage('open');
  if (workerData.stay) setInterval(() => {}, 1000);
})();
`;

function startWorker(extra: object): Worker {
  return new Worker(workerSource, {
    eval: true,
    workerData: {
      native: new URL('../../lib/native.js', import.meta.url).href,
      options: small,
      ...extra,
    },
  });
}

test('worker: one that ends with a runtime open leaves no thread', async () => {
  const before = threads();
  for (let i = 0; i < 5; i++) {
    const worker = startWorker({ stay: false });
    await once(worker, 'exit');
  }
  await until(() => threads() <= before);
});

test('worker: one that is terminated during a call leaves no thread', async () => {
  // Accepts, and never answers.
  const silent = createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const address = silent.address();
  assert.ok(address !== null && typeof address === 'object');
  const before = threads();
  for (let i = 0; i < 5; i++) {
    const accepted = once(silent, 'connection');
    const worker = startWorker({ stay: true, connect: hostOptions(address.port) });
    await accepted;
    await worker.terminate();
  }
  await until(() => threads() <= before);
  silent.close();
});

/** Runs a program that has `native` and `small`, in a process of its own. */
function runProgram(program: string, wrapper: string[] = []) {
  const source = `
    import { loadNative } from ${JSON.stringify(new URL('../../lib/native.js', import.meta.url).href)};
    const native = loadNative();
    const small = { reactors: 1, cpus: null, bufferBytes: null, busyPollUs: 0 };
    ${program}`;
  const line = [...wrapper, process.execPath, '--input-type=module', '-e', source];
  const [command = '', ...args] = line;
  return spawnSync(command, args, { encoding: 'utf8', timeout: 60_000 });
}

test('process: an open runtime neither keeps it alive nor disturbs its end', () => {
  for (const end of ['', 'process.exit(0);', "process.on('exit', () => {});"]) {
    const result = runProgram(`native.runtimeOpen(small, () => {}); ${end}`);
    assert.equal(result.status, 0, result.stderr);
  }
});

test('process: a pending call keeps it alive until it is answered', () => {
  const result = runProgram(`
    const runtime = native.runtimeOpen(small, () => {});
    const options = ${JSON.stringify({ ...hostOptions(1), hostid: null })};
    options.hostid = new Uint8Array(16);
    native.hostConnect(runtime, options).catch((error) => console.log(error.code));`);
  assert.equal(result.status, 0, result.stderr);
  assert.equal(result.stdout.trim(), 'connection-refused');
});

test('memlock: a limit too small refuses buffers of a named size and serves the default', (t) => {
  const tools = ['/usr/bin/prlimit', '/usr/bin/setpriv'];
  if (!tools.every(existsSync)) {
    t.skip('needs prlimit and setpriv (util-linux)');
    return;
  }
  const wrapper = ['prlimit', '--memlock=1048576'];
  // A megabyte takes the ring, but not the buffers. The superuser's limit would not bind.
  if (process.getuid?.() === 0) wrapper.push('setpriv', '--bounding-set=-all', '--inh-caps=-all');
  const result = runProgram(
    `try {
      native.runtimeOpen({ ...small, bufferBytes: 16n << 20n }, () => {});
      console.log('opened');
    } catch (error) {
      console.log(error.code, error.message);
    }
    native.runtimeOpen(small, () => {});
    console.log('default opened');`,
    wrapper,
  );
  assert.equal(result.status, 0, result.stderr);
  assert.match(result.stdout, /^memlock-too-small cannot lock 16 MiB .* 1 MiB.*\n/);
  assert.match(result.stdout, /default opened/);
});
