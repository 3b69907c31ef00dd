/** The version in package.json, wherever this file was compiled to. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const version: string = readVersion();

function readVersion(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const found = versionIn(join(folder, 'package.json'));
    if (found !== null) return found;
    if (folder === dirname(folder)) return '0.0.0';
  }
}

function versionIn(path: string): string | null {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return null;
  }
  const parsed: unknown = JSON.parse(text);
  if (typeof parsed !== 'object' || parsed === null || !('version' in parsed)) return null;
  return typeof parsed.version === 'string' ? parsed.version : null;
}
