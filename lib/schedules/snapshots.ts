/** The snapshots of schedules, among all that there are. */
import type { Catalog, Stored } from '../catalog/catalog.js';
import { grantKind, type SnapshotRecord, snapshotKind } from '../catalog/kinds.js';
import { snapshotReference } from '../volumes/references.js';
import type { SnapshotService } from '../volumes/snapshots.js';
import { hexText, uuidText } from '../volumes/uuid.js';
import type { ScheduledSnapshot, SnapshotPort, StoredSchedule } from './state.js';

export class ScheduledSnapshots implements SnapshotPort {
  readonly #catalog: Catalog;
  readonly #snapshots: SnapshotService;

  constructor(catalog: Catalog, snapshots: SnapshotService) {
    this.#catalog = catalog;
    this.#snapshots = snapshots;
  }

  async create(
    { value }: StoredSchedule,
    name: string,
    plannedMs: number,
    signal: AbortSignal | undefined,
  ): Promise<string[]> {
    const planned = { schedule: value.uuid, plannedMs };
    const made = await this.#snapshots.createPlanned(value.volumes, name, planned, { signal });
    return made.map(({ reference }) => reference);
  }

  madeBy(schedule: Uint8Array): ScheduledSnapshot[] {
    return this.#catalog
      .group(snapshotKind, 'schedule', hexText(schedule))
      .map((snapshot) => this.#scheduled(snapshot));
  }

  countOf(schedule: Uint8Array): number {
    return this.#catalog.groupSize(snapshotKind, 'schedule', hexText(schedule));
  }

  delete(uuid: string, signal: AbortSignal | undefined): Promise<void> {
    return this.#snapshots.delete(uuid, { signal });
  }

  #scheduled(snapshot: Stored<SnapshotRecord>): ScheduledSnapshot {
    const grants = this.#catalog.group(grantKind, 'snapshot', String(snapshot.id));
    return {
      uuid: uuidText(snapshot.value.uuid),
      reference: snapshotReference(this.#catalog, snapshot),
      instantMs: snapshot.value.plannedMs,
      hosts: grants.map(({ value }) => value.host),
    };
  }
}
