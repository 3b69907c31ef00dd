/** Differences and exports of snapshots, found by name. */
import type { Catalog, Stored } from '../catalog/catalog.js';
import { type SnapshotRecord, type VolumeRecord, volumeKind } from '../catalog/kinds.js';
import { AshlarError, throwIfAborted } from '../errors.js';
import type { LayerRange, LayerRanges } from '../native.js';
import { snapshotInfo } from '../volumes/infos.js';
import { findSnapshot, snapshotReference, volumeNameOf } from '../volumes/references.js';
import { type ControlState, lookUpVolume } from '../volumes/state.js';
import type { CallOptions } from '../volumes/types.js';
import { type ExportSource, exportLayer } from './export.js';
import { mapBlockBytes, type StreamHeader, streamUuidOf } from './format.js';
import { layerRanges, type RangeQuery } from './ranges.js';
import type { DifferenceOptions, SnapshotExport } from './types.js';
import { loadZstd } from './zstd.js';

type StoredSnapshot = Stored<SnapshotRecord>;

/** What is asked for: a snapshot, and what it is compared with. */
interface Pair {
  snapshot: StoredSnapshot;
  since: StoredSnapshot | null;
  fromOffset: bigint;
}

/** Ranges counted for the size of a difference; beyond, it is not told. */
const maxCounted = 1 << 20;
const countedAtOnce = 1 << 16;

export class SnapshotExports {
  readonly #state: ControlState;
  readonly #catalog: Catalog;
  readonly #source: ExportSource;
  readonly #running = new Set<AsyncGenerator<Uint8Array, void, void>>();
  readonly #closing = new AbortController();

  constructor(state: ControlState, source: ExportSource) {
    this.#state = state;
    this.#catalog = state.catalog;
    this.#source = source;
  }

