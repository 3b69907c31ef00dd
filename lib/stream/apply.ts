/**
 * A stream applied to an open layer: each record only after it has been proved, a few at once, and
 * made durable at resume points and at whatever ends it.
 */
import { throwIfAborted } from '../errors.js';
import type { VolumeHandle } from '../native.js';
import { maxDataBytes, type StreamTotals } from './format.js';
import { type StreamReader, type StreamRecord, unpack } from './reader.js';
import type { Zstd } from './zstd.js';

/** The part of the pool that an import needs. */
export interface ApplyTarget {
  write(volume: VolumeHandle, offsetBytes: bigint, data: Uint8Array): Promise<void>;
  deallocate(volume: VolumeHandle, offsetBytes: bigint, lengthBytes: bigint): Promise<void>;
  flush(volume: VolumeHandle): Promise<void>;
}

export interface ApplyJob {
  volume: VolumeHandle;
  reader: StreamReader;
  zstd: Zstd;
  /** Everything below is durable from an earlier stream of the same UUID: skipped. */
  appliedBytes: bigint;
  /** Called when everything below is durable; what it writes down is where a resume begins. */
  durable(appliedBytes: bigint): Promise<void>;
  signal?: AbortSignal | undefined;
}

/** Data in memory or on its way to the pool, at most. */
const underWayBytes = 4 * maxDataBytes;
const underWayRecords = 32;

/**
 * Reads the stream to its proved end. When it resolves, all of it is durable. When it rejects,
 * every record before the failure is, and has been told to `durable`, unless the pool failed.
 */
export async function applyStream(target: ApplyTarget, job: ApplyJob): Promise<StreamTotals> {
  const writes = new Writes(target, job);
  try {
    for await (const record of job.reader.records()) {
      throwIfAborted(job.signal, 'import');
      if (record.kind === 'end') {
        await writes.makeDurable(job.reader.header.sizeBytes);
        return record.totals;
      }
      if (record.kind === 'resume') await writes.makeDurable(record.offset);
      else await writes.add(record);
    }
    throw new RangeError('the records of a stream ended without its end');
  } catch (thrown) {
    await writes.keepWhatCame();
    throw thrown;
  }
}

class Writes {
  readonly #target: ApplyTarget;
  readonly #job: ApplyJob;
  readonly #underWay = new Set<Promise<void>>();
  #bytes = 0;
  /** Everything below has been handed to the pool. */
  #reached: bigint;
  #durable: bigint;
  /** The first write that failed: nothing is made durable from then on. */
  #failure: { thrown: unknown } | null = null;

  constructor(target: ApplyTarget, job: ApplyJob) {
    this.#target = target;
    this.#job = job;
    this.#reached = job.appliedBytes;
    this.#durable = job.appliedBytes;
  }

  /** Resolves when there is room for the next record. */
  async add(record: Extract<StreamRecord, { kind: 'data' | 'zero' }>): Promise<void> {
    const end = record.offset + BigInt(record.length);
    if (end <= this.#job.appliedBytes) return;
    const bytes = record.kind === 'data' ? record.length : 0;
    const full = (): boolean =>
      this.#bytes + bytes > underWayBytes || this.#underWay.size >= underWayRecords;
    while (this.#underWay.size > 0 && full()) await Promise.race(this.#underWay);
    this.#throwFailure();
    this.#bytes += bytes;
    const write = this.#apply(record)
      .catch((thrown: unknown) => {
        this.#failure ??= { thrown };
      })
      .finally(() => {
        this.#bytes -= bytes;
        this.#underWay.delete(write);
      });
    this.#underWay.add(write);
    this.#reached = end;
  }

  async #apply(record: Extract<StreamRecord, { kind: 'data' | 'zero' }>): Promise<void> {
    const { volume, zstd } = this.#job;
    if (record.kind === 'zero') {
      await this.#target.deallocate(volume, record.offset, record.length);
      return;
    }
    await this.#target.write(volume, record.offset, await unpack(record, zstd));
  }

  async makeDurable(offset: bigint): Promise<void> {
    await Promise.all(this.#underWay);
    this.#throwFailure();
    if (offset <= this.#durable) return;
    await this.#target.flush(this.#job.volume);
    await this.#job.durable(offset);
    this.#durable = offset;
  }

  /** After a failure of the stream: what was proved before it need not be sent again. */
  async keepWhatCame(): Promise<void> {
    await Promise.all(this.#underWay);
    if (this.#failure !== null) return;
    try {
      await this.makeDurable(this.#reached);
    } catch {
      // The failure that led here is the one to tell; the last resume point stays.
    }
  }

  #throwFailure(): void {
    if (this.#failure !== null) throw this.#failure.thrown;
  }
}
