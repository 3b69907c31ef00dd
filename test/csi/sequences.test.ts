/**
 * Random sequences of calls against a small model: repeats, several at once by two controllers, and
 * cuts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { snapshotUuid } from '../../lib/csi/controller/identities.js';
import { CsiError, type Status } from '../../lib/csi/errors.js';
import { volumeUuid } from '../../lib/csi/names.js';
import { seedOfRun } from '../rig/random.js';
import { ControllerFixture, capability, MiB, nodeA, nodeB, writer } from './controller_fixture.js';
import { Cutter, type CutWhen } from './cuts.js';

const seed = seedOfRun();

type Op =
  | { kind: 'create'; volume: string; size: number; from: string | null }
  | { kind: 'delete'; volume: string }
  | { kind: 'publish'; volume: string; node: string; readonly: boolean; shared: boolean }
  | { kind: 'unpublish'; volume: string; node: string }
  | { kind: 'expand'; volume: string; size: number }
  | { kind: 'snapshot'; snapshot: string; volume: string }
  | { kind: 'deleteSnapshot'; snapshot: string };

/** One operation, sent so many times at once, perhaps with a cut. */
interface Step {
  op: Op;
  copies: number;
  cut: { nth: number; when: CutWhen } | null;
}

interface ModelVolume {
  size: number;
  source: string | null;
  grants: Map<string, 'read-write' | 'read-only'>;
}

/** What there should be. */
class Model {
  readonly volumes = new Map<string, ModelVolume>();
  /** By name: the volume's name, and its size then. */
  readonly snapshots = new Map<string, { volume: string; size: number }>();

  /** Does it. @returns null for success, or the status that it is refused with. */
  apply(op: Op): Status | null {
    switch (op.kind) {
      case 'create':
        return this.#create(op);
      case 'delete': {
        const found = this.volumes.get(op.volume);
        if (found !== undefined && found.grants.size > 0) return 'FAILED_PRECONDITION';
        this.volumes.delete(op.volume);
        return null;
      }
      case 'publish':
        return this.#publish(op);
      case 'unpublish':
        if (op.node === '') this.volumes.get(op.volume)?.grants.clear();
        else this.volumes.get(op.volume)?.grants.delete(op.node);
        return null;
      case 'expand': {
        const found = this.volumes.get(op.volume);
        if (found === undefined) return 'NOT_FOUND';
        found.size = Math.max(found.size, op.size);
        return null;
      }
      case 'snapshot': {
        const before = this.snapshots.get(op.snapshot);
        if (before !== undefined) return before.volume === op.volume ? null : 'ALREADY_EXISTS';
        const found = this.volumes.get(op.volume);
        if (found === undefined) return 'NOT_FOUND';
        this.snapshots.set(op.snapshot, { volume: op.volume, size: found.size });
        return null;
      }
      case 'deleteSnapshot':
        this.snapshots.delete(op.snapshot);
        return null;
    }
  }

  #create({ volume, size, from }: Extract<Op, { kind: 'create' }>): Status | null {
    const before = this.volumes.get(volume);
    if (before !== undefined) {
      return before.size === size && before.source === from ? null : 'ALREADY_EXISTS';
    }
    const source = from === null ? null : this.snapshots.get(from);
    if (source === undefined) return 'NOT_FOUND';
    if (source !== null && size < source.size) return 'OUT_OF_RANGE';
    this.volumes.set(volume, { size, source: from, grants: new Map() });
    return null;
  }

  #publish({ volume, node, readonly, shared }: Extract<Op, { kind: 'publish' }>): Status | null {
    const found = this.volumes.get(volume);
    if (found === undefined) return 'NOT_FOUND';
    const access = readonly ? 'read-only' : 'read-write';
    const own = found.grants.get(node);
    if (own !== undefined) return own === access ? null : 'ALREADY_EXISTS';
    if (!shared && found.grants.size > 0) return 'FAILED_PRECONDITION';
    found.grants.set(node, access);
    return null;
  }

  /** As {@link found} tells of the daemon. */
  get contents(): unknown {
    const volumes = [...this.volumes].map(([name, { size, grants }]) => {
      const hosts = [...grants].map(([node, access]) => `${node} ${access}`).sort();
      return `${name} ${size} ${hosts.join()}`;
    });
    const snapshots = [...this.snapshots].map(([name, { volume, size }]) => {
      return `${name} ${volumeUuid(volume)} ${size}`;
    });
    return { volumes: volumes.sort(), snapshots: snapshots.sort() };
  }
}

async function found({ client }: ControllerFixture): Promise<unknown> {
  const volumes = (await client.list('listVolumes')).map(({ name, sizeBytes, grants }) => {
    const hosts = grants.map(({ host, access }) => `${host} ${access}`).sort();
    return `${name} ${sizeBytes / Number(MiB)} ${hosts.join()}`;
  });
  const snapshots = (await client.list('listSnapshots')).map(({ name, sourceUuid, sizeBytes }) => {
    return `${name} ${sourceUuid} ${sizeBytes / Number(MiB)}`;
  });
  return { volumes: volumes.sort(), snapshots: snapshots.sort() };
}