  async *ranges(
    reference: string,
    options: DifferenceOptions,
  ): AsyncGenerator<LayerRange, void, void> {
    this.#state.assertOpen();
    const pair = this.#find(reference, options);
    yield* layerRanges(this.#source, this.#query(pair, options.signal));
  }

  async rangePage(
    reference: string,
    limit: number,
    options: DifferenceOptions,
  ): Promise<LayerRanges> {
    this.#state.assertOpen();
    throwIfAborted(options.signal, `ranges of '${reference}'`);
    const { layer, since, fromOffset } = this.#query(this.#find(reference, options), undefined);
    return this.#source.ranges(layer, since, fromOffset, limit);
  }

  async export(reference: string, options: DifferenceOptions): Promise<SnapshotExport> {
    this.#state.assertOpen();
    const pair = this.#find(reference, options);
    const header = this.#header(pair);
    const dataBytes = await this.#dataBytes(pair, options.signal);
    const signal = anyOf(this.#closing.signal, options.signal);
    const body = this.#body(pair, header, signal);
    const snapshot = snapshotInfo(this.#catalog, pair.snapshot);
    return { header, snapshot, dataBytes, body };
  }

  /** Ends the exports under way; no read of theirs is left when it resolves. */
  async close(): Promise<void> {
    this.#closing.abort(new AshlarError('closed', 'the node is closing'));
    await Promise.all([...this.#running].map((body) => body.return()));
  }

  #body(
    pair: Pair,
    header: StreamHeader,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, void> {
    const run = async function* (this: SnapshotExports): AsyncGenerator<Uint8Array, void, void> {
      this.#running.add(body);
      // Both are held, so that neither is deleted, nor what lies between them merged away.
      const held = await this.#state.exports.borrowSnapshot(pair.snapshot);
      try {
        const base =
          pair.since === null ? null : await this.#state.exports.borrowSnapshot(pair.since);
        try {
          const zstd = await loadZstd();
          const { layer, since } = this.#query(pair, signal);
          const job = { volume: held.handle, layer, since, header, zstd, signal };
          yield* exportLayer(this.#source, job);
        } finally {
          await base?.[Symbol.asyncDispose]();
        }
      } finally {
        await held[Symbol.asyncDispose]();
        this.#running.delete(body);
      }
    };
    const body = run.call(this);
    return body;
  }

  // ---- Pieces -----------------------------------------------------------------------------------

  #find(reference: string, options: DifferenceOptions): Pair {
    const snapshot = this.#findOne(reference, options);
    const since = options.since === undefined ? null : this.#findOne(options.since, options);
    const fromOffset = options.fromOffset ?? 0n;
    const { sizeBytes, blockBytes } = snapshot.value;
    if (fromOffset < 0n || fromOffset % mapBlockBytes !== 0n || fromOffset > sizeBytes) {
      throw new AshlarError(
        'invalid-argument',
        `offset ${fromOffset} is not a multiple of ${mapBlockBytes} up to the size, ${sizeBytes}`,
      );
    }
    if (since === null) return { snapshot, since, fromOffset };
    if (since.id === snapshot.id) {
      throw new AshlarError(
        'invalid-argument',
        `'${options.since}' is the same snapshot as '${reference}'; give an older one`,
      );
    }
    if (since.value.blockBytes !== blockBytes || since.value.tenant !== snapshot.value.tenant) {
      throw new AshlarError(
        'invalid-argument',
        `'${options.since}' and '${reference}' are not snapshots of one volume`,
      );
    }
    return { snapshot, since, fromOffset };
  }

  #findOne(reference: string, options: CallOptions): StoredSnapshot {
    const volume = lookUpVolume(this.#catalog, reference, options);
    if (volume === null) return findSnapshot(this.#catalog, reference, options);
    const { name } = volume.value;
    throw new AshlarError(
      'invalid-argument',
      `'${reference}' is a volume, which changes while it is read; make a snapshot of it first ` +
        `("ashlar snapshot create ${name}@NAME") and give that`,
    );
  }

  #query({ snapshot, since, fromOffset }: Pair, signal: AbortSignal | undefined): RangeQuery {
    return {
      layer: snapshot.value.layer,
      since: since?.value.layer ?? null,
      fromOffset,
      signal,
    };
  }

  #header({ snapshot, since, fromOffset }: Pair): StreamHeader {
    const { value } = snapshot;
    const baseUuid = since === null ? null : identityOf(since.value);
    const snapshotUuid = identityOf(value);
    const volume: Stored<VolumeRecord> | null = this.#catalog.get(volumeKind, value.volume);
    return {
      kind: baseUuid === null ? 'full' : 'difference',
      streamUuid: streamUuidOf(snapshotUuid, baseUuid),
      volumeUuid: volume?.value.uuid ?? new Uint8Array(16),
      volumeName: volumeNameOf(this.#catalog, value),
      snapshotUuid,
      snapshotName: value.name,
      baseUuid,
      sizeBytes: value.sizeBytes,
      baseSizeBytes: since?.value.sizeBytes ?? 0n,
      blockBytes: value.blockBytes,
      fromOffset,
      snapshotCreatedMs: value.createdMs,
      createdMs: Date.now(),
    };
  }

  /** For a progress bar: known without a scan where all is wanted, else counted up to a bound. */
  async #dataBytes(pair: Pair, signal: AbortSignal | undefined): Promise<bigint | null> {
    if (pair.since === null && pair.fromOffset === 0n) {
      const [usage] = await this.#state.exports.usages([pair.snapshot]);
      return usage?.mappedBytes ?? null;
    }
    const { layer, since, fromOffset } = this.#query(pair, signal);
    let bytes = 0n;
    let from: bigint | null = fromOffset;
    for (let counted = 0; from !== null; counted += countedAtOnce) {
      throwIfAborted(signal, `export '${snapshotReference(this.#catalog, pair.snapshot)}'`);
      if (counted >= maxCounted) return null;
      const answer: LayerRanges = await this.#source.ranges(layer, since, from, countedAtOnce);
      for (const { kind, lengthBytes } of answer.ranges) if (kind === 'data') bytes += lengthBytes;
      from = answer.nextOffsetBytes;
    }
    return bytes;
  }
}

/**
 * What a snapshot is called in streams: an import has the identity of what it was imported from,
 * so that a backup can be exported on, or back, by difference.
 */
export function identityOf({ uuid, origin }: Readonly<SnapshotRecord>): Uint8Array {
  return origin.length === 0 ? uuid : origin;
}

function anyOf(one: AbortSignal, other: AbortSignal | undefined): AbortSignal {
  return other === undefined ? one : AbortSignal.any([one, other]);
}
