/**
 * The catalog: what the control plane knows, as typed records in the pool's own journal, changed
 * in the same transaction as the layers they describe. All of it is in memory.
 */
import { AshlarError, throwIfAborted } from '../errors.js';
import type { CatalogRecord, PoolChange } from '../native.js';
import { inSpan } from '../tracing/spans.js';
import { type DecodedRecord, decodeRecord, encodeRecord, type RecordKind } from './codec.js';

/** The part of the pool that the catalog needs. */
export interface CatalogStore {
  records(): Promise<CatalogRecord[]>;
  /** Durable when it resolves; nothing has changed when it rejects. */
  commit(changes: PoolChange[]): Promise<void>;
}

/** A record and the id that names it in transactions. */
export interface Stored<T> {
  readonly id: bigint;
  readonly value: Readonly<T>;
}

const idBits = 56n;
const maxId = (1n << idBits) - 1n;

/** Key of a record: its kind in the top byte, its id below. */
export function recordKey(kind: number, id: bigint): bigint {
  if (!Number.isInteger(kind) || kind < 1 || kind > 255 || id < 0n || id > maxId) {
    throw new RangeError(`no catalog key for kind ${kind}, id ${id}`);
  }
  return (BigInt(kind) << idBits) | id;
}

export function splitKey(key: bigint): { kind: number; id: bigint } {
  return { kind: Number(key >> idBits), id: key & maxId };
}

/** Ids under one key; alone, as most are, an id needs no set of its own. */
type Members = bigint | Set<bigint>;

/** A unique key that another record has. */
interface Clash {
  index: string;
  key: string;
  id: bigint;
}

/** All records of one kind, with their unique indexes. */
class Table<T> {
  readonly kind: RecordKind<T>;
  readonly #records = new Map<bigint, DecodedRecord<T>>();
  readonly #indexes = new Map<string, Map<string, bigint>>();
  readonly #groups = new Map<string, Map<string, Members>>();
  nextId = 1n;

  constructor(kind: RecordKind<T>) {
    this.kind = kind;
    for (const index of Object.keys(kind.indexes)) this.#indexes.set(index, new Map());
    for (const group of Object.keys(kind.groups)) this.#groups.set(group, new Map());
  }

  get size(): number {
    return this.#records.size;
  }

  get(id: bigint): DecodedRecord<T> | undefined {
    return this.#records.get(id);
  }

  find(index: string, key: string): bigint | undefined {
    return this.#indexes.get(index)?.get(key);
  }

  /** Ids of the records that share a key. */
  members(group: string, key: string): readonly bigint[] {
    const members = this.#groups.get(group)?.get(key);
    if (members === undefined) return [];
    return typeof members === 'bigint' ? [members] : [...members];
  }

  oneOf(group: string, key: string): bigint | undefined {
    const members = this.#groups.get(group)?.get(key);
    return typeof members === 'object' ? members.values().next().value : members;
  }

  memberCount(group: string, key: string): number {
    const members = this.#groups.get(group)?.get(key);
    if (members === undefined) return 0;
    return typeof members === 'bigint' ? 1 : members.size;
  }

  /** Keys that a group has members under. */
  groupKeys(group: string): IterableIterator<string> {
    return (this.#groups.get(group) ?? new Map<string, Members>()).keys();
  }

  *entries(): IterableIterator<Stored<T>> {
    for (const [id, { value }] of this.#records) yield { id, value };
  }

  /**
   * Adds a record that is not there yet.
   * @returns the clash that kept it out; null: none.
   */
  load(id: bigint, record: DecodedRecord<T>): Clash | null {
    for (const [index, keyOf] of Object.entries(this.kind.indexes)) {
      const key = keyOf(record.value);
      if (key === null) continue;
      const ids = this.#indexes.get(index);
      const other = ids?.get(key);
      if (other !== undefined) return { index, key, id: other };
      ids?.set(key, id);
    }
    this.#enter(id, record);
    return null;
  }

  #enter(id: bigint, record: DecodedRecord<T>): void {
    this.#records.set(id, record);
    for (const [group, keyOf] of Object.entries(this.kind.groups)) {
      const key = keyOf(record.value);
      if (key !== null) this.#join(group, key, id);
    }
    if (id >= this.nextId) this.nextId = id + 1n;
  }

  put(id: bigint, record: DecodedRecord<T>): void {
    this.delete(id);
    for (const [index, keyOf] of Object.entries(this.kind.indexes)) {
      const key = keyOf(record.value);
      if (key !== null) this.#indexes.get(index)?.set(key, id);
    }
    this.#enter(id, record);
  }

  #join(group: string, key: string, id: bigint): void {
    const groups = this.#groups.get(group);
    const members = groups?.get(key);
    if (members === undefined) groups?.set(key, id);
    else if (typeof members === 'bigint') groups?.set(key, new Set([members, id]));
    else members.add(id);
  }

