/** Meters as TypeScript holds them: what they refuse, and what a parent tells. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { AshlarError } from '../../lib/errors.js';
import { loadNative, type MeterHandle, type MeterLimits } from '../../lib/native.js';
import { noLimits } from '../../lib/qos/terms.js';

const native = loadNative();
const runtime = native.runtimeOpen(
  { reactors: 2, cpus: null, bufferBytes: null, busyPollUs: 0 },
  () => {},
);
after(() => native.runtimeClose(runtime));

const refused = (code: string, message: RegExp) => (error: unknown) =>
  error instanceof AshlarError && error.code === code && message.test(error.message);

test('bounds of latency rise, from a microsecond to 17 seconds, a quarter at most each', () => {
  const bounds = native.latencyBoundsNs();
  assert.equal(bounds[0], 1024n);
  assert.equal(bounds.at(-1), 2n ** 34n);
  for (const [index, bound] of bounds.entries()) {
    const before = bounds[index - 1];
    if (before === undefined) continue;
    assert.ok(bound > before && (bound - before) * 4n <= before, `${before} to ${bound}`);
  }
});

test('a new meter has counted nothing, in one bucket more than there are bounds', () => {
  const meter = native.meterCreate(runtime, null);
  const [counters] = native.meterRead([meter]);
  assert.ok(counters !== undefined);
  const { readLatency, writeLatency, underWay, ...counts } = counters;
  const buckets = native.latencyBoundsNs().length + 1;
  for (const latency of [readLatency, writeLatency]) {
    assert.deepEqual([...latency], new Array<bigint>(buckets).fill(0n));
  }
  assert.equal(underWay, 0);
  assert.deepEqual(new Set(Object.values(counts)), new Set([0n]));
  native.meterClose(meter);
});

test('rates of 0 and beyond 2^40, bursts and weights out of range are refused by name', () => {
  const meter = native.meterCreate(runtime, null);
  for (const name of [
    'readIops',
    'writeIops',
    'iops',
    'readBytesPerSecond',
    'writeBytesPerSecond',
    'bytesPerSecond',
  ] as const) {
    for (const value of [0n, 2n ** 40n + 1n]) {
      assert.throws(
        () => native.meterSet(meter, { ...noLimits, [name]: value }, 100),
        refused('invalid-argument', new RegExp(`^${name} must be 1 to 1099511627776, not`)),
      );
    }
    for (const value of [1n, 2n ** 40n])
      native.meterSet(meter, { ...noLimits, [name]: value }, 100);
  }
  const set = (limits: Partial<MeterLimits>, weight = 100) =>
    native.meterSet(meter, { ...noLimits, ...limits }, weight);
  const out = (what: RegExp) => refused('invalid-argument', what);
  assert.throws(() => set({ burstPercent: 99 }), out(/burstPercent must be 100 to 10000, not 99/));
  assert.throws(() => set({ burstPercent: 10_001 }), out(/burstPercent/));
  assert.throws(() => set({ burstSeconds: 3601 }), out(/burstSeconds must be 0 to 3600/));
  assert.throws(() => set({}, 0), out(/weight must be 1 to 10000, not 0/));
  assert.throws(() => set({}, 10_001), out(/weight/));
  native.meterSet(meter, null, 1);
  native.meterClose(meter);
});

test('a parent closes after its children, and has none itself', () => {
  const tenant = native.meterCreate(runtime, null);
  const volume = native.meterCreate(runtime, tenant);
  assert.throws(
    () => native.meterCreate(runtime, volume),
    refused('invalid-argument', /must not have a parent/),
  );
  assert.throws(() => native.meterClose(tenant), refused('busy', /1 meters below it/));
  native.meterClose(volume);
  native.meterClose(tenant);
  assert.throws(() => native.meterRead([tenant]), refused('closed', /meter/));
});

test('at most 4,096 are read at once', () => {
  const meter = native.meterCreate(runtime, null);
  const many = (count: number) => new Array<MeterHandle>(count).fill(meter);
  assert.equal(native.meterRead(many(4096)).length, 4096);
  assert.throws(() => native.meterRead(many(4097)), refused('limit-exceeded', /not 4097/));
  native.meterClose(meter);
});
