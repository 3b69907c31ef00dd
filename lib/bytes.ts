/**
 * Little-endian fields at fixed offsets: how every Identify structure, log page and message of
 * authentication is written, and every command read. Offsets are those of the spec's figures.
 */

/** A zero-filled structure of a fixed size, filled field by field. */
export class FieldWriter {
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.#view = new DataView(this.bytes.buffer);
  }

  u8(offset: number, value: number): this {
    this.#view.setUint8(offset, value);
    return this;
  }

  u16(offset: number, value: number): this {
    this.#view.setUint16(offset, value, true);
    return this;
  }

  u32(offset: number, value: number): this {
    this.#view.setUint32(offset, value, true);
    return this;
  }

  u64(offset: number, value: bigint): this {
    this.#view.setBigUint64(offset, value, true);
    return this;
  }

  raw(offset: number, value: Uint8Array): this {
    this.bytes.set(value, offset);
    return this;
  }

  /** An ASCII string field: left-justified and padded with spaces, cut to its size (Base 1.4.2). */
  ascii(offset: number, size: number, text: string): this {
    this.bytes.fill(0x20, offset, offset + size);
    this.bytes.set(asciiBytes(text).subarray(0, size), offset);
    return this;
  }

  /** A null-terminated string field, such as an NQN; the text is known to fit. */
  text(offset: number, size: number, text: string): this {
    const encoded = asciiBytes(text);
    if (encoded.length >= size) throw new RangeError(`'${text}' does not fit ${size} bytes`);
    this.bytes.set(encoded, offset);
    return this;
  }
}

/** Reads fields of bytes that came from a host. Out-of-range offsets are our own mistakes. */
export class FieldReader {
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u8(offset: number): number {
    return this.#view.getUint8(offset);
  }

  u16(offset: number): number {
    return this.#view.getUint16(offset, true);
  }

  u32(offset: number): number {
    return this.#view.getUint32(offset, true);
  }

  u64(offset: number): bigint {
    return this.#view.getBigUint64(offset, true);
  }
}

function asciiBytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** `bytes` cut or padded with zeroes to `length`. */
export function exactly(bytes: Uint8Array, length: number): Uint8Array {
  if (bytes.length === length) return bytes;
  const result = new Uint8Array(length);
  result.set(bytes.subarray(0, length));
  return result;
}
