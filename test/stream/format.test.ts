/** The format: bytes as FORMAT.md says them, and everything that is wrong is refused. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import zlib from 'node:zlib';
import fc from 'fast-check';
import { toAshlarError } from '../../lib/errors.js';
import { encodeHeader, streamUuidOf } from '../../lib/stream/format.js';
import { nodeZstd, wasmZstd } from '../../lib/stream/zstd.js';
import { headerOf, type Piece, pieces, readAll, uuidOf, written } from './records.js';

const data = (offset: bigint, length: number, fill: number | string): Piece => ({
  kind: 'data',
  offset,
  data: Buffer.alloc(length, fill),
});

/** A small difference with every type of record. */
const small: Piece[] = [
  data(0n, 4096, 'a'),
  { kind: 'zero', offset: 8192n, length: 4096n },
  { kind: 'resume', offset: 12_288n },
  data(16_384n, 4096, 'zstd '),
];
const smallHeader = headerOf({ baseUuid: uuidOf(3), baseSizeBytes: 65_536n });

async function smallStream(): Promise<Buffer> {
  return Buffer.concat(await written(smallHeader, small, await wasmZstd()));
}

/** Wrong streams end in 'stream-corrupt' (or a newer format) and never give the end. */
async function refused(bytes: Buffer, what: string, step = 4096): Promise<Piece[]> {
  const read = await readAll(pieces(bytes, step), await wasmZstd());
  assert.equal(read.whole, false, `${what}: read to its end`);
  const { code } = toAshlarError(read.error);
  assert.match(code, /^stream-(corrupt|newer-format)$/, `${what}: ${String(read.error)}`);
  return read.pieces;
}

