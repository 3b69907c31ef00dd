/**
 * How messages of protocol buffers are declared: a table of fields is the one place from which both
 * the types and the bytes follow. protobufjs does the bytes; here is what makes of its loose
 * objects ones that a compiler checks.
 *
 * In a decoded message nothing is undefined: what was not sent is '', 0, false, [], {}, and null for
 * a message. To encode, everything may be left out.
 */
import protobuf from 'protobufjs/light.js';

type Scalar = 'string' | 'bool' | 'int32' | 'int64';

/** What a field is, at run time. */
interface FieldShape {
  readonly number: number;
  readonly of: Scalar | Enumeration<string> | MessageTable;
  readonly label: 'one' | 'many' | 'map';
}

/** One line of a table; the types are of what is decoded, and of what can be encoded. */
export interface Field<In, Out = In> extends FieldShape {
  /** Never there: carries the types. */
  readonly types?: (sent: Out) => In;
}

type Fields = Readonly<Record<string, FieldShape>>;

/** A declared message, whichever it is. */
export interface MessageTable {
  readonly name: string;
  readonly fields: Fields;
}

/** A declared message of these fields. */
export interface Message<F extends Fields> extends MessageTable {
  readonly fields: F;
}

/** A declared enumeration; the place of a name is its number. */
export interface Enumeration<Name extends string> {
  readonly name: string;
  readonly values: readonly Name[];
}

type In<F> = F extends { readonly types?: (sent: never) => infer I } ? I : never;
type Out<F> = F extends { readonly types?: (sent: infer O) => unknown } ? O : never;

/** A message that was received. */
export type Decoded<M> = M extends Message<infer F> ? { readonly [K in keyof F]: In<F[K]> } : never;
/** A message to send. */
export type Encodable<M> =
  M extends Message<infer F> ? { readonly [K in keyof F]?: Out<F[K]> | undefined } : never;

type Texts = Readonly<Record<string, string>>;

/** `name` is the specification's, with the names of the messages that it stands in before it. */
export function message<const F extends Readonly<Record<string, FieldShape>>>(
  name: string,
  fields: F,
): Message<F> {
  return { name, fields };
}

export function enumeration<const Name extends string>(
  name: string,
  values: readonly Name[],
): Enumeration<Name> {
  return { name, values };
}

export const string = (number: number): Field<string> => scalar('string', number);
export const bool = (number: number): Field<boolean> => scalar('bool', number);
export const int32 = (number: number): Field<number> => scalar('int32', number);
export const int64 = (number: number): Field<bigint> => scalar('int64', number);

function scalar<T>(of: Scalar, number: number): Field<T> {
  return { of, number, label: 'one' };
}

export function strings(number: number): Field<readonly string[]> {
  return { of: 'string', number, label: 'many' };
}

/** From string to string; CSI has no others. */
export function map(number: number): Field<Texts> {
  return { of: 'string', number, label: 'map' };
}

export function choice<Name extends string>(of: Enumeration<Name>, number: number): Field<Name> {
  return { of, number, label: 'one' };
}

export function one<M extends MessageTable>(
  of: M,
  number: number,
): Field<Decoded<M> | null, Encodable<M> | null> {
  return { of, number, label: 'one' };
}

export function many<M extends MessageTable>(
  of: M,
  number: number,
): Field<readonly Decoded<M>[], readonly Encodable<M>[]> {
  return { of, number, label: 'many' };
}

/** The bytes of one message. */
export interface Codec<M> {
  encode(value: Encodable<M>): Buffer;
  /** @throws Error when the bytes are none of this message. */
  decode(bytes: Uint8Array): Decoded<M>;
}

/** Beside each other, each under its whole name: what a field is of is found by that. */
const declared = new protobuf.Root();

/** Compiled when it is first asked for. */
export function codecOf<M extends MessageTable>(table: M): Codec<M> {
  return {
    encode: (value) => {
      const type = compile(table);
      return Buffer.from(type.encode(type.fromObject(plain(table, value))).finish());
    },
    decode: (bytes) => {
      const type = compile(table);
      const object = type.toObject(type.decode(bytes), {
        longs: String,
        enums: String,
        defaults: true,
        arrays: true,
        objects: true,
      });
      return typed(table, object) as Decoded<M>;
    },
  };
}

function compile(table: MessageTable): protobuf.Type {
  const name = wireName(table);
  const before = declared.get(name);
  if (before instanceof protobuf.Type) return before;
  const type = new protobuf.Type(name);
  declared.add(type);
  for (const [field, { number, of, label }] of Object.entries(table.fields)) {
    if (label === 'map') {
      type.add(new protobuf.MapField(field, number, 'string', 'string'));
      continue;
    }
    if (typeof of !== 'string') {
      if ('values' in of) declareEnum(of);
      else compile(of);
    }
    const typeName = typeof of === 'string' ? of : wireName(of);
    type.add(
      new protobuf.Field(field, number, typeName, label === 'many' ? 'repeated' : undefined),
    );
  }
  return type;
}

function declareEnum(of: Enumeration<string>): void {
  const name = wireName(of);
  if (declared.get(name) !== null) return;
  const numbers = Object.fromEntries(of.values.map((value, index) => [value, index]));
  declared.add(new protobuf.Enum(name, numbers));
}

function wireName({ name }: { readonly name: string }): string {
  return name.replaceAll('.', '_');
}

type Loose = Readonly<Record<string, unknown>>;

/** What protobufjs takes: 64 bits as decimal text, and nothing for what is not there. */
function plain(table: MessageTable, value: object): object {
  const from: Loose = { ...value };
  const parts: [string, unknown][] = [];
  for (const [name, shape] of Object.entries(table.fields)) {
    const part = from[name];
    if (part === undefined || part === null) continue;
    parts.push([name, each(shape, part, (of, item) => plain(of, item), String)]);
  }
  return Object.fromEntries(parts);
}

function typed(table: MessageTable, value: object): object {
  const from: Loose = { ...value };
  return Object.fromEntries(
    Object.entries(table.fields).map(([name, shape]) => [
      name,
      each(shape, from[name], (of, item) => typed(of, item), wide),
    ]),
  );
}

/** One field's value, with messages and 64-bit numbers in it changed. */
function each(
  { of, label }: FieldShape,
  value: unknown,
  ofMessage: (of: MessageTable, value: object) => unknown,
  ofWide: (value: unknown) => unknown,
): unknown {
  const change = (item: unknown): unknown => {
    if (item === null || item === undefined) return null;
    if (of === 'int64') return ofWide(item);
    if (typeof of === 'string') return item;
    // A value that a newer peer knows.
    if ('values' in of) return typeof item === 'string' ? item : of.values[0];
    return typeof item === 'object' ? ofMessage(of, item) : item;
  };
  if (label === 'many') return Array.isArray(value) ? value.map(change) : [];
  return label === 'map' ? value : change(value);
}

function wide(value: unknown): bigint {
  return BigInt(String(value));
}
