/**
 * What the rest of the control plane sees of differences, exports and imports. FORMAT.md beside
 * this file says what a stream is.
 */
import type { LayerRange, LayerRanges } from '../native.js';
import type { CallOptions, SnapshotInfo, VolumeDetail } from '../volumes/types.js';
import type { StreamHeader, StreamTotals } from './format.js';

export interface DifferenceOptions extends CallOptions {
  /**
   * An older (or any other) snapshot that shares blocks with this one: only what differs from it.
   * `volume@name` or a UUID. Not given: everything that the snapshot holds.
   */
  since?: string | undefined;
  /** Where to begin, a multiple of 4,096; 0 when not given. */
  fromOffset?: bigint | undefined;
}

/** A snapshot as a stream. */
export interface SnapshotExport {
  header: StreamHeader;
  snapshot: SnapshotInfo;
  /** Bytes of data that it will carry, before compression; null: too many ranges to count. */
  dataBytes: bigint | null;
  /**
   * The stream, read as fast as it is taken, with a few MiB in memory. It must be read to its end,
   * or be ended by `return()`: until then the snapshot cannot be deleted.
   */
  body: AsyncGenerator<Uint8Array, void, void>;
}

export interface ImportOptions extends CallOptions {
  /** Size of a new volume, at least the stream's; the stream's when not given. */
  sizeBytes?: bigint | undefined;
}

/** An import that has not come to its end. */
export interface ImportInfo {
  volume: string;
  tenant: string;
  volumeUuid: string;
  kind: 'full' | 'difference';
  /** Names the contents; only a stream of the same UUID goes on with it. */
  streamUuid: string;
  /** `volume@name` of the snapshot at the source, as the stream calls it. */
  source: string;
  snapshotUuid: string;
  /** The snapshot that the difference starts at; null: full. */
  baseUuid: string | null;
  /** Everything below has been applied and is durable. */
  appliedBytes: bigint;
  sizeBytes: bigint;
  /** Whether a stream is being read for it at this moment. */
  active: boolean;
  startedAt: string;
}

export interface ImportOutcome {
  volume: VolumeDetail;
  /** The snapshot of the volume that holds what was imported; the next difference starts at it. */
  snapshot: SnapshotInfo;
  kind: 'full' | 'difference';
  /** Offset at which it went on; 0: it began at the start. */
  resumedBytes: bigint;
  totals: StreamTotals;
}

export interface Streams {
  /**
   * What a snapshot holds, or where it differs from another, in order of offset. Read off the maps
   * of the pool: no data is read.
   * @throws AshlarError not-found, invalid-argument (offset; snapshots that share nothing).
   */
  ranges(snapshot: string, options?: DifferenceOptions): AsyncGenerator<LayerRange, void, void>;
  /**
   * The same, some at a time: at most `limit` (1 to 65536).
   * @throws AshlarError as {@link Streams.ranges}.
   */
  rangePage(snapshot: string, limit: number, options?: DifferenceOptions): Promise<LayerRanges>;
  /**
   * Begins to export a snapshot, or how it differs from `since`.
   * @throws AshlarError not-found, invalid-argument (a volume and no snapshot, offset), conflict
   * (block sizes differ).
   */
  export(snapshot: string, options?: DifferenceOptions): Promise<SnapshotExport>;
  /**
   * Applies a stream: a full one to a volume that does not exist yet, a difference to a volume that
   * is as its base left it, or either to an unfinished import of the same stream, which goes on.
   * When it resolves, the data is durable, a snapshot of it is made, and hosts may use the volume.
   * When it rejects, what was applied stays and can be continued, unless nothing was changed yet.
   *
   * @throws AshlarError stream-corrupt, stream-newer-format, already-exists (full, the volume is
   * there), not-found (difference, it is not), conflict (not the base, changed since, another
   * stream is half imported), busy (hosts are connected, or an import is under way), no-space,
   * cancelled.
   */
  import(
    volume: string,
    stream: AsyncIterable<Uint8Array>,
    options?: ImportOptions,
  ): Promise<ImportOutcome>;
  /** Imports that have not come to their end. Without a tenant in the options: all. */
  imports(options?: CallOptions): ImportInfo[];
  /**
   * Gives up an unfinished import: the volume that a full one began is deleted, one that a
   * difference began to change goes back to its base.
   * @throws AshlarError not-found, busy (it is under way).
   */
  abandon(volume: string, options?: CallOptions): Promise<void>;
}
