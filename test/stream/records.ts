/** Streams to test with, as plain values and as bytes. */

import { type StreamHeader, streamUuidOf } from '../../lib/stream/format.js';
import { StreamReader, unpack } from '../../lib/stream/reader.js';
import { StreamWriter } from '../../lib/stream/writer.js';
import { loadZstd, type Zstd } from '../../lib/stream/zstd.js';

/** What a stream says, without how it is packed. */
export type Piece =
  | { kind: 'data'; offset: bigint; data: Buffer }
  | { kind: 'zero'; offset: bigint; length: bigint }
  | { kind: 'resume'; offset: bigint };

export function uuidOf(last: number): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes[15] = last;
  return bytes;
}

export function headerOf(over: Partial<StreamHeader> = {}): StreamHeader {
  const snapshotUuid = over.snapshotUuid ?? uuidOf(2);
  const baseUuid = over.baseUuid ?? null;
  return {
    kind: baseUuid === null ? 'full' : 'difference',
    volumeUuid: uuidOf(1),
    volumeName: 'web',
    snapshotName: 'mon',
    sizeBytes: 1n << 20n,
    baseSizeBytes: baseUuid === null ? 0n : 1n << 20n,
    blockBytes: 4096,
    fromOffset: 0n,
    snapshotCreatedMs: 1_790_000_000_000,
    createdMs: 1_790_000_001_000,
    ...over,
    snapshotUuid,
    baseUuid,
    streamUuid: over.streamUuid ?? streamUuidOf(snapshotUuid, baseUuid),
  };
}

/** The bytes of a stream, one buffer for the header and for each record. */
export async function written(
  header: StreamHeader,
  pieces: readonly Piece[],
  zstd: Zstd | null,
): Promise<Buffer[]> {
  const writer = new StreamWriter(header);
  const out = [writer.begin()];
  for (const piece of pieces) {
    if (piece.kind === 'zero') out.push(writer.zero(piece.offset, piece.length));
    else if (piece.kind === 'resume') out.push(writer.resume(piece.offset));
    else {
      const { offset, data } = piece;
      const packed =
        zstd === null
          ? { type: 'raw' as const, bytes: data }
          : { type: 'zstd' as const, bytes: await zstd.compress(data) };
      out.push(writer.data(offset, data.length, packed));
    }
  }
  out.push(writer.end());
  return out;
}

/** The bytes cut at every `step`, as a pipe would. */
export async function* pieces(bytes: Buffer, step: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += step) yield bytes.subarray(at, at + step);
}

/** Reads to the end or to the first thing that is wrong, which is in `error`. */
export async function readAll(
  source: AsyncIterable<Uint8Array>,
  zstd?: Zstd,
): Promise<{ header: StreamHeader | null; pieces: Piece[]; whole: boolean; error: unknown }> {
  const found: Piece[] = [];
  let header: StreamHeader | null = null;
  let whole = false;
  try {
    const reader = await StreamReader.open(source);
    header = reader.header;
    const codec = zstd ?? (await loadZstd());
    for await (const record of reader.records()) {
      if (record.kind === 'end') whole = true;
      else if (record.kind === 'data') {
        const data = Buffer.from(await unpack(record, codec));
        found.push({ kind: 'data', offset: record.offset, data });
      } else found.push(record);
    }
    return { header, pieces: found, whole, error: null };
  } catch (error) {
    return { header, pieces: found, whole, error };
  }
}
