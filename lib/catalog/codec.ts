/**
 * Catalog records as bytes: a MessagePack map of fields, with the record's version in field 'v'.
 *
 * Fields that this version does not know are kept and written back, so that a newer version may
 * add fields without a new record version. A record version above ours is refused.
 */
import { Packr, Unpackr } from 'msgpackr';
import { AshlarError } from '../errors.js';

/** The pool takes values up to this size. */
export const maxRecordBytes = 48 * 1024;

const packr = new Packr({ useRecords: false, encodeUndefinedAsNil: true });
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: 'bigint' });

/** Shared by all records that have nothing unknown, which is nearly all. */
const noFields: Readonly<Record<string, unknown>> = Object.freeze({});

/** The fields of one record; reading one of the wrong type is 'catalog-corrupt'. */
export class RecordFields {
  readonly #what: string;
  readonly #fields: ReadonlyMap<string, unknown>;
  readonly #known = new Set<string>(['v']);

  constructor(what: string, fields: ReadonlyMap<string, unknown>) {
    this.#what = what;
    this.#fields = fields;
  }

  text(name: string): string {
    const value = this.#take(name);
    return typeof value === 'string' ? value : this.#refuse(name, 'text');
  }

  /** An integer that a double holds exactly. */
  integer(name: string): number {
    const value = this.#take(name);
    const number = typeof value === 'bigint' ? Number(value) : value;
    if (typeof number === 'number' && Number.isSafeInteger(number)) return number;
    return this.#refuse(name, 'an integer');
  }

  /** Likewise; records older than the field say `otherwise`. */
  integerOr(name: string, otherwise: number): number {
    return this.has(name) ? this.integer(name) : otherwise;
  }

  /** Any unsigned 64-bit integer. */
  u64(name: string): bigint {
    const value = this.#take(name);
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) {
      return BigInt(value);
    }
    if (typeof value === 'bigint' && value >= 0n) return value;
    return this.#refuse(name, 'an unsigned integer');
  }

  /** A list of them; of exactly `count`, where it is given. */
  u64s(name: string, count?: number): bigint[] {
    const value = this.#items(name, 'unsigned integers', (each, item) => item.u64(each));
    if (count === undefined || value.length === count) return value;
    return this.#refuse(name, `a list of ${count} unsigned integers`);
  }

  /** A list of byte strings of one length. */
  bytesList(name: string, length: number): Uint8Array[] {
    return this.#items(name, 'byte strings', (each, item) => item.bytes(each, length));
  }

  #items<T>(name: string, what: string, read: (each: string, item: RecordFields) => T): T[] {
    const value = this.#take(name);
    if (!Array.isArray(value)) return this.#refuse(name, `a list of ${what}`);
    return value.map((item: unknown, index) => {
      const each = `${name}[${index}]`;
      return read(each, new RecordFields(this.#what, new Map([[each, item]])));
    });
  }

  bytes(name: string, length: number): Uint8Array {
    const value = this.#take(name);
    if (value instanceof Uint8Array && value.length === length) return new Uint8Array(value);
    return this.#refuse(name, `${length} bytes`);
  }

  /** Bytes of this length, or none at all. Records older than the field have none. */
  bytesOrNone(name: string, length: number): Uint8Array {
    const value = this.#take(name);
    if (value === undefined) return new Uint8Array(0);
    const fits = value instanceof Uint8Array && (value.length === length || value.length === 0);
    return fits ? new Uint8Array(value) : this.#refuse(name, `${length} bytes or none`);
  }

  /** Records older than the field say false. */
  flag(name: string): boolean {
    const value = this.#take(name) ?? false;
    return typeof value === 'boolean' ? value : this.#refuse(name, 'true or false');
  }

  /** Whether the record has the field; those of older versions may lack it. */
  has(name: string): boolean {
    return this.#fields.has(name);
  }

  choice<T extends string | number>(name: string, choices: readonly T[]): T {
    const value = this.#take(name);
    const found = choices.find((choice) => choice === value);
    return found ?? this.#refuse(name, `one of ${choices.join(', ')}`);
  }

  /** Fields that nobody has read. */
  unknown(): Readonly<Record<string, unknown>> {
    if (this.#fields.size <= this.#known.size) {
      let left = this.#fields.size;
      for (const name of this.#known) if (this.#fields.has(name)) left -= 1;
      if (left === 0) return noFields;
    }
    const rest = [...this.#fields].filter(([name]) => !this.#known.has(name));
    return Object.fromEntries(rest);
  }

  #take(name: string): unknown {
    this.#known.add(name);
    return this.#fields.get(name);
  }

  #refuse(name: string, wanted: string): never {
    throw new AshlarError(
      'catalog-corrupt',
      `${this.#what}: field '${name}' is not ${wanted}; run "ashlar pool check"`,
    );
  }
}

