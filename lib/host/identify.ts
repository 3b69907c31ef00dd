/** Identify data (NVMe Base 5.17.2, NVM Command Set 4.1.5), as far as a host here acts on it. */

/** Identify Controller, CNS 01h. */
export interface ControllerIdentity {
  vendorId: number;
  serialNumber: string;
  modelNumber: string;
  firmwareRevision: string;
  cntlid: number;
  /** Version as major × 65536 + minor × 256 + tertiary. */
  version: number;
  subnqn: string;
  /** Largest data of one command, in powers of two of the smallest page; 0: no limit. */
  mdts: number;
  /** Whether there is a volatile write cache, so that Flush matters. */
  volatileWriteCache: boolean;
  namespaces: number;
  maxCommands: number;
  /** Keep Alive granularity, ms; 0: no Keep Alive. */
  keepAliveGranularityMs: number;
  /** Bytes of data that an I/O command capsule takes. */
  inCapsuleBytes: number;
  /** ANA is reported (CMIC bit 3). */
  ana: boolean;
  /** All 4,096 bytes. */
  raw: Uint8Array;
}

/** Identify Namespace, CNS 00h. */
export interface NamespaceIdentity {
  sizeBlocks: bigint;
  capacityBlocks: bigint;
  usedBlocks: bigint;
  blockBytes: number;
  sizeBytes: bigint;
  /** 16 bytes. */
  nguid: Uint8Array;
  anagrpid: number;
  thinProvisioned: boolean;
  readOnly: boolean;
  raw: Uint8Array;
}

function text(bytes: Uint8Array, offset: number, length: number): string {
  const field = bytes.subarray(offset, offset + length);
  const end = field.indexOf(0);
  return new TextDecoder('latin1').decode(end < 0 ? field : field.subarray(0, end)).trimEnd();
}

/** Reads 4,096 bytes of Identify Controller data. */
export function readControllerIdentity(raw: Uint8Array): ControllerIdentity {
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const ioccsz = view.getUint32(1792, true);
  return {
    vendorId: view.getUint16(0, true),
    serialNumber: text(raw, 4, 20),
    modelNumber: text(raw, 24, 40),
    firmwareRevision: text(raw, 64, 8),
    ana: (view.getUint8(76) & 0x08) !== 0,
    mdts: view.getUint8(77),
    cntlid: view.getUint16(78, true),
    version: view.getUint32(80, true),
    keepAliveGranularityMs: view.getUint16(320, true) * 100,
    maxCommands: view.getUint16(514, true),
    namespaces: view.getUint32(516, true),
    volatileWriteCache: (view.getUint8(525) & 0x01) !== 0,
    subnqn: text(raw, 768, 256),
    inCapsuleBytes: ioccsz > 4 ? (ioccsz - 4) * 16 : 0,
    raw,
  };
}

/** Reads 4,096 bytes of Identify Namespace data. */
export function readNamespaceIdentity(raw: Uint8Array): NamespaceIdentity {
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  // FLBAS bits 3:0 and 6:5 choose the LBA format; LBADS is its third byte (2^n bytes a block).
  const flbas = view.getUint8(26);
  const format = (flbas & 0x0f) | ((flbas & 0x60) >> 1);
  const blockBytes = 2 ** view.getUint8(128 + 4 * format + 2);
  const sizeBlocks = view.getBigUint64(0, true);
  return {
    sizeBlocks,
    capacityBlocks: view.getBigUint64(8, true),
    usedBlocks: view.getBigUint64(16, true),
    blockBytes,
    sizeBytes: sizeBlocks * BigInt(blockBytes),
    nguid: raw.slice(104, 120),
    anagrpid: view.getUint32(92, true),
    thinProvisioned: (view.getUint8(24) & 0x01) !== 0,
    readOnly: (view.getUint8(99) & 0x01) !== 0,
    raw,
  };
}

/** Reads one 4,096-byte list of NSIDs (CNS 02h), ended by 0 or by its length. */
export function readNamespaceList(raw: Uint8Array): number[] {
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const list: number[] = [];
  for (let offset = 0; offset + 4 <= raw.byteLength; offset += 4) {
    const nsid = view.getUint32(offset, true);
    if (nsid === 0) break;
    list.push(nsid);
  }
  return list;
}
