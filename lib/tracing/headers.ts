/** Headers that a receiver of traces wants, from a file: they are often secrets. */
import { readFile } from 'node:fs/promises';
import { AshlarError, toAshlarError } from '../errors.js';

const maxHeaders = 32;

/**
 * `Name: value`, one a line; empty lines and those that begin with # are left out.
 * @throws AshlarError config-invalid: it cannot be read, or which line is none, without its value.
 */
export async function headersFrom(path: string): Promise<Record<string, string>> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (thrown) {
    const { message } = toAshlarError(thrown);
    throw new AshlarError('config-invalid', `tracing.headersFile cannot be read: ${message}`);
  }
  const headers: Record<string, string> = {};
  for (const [at, line] of text.split('\n').entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const [, name = '', value = ''] =
      /^([\w!#$%&'*+.^`|~-]+):[ \t]*([\x20-\x7e]+?)\s*$/.exec(line) ?? [];
    if (name === '' || Object.keys(headers).length >= maxHeaders) {
      throw new AshlarError(
        'config-invalid',
        `tracing.headersFile '${path}', line ${at + 1}: not a header of the form 'Name: value', of ` +
          `which there may be ${maxHeaders}`,
      );
    }
    headers[name] = value;
  }
  return headers;
}
