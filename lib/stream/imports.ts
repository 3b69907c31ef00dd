/** Imports: what a stream may be applied to, how far it has come, and what becomes of it. */
import type { Catalog, Stored, Transaction } from '../catalog/catalog.js';
import {
  type ImportRecord,
  importKind,
  type SnapshotRecord,
  snapshotKey,
  snapshotKind,
  type VolumeRecord,
  volumeKind,
} from '../catalog/kinds.js';
import { formatSize } from '../config/units.js';
import { AshlarError, throwIfAborted, toAshlarError } from '../errors.js';
import { addSnapshot } from '../volumes/clones.js';
import { refuseConnected } from '../volumes/connected.js';
import { deleteImport, importOf } from '../volumes/importing.js';
import { snapshotInfo, volumeDetail } from '../volumes/infos.js';
import { assertQuota } from '../volumes/quotas.js';
import { addVolume, checkCreate, type WantedVolume } from '../volumes/requests.js';
import { checkSize, isName } from '../volumes/rules.js';
import {
  type ControlState,
  type EventSubject,
  lookUpVolume,
  stillThere,
  tenantOf,
} from '../volumes/state.js';
import { hexText, randomUuidBytes, uuidText } from '../volumes/uuid.js';
import { type ApplyTarget, applyStream } from './apply.js';
import { identityOf } from './exports.js';
import type { StreamHeader } from './format.js';
import { layerRanges, type RangeSource } from './ranges.js';
import { StreamReader } from './reader.js';
import type { ImportOptions, ImportOutcome } from './types.js';
import { loadZstd } from './zstd.js';

type StoredVolume = Stored<VolumeRecord>;
type StoredSnapshot = Stored<SnapshotRecord>;
type StoredImport = Stored<ImportRecord>;

/** The part of the pool that imports need. */
export type ImportTarget = ApplyTarget & RangeSource;

export class StreamImports {
  readonly #state: ControlState;
  readonly #catalog: Catalog;
  readonly #target: ImportTarget;
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<unknown>>();
  /** Volumes, by record, that a stream is being read for. */
  readonly #active = new Set<bigint>();

  constructor(state: ControlState, target: ImportTarget) {
    this.#state = state;
    this.#catalog = state.catalog;
    this.#target = target;
  }

  isActive(volume: bigint): boolean {
    return this.#active.has(volume);
  }

  /** Ends the imports under way; each can go on later. */
  async close(): Promise<void> {
    this.#closing.abort(new AshlarError('closed', 'the node is closing'));
    await Promise.allSettled(this.#running);
  }

  import(
    name: string,
    stream: AsyncIterable<Uint8Array>,
    options: ImportOptions,
  ): Promise<ImportOutcome> {
    this.#state.assertOpen();
    const running = this.#import(name, stream, options);
    this.#running.add(running);
    return running.finally(() => this.#running.delete(running));
  }

  async #import(
    name: string,
    stream: AsyncIterable<Uint8Array>,
    options: ImportOptions,
  ): Promise<ImportOutcome> {
    const what = `import volume '${name}'`;
    const { signal: closing } = this.#closing;
    const signal =
      options.signal === undefined ? closing : AbortSignal.any([closing, options.signal]);
    throwIfAborted(signal, what);
    const reader = await StreamReader.open(untilAborted(stream, signal, what));
    const volume = await this.#volumeFor(name, reader.header, options, what);
    const release = await this.#takeOver(volume, what, signal);
    try {
      // Hosts see it again, or for the first time, when its record of an import is gone.
      return await this.#state.exports.withheld(volume, () =>
        this.#run(volume, reader, what, signal),
      );
    } finally {
      release();
    }
  }

