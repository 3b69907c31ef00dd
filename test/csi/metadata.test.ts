/** SnapshotMetadata: what snapshots hold and where they differ, against what was written. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ControllerFixture, capability, MiB, nodeA, refused } from './controller_fixture.js';
import { published } from './node_io.js';

const block = 4096;
const size = 4n * MiB;
const gone = '99999999-9999-4999-8999-999999999999';

interface Written {
  fixture: ControllerFixture;
  volumeId: string;
  /** In the order in which they were taken. */
  snapshots: string[];
}

/** Blocks 0–3, 8 and the last; then 8 rewritten, 2 zeroed, 100–102 written. */
async function written(fixture: ControllerFixture): Promise<Written> {
  const { volume } = await fixture.ask('createVolume', {
    name: 'data',
    capacityRange: { requiredBytes: size },
    volumeCapabilities: [capability('SINGLE_NODE_WRITER')],
  });
  const volumeId = volume?.volumeId ?? '';
  const snap = async (name: string): Promise<string> => {
    const { snapshot } = await fixture.ask('createSnapshot', { name, sourceVolumeId: volumeId });
    return snapshot?.snapshotId ?? '';
  };
  const fill = (blocks: number) => Buffer.alloc(blocks * block, 7);
  await published(fixture, volumeId, nodeA, async (namespace) => {
    await namespace.write(0n, fill(4));
    await namespace.write(8n * 4096n, fill(1));
    await namespace.write(size - 4096n, fill(1));
  });
  const first = await snap('first');
  await published(fixture, volumeId, nodeA, async (namespace) => {
    await namespace.write(8n * 4096n, Buffer.alloc(block, 9));
    await namespace.writeZeroes(2n * 4096n, 4096n);
    await namespace.write(100n * 4096n, fill(3));
  });
  return { fixture, volumeId, snapshots: [first, await snap('second')] };
}

/** The blocks in all messages, after the rules of every stream have been looked at. */
function blocksOf(
  messages: readonly {
    blockMetadataType: string;
    volumeCapacityBytes: bigint;
    blockMetadata: readonly { byteOffset: bigint; sizeBytes: bigint }[];
  }[],
): number[] {
  const blocks: number[] = [];
  let end = 0n;
  for (const { blockMetadataType, volumeCapacityBytes, blockMetadata } of messages) {
    assert.equal(blockMetadataType, 'VARIABLE_LENGTH');
    assert.equal(volumeCapacityBytes, size);
    for (const { byteOffset, sizeBytes } of blockMetadata) {
      assert.ok(byteOffset >= end && sizeBytes > 0n);
      end = byteOffset + sizeBytes;
      for (let at = byteOffset / 4096n; at * 4096n < end; at += 1n) blocks.push(Number(at));
    }
  }
  return blocks;
}

const last = Number(size / 4096n) - 1;

test('metadata: what a snapshot holds, whatever the length of a message', async () => {
  await using fixture = await ControllerFixture.open();
  const { snapshots } = await written(fixture);
  const [snapshotId = '', secondId = ''] = snapshots;
  for (const maxResults of [0, 1, 2, 5000]) {
    const request = { snapshotId, maxResults };
    const messages = await fixture.askMetadata('getMetadataAllocated', request);
    assert.deepEqual(blocksOf(messages), [0, 1, 2, 3, 8, last]);
    for (const { blockMetadata } of messages) {
      assert.ok(maxResults === 0 || blockMetadata.length <= maxResults);
    }
  }
  const second = await fixture.askMetadata('getMetadataAllocated', { snapshotId: secondId });
  const holds = blocksOf(second).filter((each) => each !== 2);
  assert.deepEqual(holds, [0, 1, 3, 8, 100, 101, 102, last]);
});

