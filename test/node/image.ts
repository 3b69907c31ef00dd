/**
 * A pool's device as a text file: what is not zeroes in it, by sector. So an image of a few MiB is
 * a few kB in the repository, and a change of it can be seen.
 *
 *     ashlar pool image 1, 33554432 bytes
 *     <offset in hex> <bytes, deflated, in base64>
 */
import {
  closeSync,
  ftruncateSync,
  openSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { deflateSync, inflateSync } from 'node:zlib';

const sectorBytes = 512;
/** Of one line, before it is deflated. */
const maxRunBytes = 64 * 1024;
const head = /^ashlar pool image 1, (\d+) bytes$/;

/** Writes the image of `device` to `image`. */
export function saveImage(device: string, image: string): void {
  const bytes = readFileSync(device);
  const lines = [`ashlar pool image 1, ${bytes.length} bytes`];
  const zero = Buffer.alloc(sectorBytes);
  const isZero = (at: number): boolean => bytes.subarray(at, at + sectorBytes).equals(zero);
  let at = 0;
  while (at < bytes.length) {
    if (isZero(at)) {
      at += sectorBytes;
      continue;
    }
    let end = at;
    while (end < bytes.length && end - at < maxRunBytes && !isZero(end)) end += sectorBytes;
    const packed = deflateSync(bytes.subarray(at, end), { level: 9 }).toString('base64');
    lines.push(`${at.toString(16)} ${packed}`);
    at = end;
  }
  writeFileSync(image, `${lines.join('\n')}\n`);
}

/** Makes `device`, which must not exist, of an image. */
export function loadImage(image: string, device: string): void {
  const [first = '', ...lines] = readFileSync(image, 'utf8').trimEnd().split('\n');
  const size = head.exec(first)?.[1];
  if (size === undefined) throw new Error(`${image} is not an image of a pool: '${first}'`);
  const file = openSync(device, 'wx', 0o600);
  try {
    ftruncateSync(file, Number(size));
    for (const line of lines) {
      const [offset = '', packed = ''] = line.split(' ');
      const bytes = inflateSync(Buffer.from(packed, 'base64'));
      writeSync(file, bytes, 0, bytes.length, Number.parseInt(offset, 16));
    }
  } finally {
    closeSync(file);
  }
}