  /** From now on nobody else changes the volume: they are refused at once. */
  #takeOver(volume: StoredVolume, what: string, signal: AbortSignal): Promise<() => void> {
    const { locks, exports } = this.#state;
    const { name } = volume.value;
    return locks.hold(`volume ${volume.id}`, what, signal, async () => {
      const advice = 'then import again';
      refuseConnected(`volume '${name}'`, exports.connectionsOf(volume), advice);
      const reason = `a stream is being imported to volume '${name}'; wait for it or interrupt it`;
      const allow = locks.refuse(`volume ${volume.id}`, reason);
      this.#active.add(volume.id);
      return () => {
        this.#active.delete(volume.id);
        allow();
      };
    });
  }

  async #run(
    volume: StoredVolume,
    reader: StreamReader,
    what: string,
    signal: AbortSignal,
  ): Promise<ImportOutcome> {
    const { header } = reader;
    const begun = await this.#begin(volume, header, what, signal);
    const handle = this.#state.exports.handleOf(volume.id);
    if (handle === null) {
      throw new AshlarError(
        'conflict',
        `volume '${volume.value.name}' is not open; restart the daemon, then import again`,
      );
    }
    const totals = await applyStream(this.#target, {
      volume: handle,
      reader,
      zstd: await loadZstd(),
      appliedBytes: begun.value.appliedBytes,
      durable: (appliedBytes) => this.#note(begun, appliedBytes, what),
      signal,
    }).catch((thrown: unknown) => {
      throw this.#interrupted(volume, thrown);
    });
    const snapshot = await this.#finish(volume, header, what);
    return {
      volume: await volumeDetail(this.#state, this.#now(volume)),
      snapshot: snapshotInfo(this.#catalog, snapshot),
      kind: header.kind,
      resumedBytes: begun.value.appliedBytes,
      totals,
    };
  }

  // ---- The volume -------------------------------------------------------------------------------

  /** The volume that is there, or for a full stream a new one with the record of the import. */
  async #volumeFor(
    name: string,
    header: StreamHeader,
    options: ImportOptions,
    what: string,
  ): Promise<StoredVolume> {
    const tenant = tenantOf(this.#catalog, options).value.name;
    const key = `volume-name ${tenant}/${name}`;
    return this.#state.locks.hold(key, what, options.signal, async () => {
      const before = lookUpVolume(this.#catalog, name, { tenant });
      if (before !== null) return this.#acceptVolume(before, header);
      if (header.kind === 'difference') {
        throw new AshlarError(
          'not-found',
          `volume '${name}' does not exist, and the stream is a difference since snapshot ` +
            `${uuidText(header.baseUuid ?? new Uint8Array(16))}; import that in full first, or ` +
            'name the volume that it was imported to',
        );
      }
      return this.#create(tenant, checkFull(name, header, options), header, what);
    });
  }

  #acceptVolume(volume: StoredVolume, header: StreamHeader): StoredVolume {
    const unfinished = importOf(this.#catalog, volume.id);
    if (unfinished !== null || header.kind === 'difference') return volume;
    const { name } = volume.value;
    throw new AshlarError(
      'already-exists',
      `volume '${name}' exists already, and the stream holds a whole one; give another name, or ` +
        `export a difference since a snapshot that '${name}' has`,
    );
  }

  async #create(
    tenant: string,
    wanted: WantedVolume,
    header: StreamHeader,
    what: string,
  ): Promise<StoredVolume> {
    refuseGap(wanted.name, header, 0n);
    const id = await this.#catalog.transact(what, (transaction) => {
      const layer = randomUuidBytes();
      const { sizeBytes, blockBytes, reserved } = wanted;
      transaction.layer({
        kind: 'create-layer',
        layer,
        parent: null,
        sizeBytes,
        blockBytes,
        volumeFrom: null,
        reserved,
      });
      const added = addVolume(this.#catalog, transaction, tenant, wanted, layer);
      transaction.add(importKind, newImport(added, layer, header));
      return added;
    });
    const volume = stillThere(this.#catalog.get(volumeKind, id), `volume '${wanted.name}'`);
    await this.#state.exports.openVolume(volume);
    const size = formatSize(wanted.sizeBytes);
    const text = `volume '${wanted.name}' of ${size} created, to be imported to`;
    this.#state.emit('volume-created', text, aboutVolume(volume));
    return volume;
  }

  // ---- The import -------------------------------------------------------------------------------

  /** The record of the import: an unfinished one that goes on, or for a difference a new one. */
  async #begin(
    stored: StoredVolume,
    header: StreamHeader,
    what: string,
    signal: AbortSignal,
  ): Promise<StoredImport> {
    const volume = this.#now(stored);
    const unfinished = importOf(this.#catalog, volume.id);
    if (unfinished !== null) return this.#goOn(volume, unfinished, header);
    const base = this.#baseOf(volume, header);
    refuseGap(volume.value.name, header, 0n);
    await this.#refuseChanged(volume, base, signal);
    const id = await this.#catalog.transact(
      what,
      (transaction) => this.#buildDifference(transaction, volume, header),
      signal,
    );
    return stillThere(this.#catalog.get(importKind, id), `the import to '${volume.value.name}'`);
  }

  #buildDifference(transaction: Transaction, volume: StoredVolume, header: StreamHeader): bigint {
    const now = this.#now(volume);
    const { layer, name, blockBytes } = now.value;
    if (header.sizeBytes > now.value.sizeBytes) {
      const { sizeBytes } = header;
      checkSize(name, sizeBytes, blockBytes);
      assertQuota(this.#catalog, now.value.tenant, { bytes: sizeBytes - now.value.sizeBytes });
      transaction.layer({ kind: 'resize-layer', layer, sizeBytes });
      transaction.put(volumeKind, now.id, { ...now.value, sizeBytes });
    }
    return transaction.add(importKind, newImport(now.id, layer, header));
  }

  #goOn(volume: StoredVolume, unfinished: StoredImport, header: StreamHeader): StoredImport {
    const { value } = unfinished;
    const { name, layer } = volume.value;
    const abandon = `or give it up with "ashlar volume import ${name} --abandon"`;
    if (hexText(value.stream) !== hexText(header.streamUuid)) {
      throw new AshlarError(
        'conflict',
        `'${value.source}' is half imported to volume '${name}', and this stream is another one ` +
          `(${sourceOf(header)}); send that one again, ${abandon}`,
      );
    }
    if (value.sizeBytes !== header.sizeBytes) {
      throw new AshlarError(
        'conflict',
        `this stream holds ${formatSize(header.sizeBytes)} of '${value.source}', the one half ` +
          `imported to volume '${name}' ${formatSize(value.sizeBytes)}; send that one again, ${abandon}`,
      );
    }
    if (hexText(value.layer) !== hexText(layer)) {
      throw new AshlarError(
        'conflict',
        `a snapshot of volume '${name}' was made while '${value.source}' is half imported to it, ` +
          `so it cannot go on; give it up with "ashlar volume import ${name} --abandon"`,
      );
    }
    refuseGap(name, header, value.appliedBytes);
    return unfinished;
  }

  /** The snapshot of the volume that holds what the base held. */
  #baseOf(volume: StoredVolume, header: StreamHeader): StoredSnapshot {
    const { name, blockBytes } = volume.value;
    const snapshots = this.#catalog
      .group(snapshotKind, 'volume', String(volume.id))
      .sort((a, b) => (a.id < b.id ? 1 : -1));
    const find = (uuid: Uint8Array | null): StoredSnapshot | undefined =>
      uuid === null
        ? undefined
        : snapshots.find(({ value }) => hexText(identityOf(value)) === hexText(uuid));
    const already = find(header.snapshotUuid);
    if (already !== undefined) {
      throw new AshlarError(
        'already-exists',
        `'${sourceOf(header)}' is imported already: it is '${name}@${already.value.name}'`,
      );
    }
    const base = find(header.baseUuid);
    if (base === undefined) {
      const newest = snapshots.find(({ value }) => value.origin.length > 0);
      const has =
        newest === undefined
          ? 'no snapshot of it was imported'
          : `its newest import is '${name}@${newest.value.name}', of snapshot ` +
            uuidText(newest.value.origin);
      throw new AshlarError(
        'conflict',
        `volume '${name}' does not have what the difference starts at, snapshot ` +
          `${uuidText(header.baseUuid ?? new Uint8Array(16))}: ${has}; export --since that`,
      );
    }
    if (header.blockBytes !== blockBytes) {
      throw new AshlarError(
        'conflict',
        `volume '${name}' has ${blockBytes}-byte blocks, the stream ${header.blockBytes}-byte ones`,
      );
    }
    if (base.value.sizeBytes < header.baseSizeBytes) {
      throw new AshlarError(
        'conflict',
        `'${name}@${base.value.name}' has ${formatSize(base.value.sizeBytes)}, the snapshot that ` +
          `the difference starts at ${formatSize(header.baseSizeBytes)}; they are not the same`,
      );
    }
    return base;
  }

  /** @throws AshlarError conflict when anything was written since the base. */
  async #refuseChanged(
    volume: StoredVolume,
    base: StoredSnapshot,
    signal: AbortSignal,
  ): Promise<void> {
    const query = { layer: volume.value.layer, since: base.value.layer, fromOffset: 0n, signal };
    for await (const { offsetBytes } of layerRanges(this.#target, query, 1)) {
      const { name } = volume.value;
      const snapshot = `${name}@${base.value.name}`;
      throw new AshlarError(
        'conflict',
        `volume '${name}' was written to (at offset ${offsetBytes}) since '${snapshot}', so the ` +
          `difference does not fit; roll it back first: ashlar snapshot rollback ${snapshot}`,
      );
    }
  }

  async #note(begun: StoredImport, appliedBytes: bigint, what: string): Promise<void> {
    await this.#catalog.transact(what, (transaction) => {
      const now = stillThere(this.#catalog.get(importKind, begun.id), 'the import');
      transaction.put(importKind, now.id, { ...now.value, appliedBytes });
    });
  }

  /** All of it is durable: it becomes a snapshot, and the volume one like any other. */
  async #finish(volume: StoredVolume, header: StreamHeader, what: string): Promise<StoredSnapshot> {
    const id = await this.#catalog.transact(what, (transaction) => {
      deleteImport(this.#catalog, transaction, volume.id);
      const name = this.#freeName(volume.id, header);
      assertQuota(this.#catalog, volume.value.tenant, { snapshots: 1 });
      return addSnapshot(this.#catalog, transaction, volume, {
        name,
        group: new Uint8Array(0),
        origin: header.snapshotUuid,
        schedule: new Uint8Array(0),
        plannedMs: 0,
      });
    });
    const snapshot = stillThere(this.#catalog.get(snapshotKind, id), 'the snapshot of the import');
    const { name } = this.#now(volume).value;
    const text = `'${sourceOf(header)}' imported to volume '${name}' as '${snapshot.value.name}'`;
    this.#state.emit('volume-imported', text, aboutVolume(volume));
    return snapshot;
  }

  /** The snapshot's own name, or one like it that the volume does not have. */
  #freeName(volume: bigint, header: StreamHeader): string {
    const own = header.snapshotName;
    const wanted = isName(own) ? own : `import-${uuidText(header.snapshotUuid).slice(0, 8)}`;
    for (let count = 1; ; count += 1) {
      const ending = count === 1 ? '' : `-${count}`;
      const name = `${wanted.slice(0, 63 - ending.length)}${ending}`;
      const taken = this.#catalog.find(snapshotKind, 'name', snapshotKey(volume, name));
      if (taken === null) return name;
    }
  }

  /** The same error, and how it can go on. */
  #interrupted(volume: StoredVolume, thrown: unknown): AshlarError {
    const error = toAshlarError(thrown);
    const unfinished = importOf(this.#catalog, volume.id);
    if (unfinished === null) return error;
    const { name } = volume.value;
    const { appliedBytes, sizeBytes } = unfinished.value;
    const hint =
      `${formatSize(appliedBytes)} of ${formatSize(sizeBytes)} are done and kept: send the same ` +
      `stream again, or from there with "ashlar volume export … --from ${appliedBytes}"; or give ` +
      `it up with "ashlar volume import ${name} --abandon"`;
    const text = `the import to volume '${name}' stopped: ${error.message}`;
    this.#state.emit('import-interrupted', text, { ...aboutVolume(volume), error }, 'warning');
    const toTenants = error.toTenants ?? undefined;
    return new AshlarError(error.code, error.message, { hint, cause: thrown, toTenants });
  }

  #now(volume: StoredVolume): StoredVolume {
    return stillThere(this.#catalog.get(volumeKind, volume.id), `volume '${volume.value.name}'`);
  }
}

