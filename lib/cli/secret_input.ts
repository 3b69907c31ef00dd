/** Secrets that a person hands over. */
import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { AshlarError, toAshlarError } from '../errors.js';

/**
 * From a file, or with '-' from standard input; never from the command line, which everyone on the
 * machine can read. Without the white space around it.
 *
 * @param what names it in messages, e.g. "key".
 * @throws AshlarError usage.
 */
export async function readSecret(file: string, what: string): Promise<string> {
  try {
    return (file === '-' ? await text(process.stdin) : await readFile(file, 'utf8')).trim();
  } catch (thrown) {
    const { message } = toAshlarError(thrown);
    throw new AshlarError('usage', `cannot read the ${what} from '${file}': ${message}`);
  }
}
