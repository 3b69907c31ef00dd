/** Groups of snapshots: list, show, delete. They are made with their snapshots. */
import type { Catalog, Stored } from '../catalog/catalog.js';
import { type SnapshotRecord, snapshotKind, tenantKind } from '../catalog/kinds.js';
import { AshlarError } from '../errors.js';
import { compare, takePage } from './pages.js';
import { snapshotReference } from './references.js';
import { type ControlState, stillThere, tenantOf } from './state.js';
import type {
  CallOptions,
  ForceOptions,
  GroupInfo,
  Groups,
  Page,
  PageOptions,
  Snapshots,
} from './types.js';
import { hexText, isUuidText, uuidBytes, uuidText } from './uuid.js';

type StoredSnapshot = Stored<SnapshotRecord>;

/** Wide enough for every time, so that text sorts as the numbers do. */
const timeDigits = 15;

export class GroupService implements Groups {
  readonly #state: ControlState;
  readonly #catalog: Catalog;
  readonly #snapshots: Snapshots;

  constructor(state: ControlState, snapshots: Snapshots) {
    this.#state = state;
    this.#catalog = state.catalog;
    this.#snapshots = snapshots;
  }

  page(options: PageOptions = {}): Page<GroupInfo> {
    this.#state.assertOpen();
    const { items, next } = takePage(this.#ordered(options), options);
    const membersOf = (group: string) => this.#catalog.group(snapshotKind, 'group', group);
    return { items: items.map((group) => this.#info(membersOf(group))), next };
  }

  show(uuid: string, options: CallOptions = {}): GroupInfo {
    this.#state.assertOpen();
    return this.#info(this.#find(uuid, options));
  }

  async delete(uuid: string, options: ForceOptions = {}): Promise<void> {
    this.#state.assertOpen();
    const found = this.#members(uuid, options);
    if (found.length === 0 && options.repeatable === true) return;
    for (const { value } of this.#find(uuid, options)) {
      await this.#snapshots.delete(uuidText(value.uuid), { ...options, repeatable: true });
    }
  }

  /** A list costs one look at each group; its members are looked at for a page alone. */
  #ordered(options: CallOptions): { key: string; item: string }[] {
    const only = options.tenant === undefined ? null : tenantOf(this.#catalog, options).id;
    const ordered: { key: string; item: string }[] = [];
    for (const group of this.#catalog.groupKeys(snapshotKind, 'group')) {
      const one = this.#catalog.oneOf(snapshotKind, 'group', group);
      if (one === undefined || (only !== null && one.value.tenant !== only)) continue;
      const time = String(one.value.createdMs).padStart(timeDigits, '0');
      ordered.push({ key: `${this.#tenantName(one)}/${time}/${group}`, item: group });
    }
    return ordered.sort((a, b) => compare(a.key, b.key));
  }

  #members(uuid: string, options: CallOptions): StoredSnapshot[] {
    const only = options.tenant === undefined ? null : tenantOf(this.#catalog, options).id;
    if (!isUuidText(uuid)) return [];
    return this.#catalog
      .group(snapshotKind, 'group', hexText(uuidBytes(uuid)))
      .filter(({ value }) => only === null || value.tenant === only);
  }

  #find(uuid: string, options: CallOptions): StoredSnapshot[] {
    const members = this.#members(uuid, options);
    if (members.length > 0) return members;
    throw new AshlarError(
      'not-found',
      `group '${uuid.slice(0, 80)}' does not exist; "ashlar group list" shows those that do`,
    );
  }

  #info(members: readonly StoredSnapshot[]): GroupInfo {
    const [first] = members;
    if (first === undefined) throw new AshlarError('not-found', 'the group was deleted meanwhile');
    const { group, name, createdMs } = first.value;
    const sorted = members
      .map((each) => ({
        reference: snapshotReference(this.#catalog, each),
        uuid: uuidText(each.value.uuid),
      }))
      .sort((a, b) => compare(`${a.reference} ${a.uuid}`, `${b.reference} ${b.uuid}`));
    return {
      uuid: uuidText(group),
      name,
      tenant: this.#tenantName(first),
      createdAt: new Date(createdMs).toISOString(),
      snapshots: sorted.map(({ reference }) => reference),
      snapshotUuids: sorted.map(({ uuid }) => uuid),
      sizeBytes: members.reduce((sum, { value }) => sum + value.sizeBytes, 0n),
    };
  }

  #tenantName({ value }: StoredSnapshot): string {
    return stillThere(this.#catalog.get(tenantKind, value.tenant), 'its tenant').value.name;
  }
}
