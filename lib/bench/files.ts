/** Result files. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AshlarError, toAshlarError } from '../errors.js';
import { type BenchResult, resultFormat } from './results.js';

/** Makes the folder too. */
export async function writeText(path: string, text: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
  } catch (thrown) {
    const { code, message } = toAshlarError(thrown);
    throw new AshlarError(code, `cannot write ${path}: ${message}`, { cause: thrown });
  }
}

export function resultText(result: BenchResult): string {
  return `${JSON.stringify(result, null, 1)}\n`;
}

/** @throws AshlarError 'not-found', 'invalid-argument' when it is not a result. */
export async function readResult(path: string): Promise<BenchResult> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (thrown) {
    const { code, message } = toAshlarError(thrown);
    throw new AshlarError(code, `cannot read ${path}: ${message}`, { cause: thrown });
  }
  return parseResult(text, path);
}

/**
 * What the rest relies on is checked here; a file comes from a benchmark, not from an enemy, but it
 * may be another file altogether, or one that was cut off.
 */
export function parseResult(text: string, path: string): BenchResult {
  const wrong = (why: string): AshlarError =>
    new AshlarError('invalid-argument', `${path} is not a result of 'ashlar bench': ${why}`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw wrong('it is not JSON, or was cut off');
  }
  if (typeof value !== 'object' || value === null) throw wrong('it is not an object');
  const result = value as Partial<BenchResult>;
  if (result.format !== resultFormat) {
    throw wrong(`its format is ${JSON.stringify(result.format)}, not '${resultFormat}'`);
  }
  const lists = [result.results, result.subjects];
  if (lists.some((list) => !Array.isArray(list)) || result.machine === undefined) {
    throw wrong('parts of it are missing');
  }
  return value as BenchResult;
}
