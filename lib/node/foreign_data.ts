/** Whether a place may be given to a pool: what holds somebody's data is refused. */
import { type FileHandle, open } from 'node:fs/promises';
import { AshlarError } from '../errors.js';

/** Where the superblocks of a pool lie, and where other formats have theirs. */
const headBytes = 128 * 1024;

/** The first bytes of a superblock; see native/FORMAT.md. */
const poolMagic = Buffer.from('ASHRPOOL');

/**
 * Refuses a file or device whose head holds something else than zeroes: a file system, a picture.
 * An Ashlar pool there is refused by the store itself, which says which one it is.
 *
 * @throws AshlarError already-exists.
 */
export async function refuseForeignData(path: string): Promise<void> {
  const head = Buffer.alloc(headBytes);
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch {
    return; // The store says why it cannot be opened.
  }
  try {
    await file.read(head, 0, headBytes, 0);
  } finally {
    await file.close();
  }
  const isPool = [0, headBytes / 2].some((at) => head.subarray(at, at + 8).equals(poolMagic));
  if (isPool || head.every((byte) => byte === 0)) return;
  throw new AshlarError(
    'already-exists',
    `'${path}' holds data that is not a pool; name another place, or erase its first 128 KiB ` +
      'if it is of no more use',
  );
}
