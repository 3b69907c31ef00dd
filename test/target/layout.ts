/** Reads structures back in tests; shares no code with the encoders. */
export function le(bytes: Uint8Array, offset: number, length: number): bigint {
  let value = 0n;
  for (let index = length - 1; index >= 0; index -= 1) {
    value = (value << 8n) | BigInt(bytes[offset + index] ?? 0);
  }
  return value;
}

/** Every field but those named is zero. @param fields [offset, length, value]. */
export function assertFields(
  bytes: Uint8Array,
  fields: readonly (readonly [number, number, bigint])[],
  assertEqual: (actual: unknown, expected: unknown, message: string) => void,
): void {
  const rest = new Uint8Array(bytes);
  for (const [offset, length, value] of fields) {
    const found = `0x${le(bytes, offset, length).toString(16)}`;
    assertEqual(found, `0x${value.toString(16)}`, `bytes ${offset} to ${offset + length - 1}`);
    rest.fill(0, offset, offset + length);
  }
  const stray = rest.findIndex((byte) => byte !== 0);
  assertEqual(stray, -1, `byte ${stray} is not zero`);
}

export function ascii(bytes: Uint8Array, offset: number, length: number): string {
  return Buffer.from(bytes.subarray(offset, offset + length)).toString('latin1');
}

/** A submission queue entry from its dwords; others are zero. */
export function sqe(fields: {
  opcode: number;
  nsid?: number;
  cdw10?: number;
  cdw11?: number;
  cdw12?: number;
  cdw13?: number;
  cdw14?: number;
}): Uint8Array {
  const bytes = Buffer.alloc(64);
  bytes.writeUInt8(fields.opcode, 0);
  bytes.writeUInt16LE(0x1234, 2);
  bytes.writeUInt32LE(fields.nsid ?? 0, 4);
  const dwords = [fields.cdw10, fields.cdw11, fields.cdw12, fields.cdw13, fields.cdw14];
  for (const [index, dword] of dwords.entries()) {
    bytes.writeUInt32LE((dword ?? 0) >>> 0, 40 + index * 4);
  }
  return new Uint8Array(bytes);
}