  #leave(group: string, key: string, id: bigint): void {
    const groups = this.#groups.get(group);
    const members = groups?.get(key);
    if (typeof members === 'object') {
      members.delete(id);
      if (members.size > 0) return;
    } else if (members !== id) {
      return;
    }
    groups?.delete(key);
  }

  delete(id: bigint): void {
    const record = this.#records.get(id);
    if (record === undefined) return;
    this.#records.delete(id);
    for (const [index, keyOf] of Object.entries(this.kind.indexes)) {
      const key = keyOf(record.value);
      if (key !== null) this.#indexes.get(index)?.delete(key);
    }
    for (const [group, keyOf] of Object.entries(this.kind.groups)) {
      const key = keyOf(record.value);
      if (key !== null) this.#leave(group, key, id);
    }
  }

  /** The id of another record that already has one of this value's unique keys. */
  clash(id: bigint, value: T): Clash | null {
    for (const [index, keyOf] of Object.entries(this.kind.indexes)) {
      const key = keyOf(value);
      const other = key === null ? undefined : this.find(index, key);
      if (key !== null && other !== undefined && other !== id) return { index, key, id: other };
    }
    return null;
  }
}

/**
 * Changes gathered while a transaction is built. It sees the catalog as the transactions before it
 * left it, not its own changes.
 */
export class Transaction {
  readonly #table: <T>(kind: RecordKind<T>) => Table<T>;
  readonly #changes: PoolChange[] = [];
  readonly #apply: (() => void)[] = [];
  readonly #nextIds = new Map<number, bigint>();

  constructor(table: <T>(kind: RecordKind<T>) => Table<T>) {
    this.#table = table;
  }

  get changes(): readonly PoolChange[] {
    return this.#changes;
  }

  /** A change of layers, in the order given. */
  layer(change: Extract<PoolChange, { layer: Uint8Array }>): void {
    this.#changes.push(change);
  }

  /** Adds a record. @returns its id. */
  add<T>(kind: RecordKind<T>, value: T): bigint {
    const id = this.#nextIds.get(kind.kind) ?? this.#table(kind).nextId;
    this.#nextIds.set(kind.kind, id + 1n);
    this.put(kind, id, value);
    return id;
  }

  /** Writes a record that exists, keeping fields of it that this version does not know. */
  put<T>(kind: RecordKind<T>, id: bigint, value: T): void {
    const table = this.#table(kind);
    const clash = table.clash(id, value);
    if (clash !== null) {
      // The key begins with a record id, which is nobody's to know.
      const what = `a ${kind.name} with this ${clash.index}`;
      throw new AshlarError('already-exists', `${what} exists already; choose another`);
    }
    const unknown = table.get(id)?.unknown ?? {};
    const bytes = encodeRecord(kind, value, unknown);
    this.#changes.push({ kind: 'put-record', key: recordKey(kind.kind, id), value: bytes });
    this.#apply.push(() => table.put(id, { value, unknown }));
  }

  delete<T>(kind: RecordKind<T>, id: bigint): void {
    const table = this.#table(kind);
    this.#changes.push({ kind: 'delete-record', key: recordKey(kind.kind, id) });
    this.#apply.push(() => table.delete(id));
  }

  /** Called once the commit is durable, in the order in which the changes were given. */
  apply(): void {
    for (const step of this.#apply) step();
  }
}

export class Catalog {
  readonly #store: CatalogStore;
  readonly #tables = new Map<number, Table<unknown>>();
  /** Ends when every transaction so far has ended. */
  #tail: Promise<void> = Promise.resolve();

  private constructor(store: CatalogStore, kinds: readonly RecordKind<unknown>[]) {
    this.#store = store;
    for (const kind of kinds) {
      this.#tables.set(kind.kind, new Table(kind));
    }
  }

  /**
   * Reads every record.
   * @throws AshlarError catalog-newer-format (a kind or version that this code does not know),
   * catalog-corrupt.
   */
  static async load(store: CatalogStore, kinds: readonly RecordKind<unknown>[]): Promise<Catalog> {
    const catalog = new Catalog(store, kinds);
    for (const record of await store.records()) catalog.#load(record);
    for (const table of catalog.#tables.values()) catalog.#keepNamedIds(table);
    return catalog;
  }

  /** An id named by a record of another kind is not given again, though its own record is gone. */
  #keepNamedIds(table: Table<unknown>): void {
    const { namesGone } = table.kind;
    if (namesGone === undefined) return;
    for (const { value } of table.entries()) {
      for (const { kind, id } of namesGone(value)) {
        const named = this.#tables.get(kind);
        if (named !== undefined && id >= named.nextId) named.nextId = id + 1n;
      }
    }
  }

