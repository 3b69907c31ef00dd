/**
 * What is kept in memory of things that happen, newest first. Of each tenant a number of its own is
 * kept, however much happens elsewhere: what a tenant finds here says nothing of the others.
 */
import { AshlarError } from '../errors.js';

export interface Owned {
  readonly id: string;
}

interface Slot<T> {
  /** Ascending from 1. */
  readonly sequence: number;
  readonly item: T;
  gone: boolean;
}

/** Slots in their order; those that are gone are left out of it when they are half of them. */
class Slots<T> {
  #slots: Slot<T>[] = [];
  #gone = 0;

  get size(): number {
    return this.#slots.length - this.#gone;
  }

  add(slot: Slot<T>): void {
    this.#slots.push(slot);
  }

  /** Adds those of another, each in its place. */
  merge(others: Slots<T>): void {
    const all = [...this.oldestFirst(), ...others.oldestFirst()];
    this.#slots = all.sort((a, b) => a.sequence - b.sequence);
    this.#gone = 0;
  }

  /** Of a slot that has been marked as gone. */
  noteGone(): void {
    this.#gone += 1;
    if (this.#gone * 2 <= this.#slots.length) return;
    this.#slots = this.#slots.filter(({ gone }) => !gone);
    this.#gone = 0;
  }

  *oldestFirst(): Iterable<Slot<T>> {
    for (const slot of this.#slots) if (!slot.gone) yield slot;
  }

  *newestFirst(before: number): Iterable<Slot<T>> {
    for (let at = this.#countBefore(before) - 1; at >= 0; at -= 1) {
      const slot = this.#slots[at];
      if (slot !== undefined && !slot.gone) yield slot;
    }
  }

  #countBefore(sequence: number): number {
    let low = 0;
    let high = this.#slots.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#slots[middle]?.sequence ?? sequence) < sequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

export interface OwnedLogOptions<T> {
  /** How many are kept of the node itself, and of each tenant. */
  ofNode: number;
  ofTenant: number;
  /** Whether one may be forgotten by now. */
  mayGo?(item: T): boolean;
}

export class OwnedLog<T extends Owned> {
  readonly #options: OwnedLogOptions<T>;
  readonly #all = new Slots<T>();
  /** By the tenant's record id, which is not given again while the node runs; null: the node. */
  readonly #owners = new Map<bigint | null, Slots<T>>();
  readonly #byId = new Map<string, { slot: Slot<T>; tenant: bigint | null }>();
  #sequence = 0;

  constructor(options: OwnedLogOptions<T>) {
    this.#options = options;
  }

  get size(): number {
    return this.#all.size;
  }

  /**
   * @param sequence its place, behind all that there are: what is kept over a restart keeps it.
   */
  add(item: T, tenant: bigint | null, sequence: number = this.#sequence + 1): void {
    if (sequence <= this.#sequence) throw new RangeError(`${sequence} after ${this.#sequence}`);
    this.#sequence = sequence;
    const slot = { sequence, item, gone: false };
    this.#all.add(slot);
    this.#slotsOf(tenant).add(slot);
    this.#byId.set(item.id, { slot, tenant });
    this.forgetOld(tenant);
  }

  /** Forgets the oldest of one owner that are too many, and may go. */
  forgetOld(tenant: bigint | null): void {
    const { ofNode, ofTenant, mayGo = () => true } = this.#options;
    const slots = this.#slotsOf(tenant);
    const limit = tenant === null ? ofNode : ofTenant;
    if (slots.size <= limit) return;
    const ended = [...slots.oldestFirst()].filter(({ item }) => mayGo(item));
    const tooMany = Math.max(0, ended.length - limit);
    for (const { item } of ended.slice(0, tooMany)) this.remove(item.id);
  }

  /** By its id, and whose it is. */
  find(id: string): { item: T; tenant: bigint | null } | null {
    const found = this.#byId.get(id);
    return found === undefined ? null : { item: found.slot.item, tenant: found.tenant };
  }

  remove(id: string): void {
    const found = this.#byId.get(id);
    if (found === undefined) return;
    this.#byId.delete(id);
    found.slot.gone = true;
    this.#all.noteGone();
    const slots = this.#slotsOf(found.tenant);
    slots.noteGone();
    if (slots.size === 0) this.#owners.delete(found.tenant);
  }

  /** A tenant is gone: what is kept of it is the node's from now on. */
  disown(tenant: bigint): void {
    const slots = this.#owners.get(tenant);
    if (slots === undefined) return;
    this.#owners.delete(tenant);
    this.#slotsOf(null).merge(slots);
    for (const slot of slots.oldestFirst()) this.#byId.set(slot.item.id, { slot, tenant: null });
    this.forgetOld(null);
  }

  /**
   * @param tenant only what is of it; undefined: everything.
   * @param cursor the key of the one before.
   * @throws AshlarError invalid-argument (the cursor).
   */
  *newestFirst(tenant?: bigint, cursor?: string): Iterable<{ key: string; item: T }> {
    const slots = tenant === undefined ? this.#all : (this.#owners.get(tenant) ?? new Slots<T>());
    const before = cursor === undefined ? Number.POSITIVE_INFINITY : sequenceOf(cursor);
    for (const { sequence, item } of slots.newestFirst(before)) {
      yield { key: String(sequence), item };
    }
  }

  *all(): Iterable<T> {
    for (const { item } of this.#all.oldestFirst()) yield item;
  }

  /** The same, and whose each is. */
  *allOwned(): Iterable<{ item: T; tenant: bigint | null }> {
    for (const item of this.all()) {
      yield { item, tenant: this.#byId.get(item.id)?.tenant ?? null };
    }
  }

  #slotsOf(tenant: bigint | null): Slots<T> {
    const known = this.#owners.get(tenant);
    if (known !== undefined) return known;
    const slots = new Slots<T>();
    this.#owners.set(tenant, slots);
    return slots;
  }
}

function sequenceOf(cursor: string): number {
  if (/^[1-9][0-9]{0,15}$/.test(cursor)) return Number(cursor);
  throw new AshlarError(
    'invalid-argument',
    `'${cursor.slice(0, 80)}' is not where a page ended; start again without it`,
  );
}