/** `volume@name` at the source. */
function sourceOf({ volumeName, snapshotName }: StreamHeader): string {
  return `${volumeName}@${snapshotName}`.replaceAll(/\p{Cc}/gu, '?');
}

function newImport(volume: bigint, layer: Uint8Array, header: StreamHeader): ImportRecord {
  return {
    volume,
    layer,
    kind: header.kind,
    stream: header.streamUuid,
    snapshot: header.snapshotUuid,
    base: header.baseUuid ?? new Uint8Array(0),
    source: sourceOf(header),
    sizeBytes: header.sizeBytes,
    appliedBytes: 0n,
    startedMs: Date.now(),
  };
}

/** @throws AshlarError invalid-argument, limit-exceeded. */
function checkFull(name: string, header: StreamHeader, options: ImportOptions): WantedVolume {
  const sizeBytes = options.sizeBytes ?? header.sizeBytes;
  if (sizeBytes < header.sizeBytes) {
    throw new AshlarError(
      'invalid-argument',
      `volume '${name}' of ${formatSize(sizeBytes)} is too small for the stream, which holds ` +
        `${formatSize(header.sizeBytes)}; give at least that, or no size`,
    );
  }
  return checkCreate({ name, sizeBytes, blockBytes: header.blockBytes });
}

/** A stream that begins beyond what is there would leave a hole. */
function refuseGap(name: string, header: StreamHeader, appliedBytes: bigint): void {
  if (header.fromOffset <= appliedBytes) return;
  throw new AshlarError(
    'conflict',
    `the stream begins at offset ${header.fromOffset}, and volume '${name}' has only what is ` +
      `below ${appliedBytes}; export it --from ${appliedBytes}`,
  );
}

/** The source, but an abort ends the waiting for it too. The source itself is its owner's to end. */
async function* untilAborted(
  stream: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
  what: string,
): AsyncGenerator<Uint8Array, void, void> {
  const source = stream[Symbol.asyncIterator]();
  let stop: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    const onAbort = (): void => {
      const error: unknown = signal.reason;
      reject(
        error instanceof AshlarError
          ? error
          : new AshlarError('cancelled', `${what}: cancelled`, { cause: error }),
      );
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    stop = () => signal.removeEventListener('abort', onAbort);
  });
  aborted.catch(() => undefined);
  try {
    for (;;) {
      const next = await Promise.race([source.next(), aborted]);
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    stop();
  }
}

function aboutVolume({ value }: StoredVolume): EventSubject {
  return { subject: uuidText(value.uuid), tenant: value.tenant };
}
