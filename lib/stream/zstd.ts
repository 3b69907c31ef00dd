/**
 * Zstandard: Node's own where it has it (22.15 and newer, on its thread pool), else WebAssembly on
 * this thread. Each frame is one whole piece and says its size, so either reads what the other
 * wrote.
 */
import zlib from 'node:zlib';

export interface Zstd {
  readonly name: 'node' | 'wasm';
  /** One frame that says its content size. */
  compress(bytes: Uint8Array): Promise<Uint8Array>;
  /** @throws Error when it is not exactly one frame of `length` bytes. */
  decompress(frame: Uint8Array, length: number): Promise<Uint8Array>;
}

/** Level 1: about 200 MiB/s here, and as small as level 3 to a tenth. */
const level = 1;

/** Node's own, where this version has it; types of Node 20 do not know it. */
interface NodeZstd {
  zstdCompress(bytes: Uint8Array, options: object, done: Done): void;
  zstdDecompress(bytes: Uint8Array, options: object, done: Done): void;
  constants: { ZSTD_c_compressionLevel: number };
}
type Done = (error: Error | null, result: Uint8Array) => void;

function hasZstd(module: object): module is NodeZstd {
  return 'zstdCompress' in module && 'zstdDecompress' in module;
}

/** Null: this Node.js has none. */
export function nodeZstd(): Zstd | null {
  const node: object = zlib;
  if (!hasZstd(node)) return null;
  const params = { [node.constants.ZSTD_c_compressionLevel]: level };
  const run = (work: (done: Done) => void): Promise<Uint8Array> =>
    new Promise((resolve, reject) => {
      work((error, result) => (error === null ? resolve(result) : reject(error)));
    });
  return {
    name: 'node',
    compress: (bytes) =>
      run((done) => node.zstdCompress(bytes, { params, pledgedSrcSize: bytes.length }, done)),
    decompress: async (frame, length) => {
      checkFrame(frame, length);
      const options = { maxOutputLength: length };
      return checkLength(await run((done) => node.zstdDecompress(frame, options, done)), length);
    },
  };
}

let wasm: Promise<Zstd> | null = null;

/** Compiled once a process, when it is first needed: a tenth of a second. */
export function wasmZstd(): Promise<Zstd> {
  wasm ??= loadWasm();
  return wasm;
}

async function loadWasm(): Promise<Zstd> {
  const { init, compress, decompress } = await import('@bokuweb/zstd-wasm');
  await init();
  return {
    name: 'wasm',
    compress: async (bytes) => compress(bytes, level),
    decompress: async (frame, length) => {
      checkFrame(frame, length);
      return checkLength(decompress(frame), length);
    },
  };
}

/** The one to use here. */
export async function loadZstd(): Promise<Zstd> {
  return nodeZstd() ?? (await wasmZstd());
}

/**
 * Proves that the frame says that it holds `length` bytes (RFC 8878, 3.1.1.1), before a decoder
 * makes room for what a damaged or hostile frame says.
 */
function checkFrame(frame: Uint8Array, length: number): void {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (frame.length < 6 || view.getUint32(0, true) !== 0xfd2fb528) {
    throw new Error('it is not a zstd frame');
  }
  const descriptor = view.getUint8(4);
  const single = (descriptor & 0x20) !== 0;
  const sizeBytes = [single ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  const at = 5 + (single ? 0 : 1) + ([0, 1, 2, 4][descriptor & 3] ?? 0);
  if (sizeBytes === 0 || frame.length < at + sizeBytes) {
    throw new Error('its zstd frame does not say how much it holds');
  }
  const said = contentSize(view, at, sizeBytes);
  if (said !== BigInt(length)) throw new Error(`its zstd frame holds ${said} bytes, not ${length}`);
}

function contentSize(view: DataView, at: number, bytes: number): bigint {
  if (bytes === 1) return BigInt(view.getUint8(at));
  // RFC 8878: two bytes count from 256.
  if (bytes === 2) return BigInt(view.getUint16(at, true) + 256);
  if (bytes === 4) return BigInt(view.getUint32(at, true));
  return view.getBigUint64(at, true);
}

function checkLength(bytes: Uint8Array, length: number): Uint8Array {
  if (bytes.length === length) return bytes;
  throw new Error(`its zstd frame gave ${bytes.length} bytes, not ${length}`);
}