test('metadata: the difference of two, also what became zeroes; and from an offset on', async () => {
  await using fixture = await ControllerFixture.open();
  const { snapshots } = await written(fixture);
  const [baseSnapshotId = '', targetSnapshotId = ''] = snapshots;
  const delta = (startingOffset: bigint, maxResults = 0) =>
    fixture.askMetadata('getMetadataDelta', {
      baseSnapshotId,
      targetSnapshotId,
      startingOffset,
      maxResults,
    });
  for (const maxResults of [0, 1]) {
    assert.deepEqual(blocksOf(await delta(0n, maxResults)), [2, 8, 100, 101, 102]);
  }
  assert.deepEqual(blocksOf(await delta(101n * 4096n)), [101, 102]);
  // In the middle of a block: the rest of it, and nothing that ends before.
  const [message] = await delta(101n * 4096n + 5n);
  assert.equal(message?.blockMetadata[0]?.byteOffset, 101n * 4096n + 5n);
  assert.deepEqual(blocksOf(await delta(size)), []);
  for (const startingOffset of [-1n, size + 1n]) {
    await refused(delta(startingOffset), 'OUT_OF_RANGE', String(startingOffset));
  }
});

test('metadata: what is wrong: the code of the table', async () => {
  await using fixture = await ControllerFixture.open();
  const { snapshots, volumeId } = await written(fixture);
  const [first = '', second = ''] = snapshots;
  const volumeContentSource = { volume: { volumeId } };
  const clone = await fixture.ask('createVolume', {
    name: 'clone',
    volumeContentSource,
    volumeCapabilities: [capability('SINGLE_NODE_WRITER')],
  });
  const { snapshot: others } = await fixture.ask('createSnapshot', {
    name: 'of the clone',
    sourceVolumeId: clone.volume?.volumeId ?? '',
  });
  const other = others?.snapshotId ?? '';
  const delta = (baseSnapshotId: string, targetSnapshotId: string, maxResults = 0) =>
    fixture.askMetadata('getMetadataDelta', { baseSnapshotId, targetSnapshotId, maxResults });
  await refused(delta('', second), 'INVALID_ARGUMENT', 'base_snapshot_id');
  await refused(delta(first, ''), 'INVALID_ARGUMENT', 'target_snapshot_id');
  await refused(delta(gone, second), 'NOT_FOUND', gone);
  await refused(delta(first, gone), 'NOT_FOUND', gone);
  await refused(delta(second, first), 'INVALID_ARGUMENT', 'not older');
  await refused(delta(first, first), 'INVALID_ARGUMENT', 'not older');
  await refused(delta(first, other), 'INVALID_ARGUMENT', 'of one volume');
  await refused(delta(first, second, -1), 'INVALID_ARGUMENT', 'max_results');
  const allocated = (request: object) => fixture.askMetadata('getMetadataAllocated', request);
  await refused(allocated({ snapshotId: '' }), 'INVALID_ARGUMENT', 'snapshot_id');
  await refused(allocated({ snapshotId: gone }), 'NOT_FOUND', gone);
  await refused(allocated({ snapshotId: first, startingOffset: size + 1n }), 'OUT_OF_RANGE');
  await refused(allocated({ snapshotId: first, maxResults: -1 }), 'INVALID_ARGUMENT');
});

test('metadata: a caller that goes away: nothing more is asked of the daemon', async () => {
  let asked = 0;
  await using fixture = await ControllerFixture.open(1, {
    wrap: (caller) => ({
      get reachedBy() {
        return caller.reachedBy;
      },
      request: (id, input, options) => {
        if (id === 'listRanges') asked += 1;
        return caller.request(id, input, options);
      },
      close: () => caller.close(),
    }),
  });
  const { snapshots } = await written(fixture);
  const cancelled = new AbortController();
  const { SnapshotMetadata } = fixture.services;
  const request = {
    snapshotId: snapshots[0] ?? '',
    startingOffset: 0n,
    maxResults: 1,
    secrets: {},
  };
  const call = { signal: cancelled.signal, log: fixture.log };
  const stream = SnapshotMetadata.getMetadataAllocated(request, call)[Symbol.asyncIterator]();
  assert.equal((await stream.next()).done, false);
  assert.equal(asked, 1, 'the next page is asked for when it is wanted');
  cancelled.abort();
  await assert.rejects(async () => stream.next());
  assert.equal(asked, 1);
});