describe('format', () => {
  it('golden bytes: header, records and end are as FORMAT.md says', async () => {
    const header = headerOf({ sizeBytes: 8192n, volumeName: 'v', snapshotName: 's' });
    const block = Buffer.alloc(4096, 7);
    const bytes = Buffer.concat(
      await written(header, [{ kind: 'data', offset: 4096n, data: block }], null),
    );
    const hex = (text: string) => Buffer.from(text.replaceAll(/\s/g, ''), 'hex');
    const uuid = createHash('sha256')
      .update(Buffer.concat([Buffer.from('ashlar export stream'), uuidOf(2), uuidOf(0)]))
      .digest()
      .subarray(0, 16);
    uuid[6] = ((uuid[6] ?? 0) & 15) | 0x80;
    uuid[8] = ((uuid[8] ?? 0) & 63) | 0x80;
    const fixed = Buffer.concat([
      Buffer.from('ASHLAREX'),
      hex('0100 8600 01000000'),
      uuid,
      hex('00000000000000000000000000000001 00000000000000000000000000000002'),
      hex('00000000000000000000000000000000'),
      hex('0020000000000000 0000000000000000 0000000000000000'),
      hex(le(1_790_000_000_000) + le(1_790_000_001_000)),
      hex('00100000 01 01 01 00'),
      Buffer.from('vs'),
    ]);
    const headSum = zlib.crc32(fixed);
    const record = Buffer.concat([
      hex('01 000000 00100000 0000000000000000 0010000000000000 0010000000000000'),
      block,
    ]);
    const recordSum = zlib.crc32(record, headSum);
    const before = Buffer.concat([fixed, le32(headSum), record, le32(recordSum)]);
    const end = Buffer.concat([
      hex('05 000000 40000000 0100000000000000 0020000000000000 0000000000000000'),
      hex('0100000000000000 0000000000000000 0010000000000000 0000000000000000'),
      createHash('sha256').update(before).digest(),
    ]);
    const whole = Buffer.concat([before, end, le32(zlib.crc32(end, recordSum))]);
    assert.equal(bytes.toString('hex'), whole.toString('hex'));
  });

  it('the UUID of a stream: of its snapshots alone', () => {
    const uuid = streamUuidOf(uuidOf(2), null);
    assert.deepEqual(streamUuidOf(uuidOf(2), null), uuid);
    assert.notDeepEqual(streamUuidOf(uuidOf(3), null), uuid);
    assert.notDeepEqual(streamUuidOf(uuidOf(2), uuidOf(1)), uuid);
  });

  it('any records, cut anywhere by the pipe, packed or not: come back as they were', async () => {
    const zstd = await wasmZstd();
    const piece = fc.record({
      kind: fc.constantFrom('data' as const, 'data' as const, 'zero' as const, 'resume' as const),
      gap: fc.integer({ min: 0, max: 3 }),
      blocks: fc.integer({ min: 1, max: 6 }),
      fill: fc.oneof(fc.constant('same'), fc.constant('random')),
    });
    const stream = fc.record({
      steps: fc.array(piece, { maxLength: 12 }),
      tail: fc.constantFrom(0, 512, 2048),
      cut: fc.integer({ min: 1, max: 9000 }),
      packed: fc.boolean(),
      base: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(stream, async ({ steps, tail, cut, packed, base }) => {
        const wanted: Piece[] = [];
        let at = 0n;
        for (const { kind, gap, blocks, fill } of steps) {
          at += BigInt(gap) * 4096n;
          const length = blocks * 4096;
          if (kind === 'resume') wanted.push({ kind, offset: at });
          else if (kind === 'zero') wanted.push({ kind, offset: at, length: BigInt(length) });
          else wanted.push({ kind, offset: at, data: filled(fill, length, Number(at)) });
          if (kind !== 'resume') at += BigInt(length);
        }
        if (tail > 0) wanted.push({ kind: 'data', offset: at, data: filled('random', tail, 1) });
        const header = headerOf({
          sizeBytes: at + BigInt(tail === 0 ? 4096 : tail),
          blockBytes: 512,
          baseUuid: base ? uuidOf(9) : null,
        });
        const bytes = Buffer.concat(await written(header, wanted, packed ? zstd : null));
        const read = await readAll(pieces(bytes, cut), zstd);
        assert.equal(read.error, null);
        assert.deepEqual(read, { header, pieces: wanted, whole: true, error: null });
      }),
      { numRuns: 200 },
    );
  });

  it('every byte of a small stream flipped: refused, and nothing untrue is given out', async () => {
    const bytes = await smallStream();
    for (let at = 0; at < bytes.length; at += 1) {
      const flipped = Buffer.from(bytes);
      flipped[at] = (flipped[at] ?? 0) ^ (1 << (at % 8));
      const given = await refused(flipped, `byte ${at}`);
      assert.deepEqual(given, small.slice(0, given.length), `byte ${at}`);
    }
  });

  it('every truncation: refused, and what was given out is true', async () => {
    const bytes = await smallStream();
    for (let length = 0; length < bytes.length; length += 1) {
      const given = await refused(bytes.subarray(0, length), `${length} bytes`);
      assert.deepEqual(given, small.slice(0, given.length), `${length} bytes`);
    }
  });

  it('a record left out, repeated, swapped, or from another stream: refused at that record', async () => {
    const ours = await written(smallHeader, small, null);
    const other = await written({ ...smallHeader, createdMs: 5 }, small, null);
    for (let at = 1; at < ours.length; at += 1) {
      const without = ours.filter((_, index) => index !== at);
      const last = at === ours.length - 1;
      const twice = ours.flatMap((record, index) => (index === at ? [record, record] : [record]));
      const swapped = [...ours];
      const [a, b] = [ours[at], ours[at + 1]];
      if (a !== undefined && b !== undefined) [swapped[at], swapped[at + 1]] = [b, a];
      const spliced = [...ours.slice(0, at), ...other.slice(at)];
      const cases: [string, Buffer[]][] = [
        ['left out', without],
        ['repeated', twice],
        ...(last ? [] : ([['swapped', swapped]] as [string, Buffer[]][])),
        ['spliced', spliced],
      ];
      for (const [what, records] of cases) {
        const given = await refused(Buffer.concat(records), `record ${at} ${what}`);
        const right = what === 'repeated' ? at : at - 1;
        assert.ok(given.length <= right, `record ${at} ${what}: ${given.length} given out`);
      }
    }
  });

  it('trailing bytes, a newer version, an unknown feature, no stream at all: refused by name', async () => {
    const bytes = await smallStream();
    const says = async (wrong: Buffer): Promise<string> => {
      const { error } = await readAll(pieces(wrong, 100));
      const { code, message } = toAshlarError(error);
      return `${code}: ${message}`;
    };
    assert.match(await says(Buffer.concat([bytes, Buffer.alloc(1)])), /follows its end/);
    assert.match(await says(Buffer.alloc(0)), /^stream-corrupt: .*empty/);
    assert.match(await says(Buffer.alloc(500)), /^stream-corrupt: .*not an export stream/);
    const newer = Buffer.from(bytes);
    newer.writeUInt16LE(2, 8);
    assert.match(await says(newer), /^stream-newer-format: .*version 2/);
    const header = encodeHeader(smallHeader);
    const end = header.length - 4;
    header.writeUInt32LE(0x81, 12);
    header.writeUInt32LE(zlib.crc32(header.subarray(0, end)), end);
    assert.match(await says(header), /^stream-newer-format: .*features 80h/);
  });

  it('a zstd frame that claims 2 GiB: refused before room is made for it', async () => {
    const frame = Buffer.from('28b52ffda0000000800100000000', 'hex');
    for (const zstd of [await wasmZstd(), nodeZstd()]) {
      if (zstd === null) continue;
      await assert.rejects(zstd.decompress(frame, 4096), /holds 2147483648 bytes, not 4096/);
      await assert.rejects(zstd.decompress(Buffer.alloc(20), 4096), /not a zstd frame/);
    }
  });

  it('interop: what either zstd wrote the other reads', async (t) => {
    const node = nodeZstd();
    if (node === null) {
      t.skip(`Node ${process.versions.node} has no zstd of its own (22.15 and newer have)`);
      return;
    }
    const wasm = await wasmZstd();
    for (const length of [1, 255, 256, 4096, 65_536, 65_792, 100_000, 1 << 20]) {
      for (const fill of ['same', 'random'] as const) {
        const bytes = filled(fill, length, length);
        for (const [from, to] of [
          [node, wasm],
          [wasm, node],
          [node, node],
          [wasm, wasm],
        ] as const) {
          const frame = await from.compress(bytes);
          const back = Buffer.from(await to.decompress(frame, length));
          assert.ok(back.equals(bytes), `${from.name} to ${to.name}, ${length} ${fill}`);
        }
      }
    }
  });
});

function filled(fill: string, length: number, seed: number): Buffer {
  if (fill === 'same') return Buffer.alloc(length, seed % 251);
  const bytes = Buffer.alloc(length);
  let state = seed + 1;
  for (let at = 0; at < length; at += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

function le(value: number): string {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes.toString('hex');
}

function le32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