function send(fixture: ControllerFixture, op: Op): Promise<unknown> {
  const bytes = (size: number) => BigInt(size) * MiB;
  switch (op.kind) {
    case 'create': {
      const [requiredBytes, limitBytes] = [bytes(op.size), bytes(op.size)];
      const snapshot = op.from === null ? null : { snapshotId: snapshotUuid(op.from) };
      return fixture.ask('createVolume', {
        name: op.volume,
        capacityRange: { requiredBytes, limitBytes },
        volumeCapabilities: [writer],
        volumeContentSource: snapshot === null ? null : { snapshot },
      });
    }
    case 'delete':
      return fixture.ask('deleteVolume', { volumeId: volumeUuid(op.volume) });
    case 'publish':
      return fixture.ask('controllerPublishVolume', {
        volumeId: volumeUuid(op.volume),
        nodeId: op.node,
        readonly: op.readonly,
        volumeCapability: capability(op.shared ? 'MULTI_NODE_MULTI_WRITER' : 'SINGLE_NODE_WRITER'),
      });
    case 'unpublish':
      return fixture.ask('controllerUnpublishVolume', {
        volumeId: volumeUuid(op.volume),
        nodeId: op.node,
      });
    case 'expand':
      return fixture.ask('controllerExpandVolume', {
        volumeId: volumeUuid(op.volume),
        capacityRange: { requiredBytes: bytes(op.size) },
      });
    case 'snapshot':
      return fixture.ask('createSnapshot', {
        name: op.snapshot,
        sourceVolumeId: volumeUuid(op.volume),
      });
    case 'deleteSnapshot':
      return fixture.ask('deleteSnapshot', { snapshotId: snapshotUuid(op.snapshot) });
  }
}

/** Null for success, or its status. */
async function outcomeOf(call: Promise<unknown>): Promise<Status | null> {
  try {
    await call;
    return null;
  } catch (thrown) {
    assert.ok(thrown instanceof CsiError, String(thrown));
    return thrown.status;
  }
}

const volume = fc.constantFrom('v1', 'v2');
const snapshot = fc.constantFrom('s1', 's2');
const node = fc.constantFrom(nodeA, nodeB);
const size = fc.integer({ min: 1, max: 3 });
const op: fc.Arbitrary<Op> = fc.oneof(
  fc.record({
    kind: fc.constant('create' as const),
    volume,
    size,
    from: fc.option(snapshot, { freq: 2 }),
  }),
  fc.record({ kind: fc.constant('delete' as const), volume }),
  fc.record({
    kind: fc.constant('publish' as const),
    volume,
    node,
    readonly: fc.boolean(),
    shared: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant('unpublish' as const),
    volume,
    node: fc.constantFrom(nodeA, nodeB, ''),
  }),
  fc.record({ kind: fc.constant('expand' as const), volume, size }),
  fc.record({ kind: fc.constant('snapshot' as const), snapshot, volume }),
  fc.record({ kind: fc.constant('deleteSnapshot' as const), snapshot }),
);
const step: fc.Arbitrary<Step> = fc.record({
  op,
  copies: fc.integer({ min: 1, max: 3 }),
  cut: fc.option(
    fc.record({
      nth: fc.integer({ min: 1, max: 8 }),
      when: fc.constantFrom<CutWhen>('before', 'after'),
    }),
  ),
});

test('sequences: of calls that are repeated, sent at once and cut: what the model says', async () => {
  const cutter = new Cutter();
  await using one = await ControllerFixture.open(1, { wrap: cutter.wrap });
  await using two = one.beside({ wrap: cutter.wrap });
  const run = async (steps: Step[]): Promise<void> => {
    const model = new Model();
    for (const { op: wanted, copies, cut } of steps) {
      const expected = model.apply(wanted);
      const text = JSON.stringify({ wanted, copies, cut });
      if (cut === null) cutter.disarm();
      else cutter.arm(cut.nth, cut.when);
      const calls = Array.from({ length: copies }, (_, index) =>
        outcomeOf(send(index % 2 === 0 ? one : two, wanted)),
      );
      const outcomes = await Promise.all(calls);
      const wasCut = cutter.disarm();
      for (const outcome of outcomes) {
        const late = wasCut && outcome === 'UNAVAILABLE';
        const other = copies > 1 && outcome === 'ABORTED';
        assert.ok(outcome === expected || late || other, `${text}: ${outcome}, not ${expected}`);
      }
      // Whatever came of those, called again it is as if they had been one.
      assert.equal(await outcomeOf(send(two, wanted)), expected, text);
      assert.deepEqual(await found(one), model.contents, text);
    }
    for (const name of model.volumes.keys()) {
      await send(one, { kind: 'unpublish', volume: name, node: '' });
      await send(one, { kind: 'delete', volume: name });
    }
    for (const name of model.snapshots.keys()) {
      await send(one, { kind: 'deleteSnapshot', snapshot: name });
    }
    assert.deepEqual(await found(one), { volumes: [], snapshots: [] });
  };
  await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 24 }), run), {
    numRuns: 25,
    // A sequence that failed leaves the daemon as it is, so shorter ones would begin with that.
    endOnFailure: true,
    seed,
  });
});
