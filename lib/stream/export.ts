/**
 * A layer as a stream: ranges off the maps, data read a little ahead and compressed, records given
 * out in order, only as fast as they are taken.
 */
import { throwIfAborted } from '../errors.js';
import type { LayerRange, VolumeHandle } from '../native.js';
import { maxDataBytes, type StreamHeader } from './format.js';
import { layerRanges, type RangeSource } from './ranges.js';
import { type PackedData, StreamWriter } from './writer.js';
import type { Zstd } from './zstd.js';

/** The part of the pool that an export needs. */
export interface ExportSource extends RangeSource {
  read(volume: VolumeHandle, offsetBytes: bigint, lengthBytes: number): Promise<Uint8Array>;
}

export interface ExportJob {
  /** The snapshot's layer, open for reading. */
  volume: VolumeHandle;
  layer: Uint8Array;
  since: Uint8Array | null;
  header: StreamHeader;
  zstd: Zstd;
  signal?: AbortSignal | undefined;
}

/** Read ahead at most: two pieces of the largest size being read or packed, two waiting. */
const aheadBytes = 4 * maxDataBytes;
/** Pieces read ahead at most, where they are small. */
const aheadPieces = 32;
/** A resume point after so much data: what an interrupted import sends again at most. */
export const resumeBytes = 64n << 20n;
/** Or after so many records, where they are small. */
const resumeRecords = 4096;

/** Data that is being read and packed, or a range of zeroes. */
type Piece =
  | { kind: 'data'; offset: bigint; length: number; packed: Promise<PackedData> }
  | { kind: 'zero'; offset: bigint; length: bigint };

/** The stream, header first. Reads under way have ended when it returns or throws. */
export async function* exportLayer(
  source: ExportSource,
  job: ExportJob,
): AsyncGenerator<Uint8Array, void, void> {
  const writer = new StreamWriter(job.header);
  yield writer.begin();
  const ahead: Piece[] = [];
  const upcoming = piecesOf(source, job);
  let done = false;
  let since = { bytes: 0n, records: 0 };
  try {
    for (;;) {
      while (!done && hasRoom(ahead)) {
        const next = await upcoming.next();
        if (next.done === true) done = true;
        else ahead.push(next.value);
      }
      const piece = ahead[0];
      if (piece === undefined) break;
      throwIfAborted(job.signal, 'export');
      yield await recordOf(writer, piece);
      ahead.shift();
      const length = BigInt(piece.length);
      since = { bytes: since.bytes + length, records: since.records + 1 };
      if (since.bytes < resumeBytes && since.records < resumeRecords) continue;
      yield writer.resume(piece.offset + length);
      since = { bytes: 0n, records: 0 };
    }
    yield writer.end();
  } finally {
    await upcoming.return();
    await Promise.allSettled(ahead.map((piece) => (piece.kind === 'data' ? piece.packed : null)));
  }
}

function hasRoom(ahead: readonly Piece[]): boolean {
  if (ahead.length >= aheadPieces) return false;
  const bytes = ahead.reduce((sum, piece) => sum + (piece.kind === 'data' ? piece.length : 0), 0);
  return bytes < aheadBytes;
}

async function recordOf(writer: StreamWriter, piece: Piece): Promise<Uint8Array> {
  if (piece.kind === 'zero') return writer.zero(piece.offset, piece.length);
  return writer.data(piece.offset, piece.length, await piece.packed);
}

async function* piecesOf(source: ExportSource, job: ExportJob): AsyncGenerator<Piece, void, void> {
  const { layer, since, signal } = job;
  const query = { layer, since, fromOffset: job.header.fromOffset, signal };
  for await (const range of layerRanges(source, query)) {
    if (range.kind === 'zero') {
      yield { kind: 'zero', offset: range.offsetBytes, length: range.lengthBytes };
      continue;
    }
    for (const { offset, length } of cuts(range)) {
      const packed = readAndPack(source, job, offset, length);
      // It is waited for in order; one that fails meanwhile is no unhandled rejection.
      packed.catch(() => undefined);
      yield { kind: 'data', offset, length, packed };
    }
  }
}

/** At multiples of the largest piece, so that pieces lie as chunks do. */
function* cuts({
  offsetBytes,
  lengthBytes,
}: LayerRange): Generator<{ offset: bigint; length: number }> {
  const step = BigInt(maxDataBytes);
  const end = offsetBytes + lengthBytes;
  for (let offset = offsetBytes; offset < end; ) {
    const next = (offset / step + 1n) * step;
    const stop = next < end ? next : end;
    yield { offset, length: Number(stop - offset) };
    offset = stop;
  }
}

async function readAndPack(
  source: ExportSource,
  { volume, zstd }: ExportJob,
  offset: bigint,
  length: number,
): Promise<PackedData> {
  const bytes = await source.read(volume, offset, length);
  const frame = await zstd.compress(bytes);
  if (frame.length < bytes.length) return { type: 'zstd', bytes: frame };
  return { type: 'raw', bytes };
}
