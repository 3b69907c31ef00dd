/** One namespace of a controller that our own host is connected to. */
import { AshlarError } from '../errors.js';
import {
  deallocateCommand,
  ioOpcode,
  maxBlocksPerCommand,
  maxDatasetRanges,
  rangeCommand,
  sqe,
} from './commands.js';
import type { CallOptions, Host } from './host.js';
import type { NamespaceIdentity } from './identify.js';
import { succeeded } from './status.js';

/** Options of a command on a range. */
export interface RangeOptions extends CallOptions {
  /** The I/O queue to use; left out: the queues in turn. */
  qid?: number | undefined;
}

/** Options of a write. */
export interface WriteOptions extends RangeOptions {
  /** Force Unit Access: durable when the promise resolves. */
  fua?: boolean | undefined;
}

/** Where no MDTS limits a transfer, we do: 1 MiB. */
const defaultTransferBytes = 1024 * 1024;
/** Parts of one large transfer in flight at once. */
const partsInFlight = 8;

/**
 * Reads and writes one namespace. Offsets and lengths are in bytes and must be whole blocks; the
 * `…Blocks` calls take LBAs. A transfer larger than the controller takes is split; then parts of a
 * failed write may have been applied.
 */
export class HostNamespace {
  readonly nsid: number;
  readonly blockBytes: number;
  readonly sizeBytes: bigint;
  readonly #host: Host;
  readonly #maxBlocks: number;

  /** Use {@link Host.namespace}. */
  constructor(host: Host, nsid: number, identity: NamespaceIdentity, mdts: number) {
    this.#host = host;
    this.nsid = nsid;
    this.blockBytes = identity.blockBytes;
    this.sizeBytes = identity.sizeBytes;
    const mostBytes = mdts === 0 ? defaultTransferBytes : Math.min(4096 * 2 ** mdts, 2 ** 24);
    this.#maxBlocks = Math.min(maxBlocksPerCommand, Math.floor(mostBytes / identity.blockBytes));
  }

  /** Reads `length` bytes at `offset`. */
  read(offset: bigint, length: number, options: RangeOptions = {}): Promise<Uint8Array> {
    const { slba, blocks } = this.#range(offset, length);
    return this.readBlocks(slba, blocks, options);
  }

  /** Writes `data` at `offset`; durable after a later flush, or at once with `fua`. */
  write(offset: bigint, data: Uint8Array, options: WriteOptions = {}): Promise<void> {
    const { slba } = this.#range(offset, data.byteLength);
    return this.writeBlocks(slba, data, options);
  }

