/** `ashlar pool dump`: what lies on a pool's device, as text or as JSON lines. */
import { once } from 'node:events';
import { AshlarError } from '../errors.js';
import type { DumpSection } from '../native.js';
import type { DumpedRow } from '../node/pool_dump.js';
import { plural } from './terminal.js';

export interface DumpOptions {
  json?: boolean;
  section?: string[];
  layer?: string;
}

export async function dumpPool(path: string, options: DumpOptions): Promise<void> {
  const { dumpPool: dump, dumpSections } = await import('../node/pool_dump.js');
  const sections = chosen(options, dumpSections);
  const layer = options.layer?.toLowerCase() ?? null;
  let section: DumpSection | null = null;
  let shownLayer = false;
  let problems = 0;
  for await (const row of dump(path, sections, layer)) {
    if (row.row === 'problem') ++problems;
    if (row.section === 'layers' || row.section === 'map') shownLayer = true;
    if (options.json === true) {
      await write(`${JSON.stringify(row)}\n`);
      continue;
    }
    if (row.section !== section) {
      await write(`${section === null ? '' : '\n'}${row.section}\n`);
      section = row.section;
    }
    await write(`  ${rowText(row)}\n`);
  }
  const lookedForLayer = sections.includes('layers');
  if (layer !== null && lookedForLayer && !shownLayer) {
    throw new AshlarError('not-found', `${path} has no layer ${layer}`);
  }
  if (problems > 0) {
    throw new AshlarError(
      'pool-corrupt',
      `${path} is damaged: ${plural(problems, 'part')} cannot be shown; run "ashlar pool check ${path}"`,
    );
  }
}

function chosen(options: DumpOptions, all: readonly DumpSection[]): readonly DumpSection[] {
  const { section: names, layer } = options;
  if (layer !== undefined && !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(layer)) {
    throw new AshlarError('usage', `--layer '${layer}' is no UUID; "--section layers" lists them`);
  }
  if (names === undefined) return layer === undefined ? all : ['layers', 'map'];
  return names.map((name) => {
    const found = all.find((each) => each === name);
    if (found !== undefined) return found;
    throw new AshlarError('usage', `--section '${name}' is none of ${all.join(', ')}`);
  });
}

/** `kind field value  field value`, masks in hexadecimal. */
function rowText({ section: _, row, ...fields }: DumpedRow): string {
  const parts = Object.entries(fields).map(([name, value]) => {
    if (/Mask$/.test(name)) return `${name} 0x${Number(value).toString(16).padStart(4, '0')}`;
    if (/Features$/.test(name)) return `${name} 0x${Number(value).toString(16)}`;
    return `${name} ${typeof value === 'string' ? value : JSON.stringify(value)}`;
  });
  return [row, ...parts].join('  ').replaceAll(/\p{Cc}/gu, '?');
}

/** A dump may be larger than memory: it goes on when the reader has taken what was written. */
async function write(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain');
}
