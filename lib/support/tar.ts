/**
 * A tar archive of a few small files: POSIX ustar (IEEE Std 1003.1, pax, "ustar Interchange
 * Format"). Written here because that is all of it: no links, no folders of their own, no names
 * beyond 100 letters; the libraries bring five packages for the rest.
 */

export interface TarFile {
  /** Relative, of ASCII letters; at most 100. */
  name: string;
  text: string;
}

const blockBytes = 512;
/** What readers have made their buffers for since tapes. */
const recordBytes = 20 * blockBytes;

/** The archive. All files are for their owner alone, and have this time. */
export function tarOf(files: readonly TarFile[], time: Date): Buffer {
  const pieces: Buffer[] = [];
  for (const { name, text } of files) {
    const bytes = Buffer.from(text, 'utf8');
    pieces.push(header(name, bytes.length, time), bytes);
    pieces.push(Buffer.alloc((blockBytes - (bytes.length % blockBytes)) % blockBytes));
  }
  // Two empty blocks are the end.
  pieces.push(Buffer.alloc(2 * blockBytes));
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  pieces.push(Buffer.alloc((recordBytes - (length % recordBytes)) % recordBytes));
  return Buffer.concat(pieces);
}

function header(name: string, length: number, time: Date): Buffer {
  const block = Buffer.alloc(blockBytes);
  if (!/^[\x21-\x7e]{1,100}$/.test(name)) throw new Error(`'${name}' is no name for this archive`);
  const octal = (value: number, digits: number): string => value.toString(8).padStart(digits, '0');
  block.write(name, 0, 'ascii');
  block.write(`${octal(0o600, 7)}\0`, 100, 'ascii');
  block.write(`${octal(0, 7)}\0${octal(0, 7)}\0`, 108, 'ascii');
  block.write(`${octal(length, 11)}\0`, 124, 'ascii');
  block.write(`${octal(Math.floor(time.getTime() / 1000), 11)}\0`, 136, 'ascii');
  // The checksum counts its own field as spaces.
  block.fill(0x20, 148, 156);
  block.write('0', 156, 'ascii');
  block.write('ustar\x0000', 257, 'ascii');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${octal(sum, 6)}\0 `, 148, 'ascii');
  return block;
}