  #load(record: CatalogRecord): void {
    const { kind, id } = splitKey(record.key);
    const table = this.#tables.get(kind);
    if (table === undefined) {
      throw new AshlarError(
        'catalog-newer-format',
        `catalog record ${id} is of kind ${kind}, which this Ashlar does not know; ` +
          'use the version that wrote the pool, or a newer one',
      );
    }
    const decoded = decodeRecord(table.kind, id, record.value);
    const clash = table.load(id, decoded);
    if (clash !== null) {
      throw new AshlarError(
        'catalog-corrupt',
        `catalog records ${table.kind.name} ${id} and ${clash.id} are both '${clash.key}'; ` +
          'run "ashlar pool check"',
      );
    }
  }

  get<T>(kind: RecordKind<T>, id: bigint): Stored<T> | null {
    const record = this.#table(kind).get(id);
    return record === undefined ? null : { id, value: record.value };
  }

  /** By a unique index. */
  find<T, Index extends string>(
    kind: RecordKind<T, Index>,
    index: Index,
    key: string,
  ): Stored<T> | null {
    const id = this.#table(kind).find(index, key);
    return id === undefined ? null : this.get(kind, id);
  }

  /** In no order that means anything. */
  all<T>(kind: RecordKind<T>): Stored<T>[] {
    return [...this.#table(kind).entries()];
  }

  /** The records of a group, such as the volumes of one tenant. */
  group<T, Group extends string>(
    kind: RecordKind<T, string, Group>,
    group: Group,
    key: string,
  ): Stored<T>[] {
    const members = this.#table(kind).members(group, key);
    return members.map((id) => this.get(kind, id)).filter((record) => record !== null);
  }

  /** The keys of a group, such as the volumes that have snapshots; in no order. */
  groupKeys<T, Group extends string>(
    kind: RecordKind<T, string, Group>,
    group: Group,
  ): IterableIterator<string> {
    return this.#table(kind).groupKeys(group);
  }

  /** One record of a group, without looking at the others; undefined: it has none. */
  oneOf<T, Group extends string>(
    kind: RecordKind<T, string, Group>,
    group: Group,
    key: string,
  ): Stored<T> | undefined {
    const id = this.#table(kind).oneOf(group, key);
    return id === undefined ? undefined : (this.get(kind, id) ?? undefined);
  }

  /** How many records a group has. */
  groupSize<T, Group extends string>(
    kind: RecordKind<T, string, Group>,
    group: Group,
    key: string,
  ): number {
    return this.#table(kind).memberCount(group, key);
  }

  count<T>(kind: RecordKind<T>): number {
    return this.#table(kind).size;
  }

  /**
   * Changes the catalog and the pool's layers in one step. Transactions run one after the other:
   * `build` sees what the ones before have committed, and may throw to call the whole off. The
   * catalog in memory changes only when the commit is durable; a rejection has changed nothing.
   *
   * @param signal ends the transaction while it waits for its turn.
   */
  transact<R>(
    what: string,
    build: (transaction: Transaction) => R,
    signal?: AbortSignal,
  ): Promise<R> {
    return inSpan('transaction', { 'ashlar.what': what }, () =>
      this.#transact(what, build, signal),
    );
  }

  async #transact<R>(
    what: string,
    build: (transaction: Transaction) => R,
    signal: AbortSignal | undefined,
  ): Promise<R> {
    const turn = this.#tail;
    let finish: () => void = () => undefined;
    this.#tail = new Promise((resolve) => {
      finish = resolve;
    });
    try {
      await turn;
      throwIfAborted(signal, what);
      const transaction = new Transaction((kind) => this.#table(kind));
      const result = build(transaction);
      const changes = [...transaction.changes];
      if (changes.length > 0) {
        const many = { 'ashlar.changes': changes.length };
        await inSpan('journal commit', many, () => this.#store.commit(changes));
      }
      transaction.apply();
      return result;
    } finally {
      finish();
    }
  }

  /** Resolves when every transaction that has begun by now has ended. */
  async settled(): Promise<void> {
    await this.#tail;
  }

  #table<T>(kind: RecordKind<T>): Table<T> {
    const table = this.#tables.get(kind.kind);
    if (table === undefined) throw new RangeError(`record kind ${kind.name} was not loaded`);
    return table as unknown as Table<T>;
  }
}
