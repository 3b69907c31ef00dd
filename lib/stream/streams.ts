/** Differences, exports and imports behind one face. */
import type { Stored } from '../catalog/catalog.js';
import { type ImportRecord, importKind, snapshotKind, volumeKind } from '../catalog/kinds.js';
import { AshlarError } from '../errors.js';
import type { LayerRange, LayerRanges } from '../native.js';
import { importOf } from '../volumes/importing.js';
import { volumeInfo } from '../volumes/infos.js';
import { type ControlState, findVolume, tenantOf } from '../volumes/state.js';
import type { CallOptions, Snapshots, Volumes } from '../volumes/types.js';
import { hexText, uuidText } from '../volumes/uuid.js';
import type { ExportSource } from './export.js';
import { identityOf, SnapshotExports } from './exports.js';
import { type ImportTarget, StreamImports } from './imports.js';
import type {
  DifferenceOptions,
  ImportInfo,
  ImportOptions,
  ImportOutcome,
  SnapshotExport,
  Streams,
} from './types.js';

/** The part of the pool that streams need. */
export type StreamPool = ExportSource & ImportTarget;

export interface StreamParts {
  state: ControlState;
  pool: StreamPool;
  volumes: Pick<Volumes, 'delete'>;
  snapshots: Pick<Snapshots, 'rollback'>;
}

export class StreamService implements Streams {
  readonly #parts: StreamParts;
  readonly #exports: SnapshotExports;
  readonly #imports: StreamImports;

  constructor(parts: StreamParts) {
    this.#parts = parts;
    this.#exports = new SnapshotExports(parts.state, parts.pool);
    this.#imports = new StreamImports(parts.state, parts.pool);
  }

  ranges(
    snapshot: string,
    options: DifferenceOptions = {},
  ): AsyncGenerator<LayerRange, void, void> {
    return this.#exports.ranges(snapshot, options);
  }

  rangePage(
    snapshot: string,
    limit: number,
    options: DifferenceOptions = {},
  ): Promise<LayerRanges> {
    return this.#exports.rangePage(snapshot, limit, options);
  }

  export(snapshot: string, options: DifferenceOptions = {}): Promise<SnapshotExport> {
    return this.#exports.export(snapshot, options);
  }

  import(
    volume: string,
    stream: AsyncIterable<Uint8Array>,
    options: ImportOptions = {},
  ): Promise<ImportOutcome> {
    return this.#imports.import(volume, stream, options);
  }

  imports(options: CallOptions = {}): ImportInfo[] {
    const { state } = this.#parts;
    state.assertOpen();
    const only = options.tenant === undefined ? null : tenantOf(state.catalog, options).value.name;
    return state.catalog
      .all(importKind)
      .map((unfinished) => this.#info(unfinished))
      .filter((info) => info !== null)
      .filter(({ tenant }) => only === null || tenant === only)
      .sort((a, b) => (`${a.tenant}/${a.volume}` < `${b.tenant}/${b.volume}` ? -1 : 1));
  }

  #info({ value }: Stored<ImportRecord>): ImportInfo | null {
    const { catalog } = this.#parts.state;
    const volume = catalog.get(volumeKind, value.volume);
    if (volume === null) return null;
    const { name, tenant, uuid } = volumeInfo(catalog, volume);
    return {
      volume: name,
      tenant,
      volumeUuid: uuid,
      kind: value.kind,
      streamUuid: uuidText(value.stream),
      source: value.source,
      snapshotUuid: uuidText(value.snapshot),
      baseUuid: value.base.length === 0 ? null : uuidText(value.base),
      appliedBytes: value.appliedBytes,
      sizeBytes: value.sizeBytes,
      active: this.#imports.isActive(volume.id),
      startedAt: new Date(value.startedMs).toISOString(),
    };
  }

  async abandon(reference: string, options: CallOptions = {}): Promise<void> {
    const { state, volumes, snapshots } = this.#parts;
    state.assertOpen();
    const volume = findVolume(state.catalog, reference, options);
    const unfinished = importOf(state.catalog, volume.id);
    const { name, uuid } = volume.value;
    if (unfinished === null) {
      if (options.repeatable === true) return;
      throw new AshlarError('not-found', `volume '${name}' has no unfinished import to give up`);
    }
    const { signal } = options;
    // Both take the record of the import with them, in the transaction that undoes it.
    if (unfinished.value.kind === 'full') {
      await volumes.delete(uuidText(uuid), { signal });
      return;
    }
    const wanted = hexText(unfinished.value.base);
    const base = state.catalog
      .group(snapshotKind, 'volume', String(volume.id))
      .find(({ value }) => hexText(identityOf(value)) === wanted);
    if (base === undefined) {
      throw new AshlarError(
        'conflict',
        `the snapshot that volume '${name}' would go back to has been deleted; send the stream ` +
          'again, or delete the volume',
      );
    }
    await snapshots.rollback(uuidText(base.value.uuid), { signal });
  }

  /** Ends what is under way: no read or write of it is left when it resolves. */
  async close(): Promise<void> {
    await Promise.all([this.#exports.close(), this.#imports.close()]);
  }
}