/** A kind of record: how it is stored, and the unique keys by which it is found. */
export interface RecordKind<T, Index extends string = string, Group extends string = string> {
  /** 1 to 255: the top byte of the key. Never reused for another kind. */
  readonly kind: number;
  readonly name: string;
  /** Of the newest layout that this code reads and the one that it writes. */
  readonly version: number;
  /** Fields that are never shown, not even to people who debug. */
  readonly secretFields?: readonly string[];
  decode(fields: RecordFields, version: number): T;
  encode(value: T): Record<string, unknown>;
  /**
   * Unique over all records of the kind; a second record with the same key is refused. A record
   * without a key is not found by that index.
   */
  readonly indexes: Readonly<Record<Index, KeyOf<T>>>;
  /**
   * Keys that many records share, such as the tenant of a volume: for lists and counts. A record
   * without a key belongs to no group.
   */
  readonly groups: Readonly<Record<Group, KeyOf<T>>>;
  /**
   * Records of other kinds that are named by their ids, and may be gone: those ids are not given
   * to new records as long as they are named. Left out: names none that could be gone.
   */
  readonly namesGone?: NamesOf<T>;
}

/** A method's type, so that a kind of some record is also a kind of an unknown one. */
type KeyOf<T> = { keyOf(value: T): string | null }['keyOf'];

/** Likewise a method's type. */
type NamesOf<T> = { namesOf(value: T): readonly { kind: number; id: bigint }[] }['namesOf'];

/** A decoded record, and the fields to be written back untouched. */
export interface DecodedRecord<T> {
  value: T;
  unknown: Readonly<Record<string, unknown>>;
}

export function decodeRecord<T>(
  kind: RecordKind<T>,
  id: bigint,
  bytes: Uint8Array,
): DecodedRecord<T> {
  const what = `catalog record ${kind.name} ${id}`;
  let decoded: unknown;
  try {
    decoded = unpackr.unpack(bytes);
  } catch (cause) {
    const message = `${what} is not MessagePack; run "ashlar pool check"`;
    throw new AshlarError('catalog-corrupt', message, { cause });
  }
  if (typeof decoded !== 'object' || decoded === null || Array.isArray(decoded)) {
    throw new AshlarError('catalog-corrupt', `${what} is not a map; run "ashlar pool check"`);
  }
  const fields = new RecordFields(what, new Map(Object.entries(decoded)));
  const version = fields.integer('v');
  if (version > kind.version) {
    throw new AshlarError(
      'catalog-newer-format',
      `${what} has version ${version}, this Ashlar reads up to ${kind.version}; ` +
        'use the version that wrote the pool, or a newer one',
    );
  }
  const value = kind.decode(fields, version);
  return { value, unknown: fields.unknown() };
}

export function encodeRecord<T>(
  kind: RecordKind<T>,
  value: T,
  unknown: Readonly<Record<string, unknown>>,
): Uint8Array {
  const bytes = packr.pack({ ...unknown, ...kind.encode(value), v: kind.version });
  if (bytes.length > maxRecordBytes) {
    throw new AshlarError(
      'limit-exceeded',
      `a ${kind.name} record of ${bytes.length} bytes is over the catalog's ${maxRecordBytes}`,
    );
  }
  return new Uint8Array(bytes);
}