  async readBlocks(slba: bigint, blocks: number, options: RangeOptions = {}): Promise<Uint8Array> {
    const result = new Uint8Array(blocks * this.blockBytes);
    await this.#inParts(blocks, async (first, count) => {
      const bytes = count * this.blockBytes;
      const range = { nsid: this.nsid, slba: slba + BigInt(first), blocks: count };
      const completion = await this.#host.submitEntry(
        options.qid ?? null,
        { sqe: rangeCommand(ioOpcode.read, range), dataOut: null, dataInBytes: bytes },
        options,
      );
      const what = `Read of ${count} blocks at LBA ${range.slba}`;
      const { data, dataBytes } = succeeded(completion, what);
      if (data === null || dataBytes !== bytes) {
        throw new AshlarError(
          'protocol-error',
          `${what}: the controller sent ${dataBytes} bytes of ${bytes} and said success`,
        );
      }
      result.set(data, first * this.blockBytes);
    });
    return result;
  }

  async writeBlocks(slba: bigint, data: Uint8Array, options: WriteOptions = {}): Promise<void> {
    await this.#sendBlocks(ioOpcode.write, 'Write', slba, data, options);
  }

  /**
   * Compares `data` with what is stored at `offset`: true when equal. Compares larger than the
   * controller's largest transfer are not atomic.
   */
  async compare(offset: bigint, data: Uint8Array, options: RangeOptions = {}): Promise<boolean> {
    const { slba } = this.#range(offset, data.byteLength);
    const compareFailure = 0x285;
    let equal = true;
    await this.#inParts(data.byteLength / this.blockBytes, async (first, count) => {
      const range = { nsid: this.nsid, slba: slba + BigInt(first), blocks: count };
      const completion = await this.#host.submitEntry(
        options.qid ?? null,
        {
          sqe: rangeCommand(ioOpcode.compare, range),
          dataOut: data.subarray(first * this.blockBytes, (first + count) * this.blockBytes),
          dataInBytes: 0,
        },
        options,
      );
      if (completion.status === compareFailure) equal = false;
      else succeeded(completion, `Compare of ${count} blocks at LBA ${range.slba}`);
    });
    return equal;
  }

  /** Everything written before this call is durable when it resolves. */
  async flush(options: RangeOptions = {}): Promise<void> {
    const entry = sqe({ opcode: ioOpcode.flush, nsid: this.nsid });
    const completion = await this.#host.submitEntry(
      options.qid ?? null,
      { sqe: entry, dataOut: null, dataInBytes: 0 },
      options,
    );
    succeeded(completion, `Flush of namespace ${this.nsid}`);
  }

  /** The range reads as zeroes afterwards; `deallocate` lets the controller give the space back. */
  async writeZeroes(
    offset: bigint,
    length: bigint,
    options: WriteOptions & { deallocate?: boolean | undefined } = {},
  ): Promise<void> {
    let { slba, blocks } = this.#longRange(offset, length);
    while (blocks > 0n) {
      const count = blocks < BigInt(maxBlocksPerCommand) ? Number(blocks) : maxBlocksPerCommand;
      const entry = rangeCommand(
        ioOpcode.writeZeroes,
        { nsid: this.nsid, slba, blocks: count },
        { fua: options.fua, deallocate: options.deallocate },
      );
      const completion = await this.#host.submitEntry(
        options.qid ?? null,
        { sqe: entry, dataOut: null, dataInBytes: 0 },
        options,
      );
      succeeded(completion, `Write Zeroes of ${count} blocks at LBA ${slba}`);
      slba += BigInt(count);
      blocks -= BigInt(count);
    }
  }

  /** Gives the space of the ranges back; they read as zeroes afterwards (DLFEAT of an Ashlar). */
  async deallocate(
    ranges: readonly { offset: bigint; length: bigint }[],
    options: RangeOptions = {},
  ): Promise<void> {
    const mostBlocks = 0xffff_ffffn;
    const pieces: { slba: bigint; blocks: number }[] = [];
    for (const range of ranges) {
      let { slba, blocks } = this.#longRange(range.offset, range.length);
      while (blocks > 0n) {
        const count = blocks < mostBlocks ? blocks : mostBlocks;
        pieces.push({ slba, blocks: Number(count) });
        slba += count;
        blocks -= count;
      }
    }
    for (let first = 0; first < pieces.length; first += maxDatasetRanges) {
      const some = pieces.slice(first, first + maxDatasetRanges);
      const command = deallocateCommand(this.nsid, some);
      const completion = await this.#host.submitEntry(
        options.qid ?? null,
        { sqe: command.sqe, dataOut: command.data, dataInBytes: 0 },
        options,
      );
      succeeded(completion, `Dataset Management of ${some.length} ranges`);
    }
  }

  async #sendBlocks(
    opcode: number,
    name: string,
    slba: bigint,
    data: Uint8Array,
    options: WriteOptions,
  ): Promise<void> {
    if (data.byteLength === 0 || data.byteLength % this.blockBytes !== 0) {
      throw this.#notBlocks(`${data.byteLength} bytes of data`);
    }
    await this.#inParts(data.byteLength / this.blockBytes, async (first, count) => {
      const range = { nsid: this.nsid, slba: slba + BigInt(first), blocks: count };
      const completion = await this.#host.submitEntry(
        options.qid ?? null,
        {
          sqe: rangeCommand(opcode, range, { fua: options.fua }),
          dataOut: data.subarray(first * this.blockBytes, (first + count) * this.blockBytes),
          dataInBytes: 0,
        },
        options,
      );
      succeeded(completion, `${name} of ${count} blocks at LBA ${range.slba}`);
    });
  }

  /** Calls `part` for consecutive pieces that the controller takes, a few at a time. */
  async #inParts(
    blocks: number,
    part: (first: number, count: number) => Promise<void>,
  ): Promise<void> {
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < blocks) {
        const first = next;
        const count = Math.min(this.#maxBlocks, blocks - first);
        next += count;
        await part(first, count);
      }
    };
    const workers = Math.min(partsInFlight, Math.ceil(blocks / this.#maxBlocks));
    // All settle before this one does, so that nothing is under way after a rejection.
    const results = await Promise.allSettled(Array.from({ length: workers }, worker));
    for (const result of results) {
      if (result.status === 'rejected') throw result.reason;
    }
  }

  #range(offset: bigint, length: number): { slba: bigint; blocks: number } {
    const { slba, blocks } = this.#longRange(offset, BigInt(length));
    return { slba, blocks: Number(blocks) };
  }

  #longRange(offset: bigint, length: bigint): { slba: bigint; blocks: bigint } {
    const block = BigInt(this.blockBytes);
    if (offset < 0n || length <= 0n || offset % block !== 0n || length % block !== 0n) {
      throw this.#notBlocks(`${length} bytes at ${offset}`);
    }
    return { slba: offset / block, blocks: length / block };
  }

  #notBlocks(what: string): AshlarError {
    return new AshlarError(
      'invalid-argument',
      `${what} are not whole blocks of ${this.blockBytes} bytes in namespace ${this.nsid}`,
    );
  }
}
