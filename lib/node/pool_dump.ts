/** What lies on the device of a pool that nobody has open, for people who debug. */
import { readFile } from 'node:fs/promises';
import { describeRecord } from '../catalog/describe.js';
import {
  type DumpCursor,
  type DumpRow,
  type DumpSection,
  type InspectHandle,
  loadNative,
  type NativeAddon,
  type RuntimeHandle,
} from '../native.js';

/** Rows of one answer of native code. */
const pageRows = 1024;

/** Sections of a dump in the order in which they are shown. */
export const dumpSections: readonly DumpSection[] = [
  'superblock',
  'devices',
  'layers',
  'map',
  'space',
  'journal',
  'kill-log',
  'catalog',
];

/** One row as programs read it: 64-bit numbers as numbers where a double holds them. */
export type DumpedRow = { section: DumpSection; row: string } & Record<string, unknown>;

/**
 * Every row of these sections. A map is that of one layer, or of every one.
 *
 * @param layer UUID of the only layer whose record and map are wanted; null: all.
 * @throws AshlarError not-found, pool-locked, pool-not-a-pool, pool-newer-format, pool-corrupt (no
 * superblock).
 */
export async function* dumpPool(
  path: string,
  sections: readonly DumpSection[],
  layer: string | null,
): AsyncGenerator<DumpedRow> {
  const native = loadNative();
  const runtime = openRuntime(native);
  try {
    const inspect = native.poolInspect(runtime, { path, readOnly: true });
    try {
      for (const section of sections) yield* dumpSection(native, inspect, section, layer);
    } finally {
      await native.inspectClose(inspect);
    }
  } finally {
    await native.runtimeClose(runtime);
  }
}

async function* dumpSection(
  native: NativeAddon,
  inspect: InspectHandle,
  section: DumpSection,
  layer: string | null,
): AsyncGenerator<DumpedRow> {
  if (section === 'layers' || section === 'map') {
    const layers = await readLayers(native, inspect);
    const wanted = layers.filter((row) => layer === null || row['uuid'] === layer);
    if (section === 'layers') {
      yield* wanted;
      return;
    }
    for (const { slot } of wanted.filter(({ row }) => row === 'layer')) {
      for await (const row of dumpRows(native, inspect, 'map', BigInt(String(slot)))) {
        yield plainRow('map', row);
      }
    }
    return;
  }
  for await (const raw of dumpRows(native, inspect, section, null)) {
    const row = plainRow(section, raw);
    // What is noted counts only as long as the machine has not started anew.
    if (row['boot'] !== undefined) row['presentBoot'] = row['boot'] === (await bootId());
    yield row;
  }
}

/** UUID of the machine's present boot, as the kernel tells it. */
async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}

/** The layer table, with what only the whole of it tells: who stands on whom. */
async function readLayers(native: NativeAddon, inspect: InspectHandle): Promise<DumpedRow[]> {
  const rows: DumpedRow[] = [];
  const children = new Map<unknown, unknown[]>();
  for await (const raw of dumpRows(native, inspect, 'layers', null)) {
    const row = plainRow('layers', raw);
    rows.push(row);
    if (row['parentSlot'] === undefined) continue;
    const siblings = children.get(row['parentSlot']);
    if (siblings === undefined) children.set(row['parentSlot'], [row['slot']]);
    else siblings.push(row['slot']);
  }
  return rows.map((row) =>
    row.row === 'layer' ? { ...row, childSlots: children.get(row['slot']) ?? [] } : row,
  );
}

/** All rows of a section, asked for page by page. */
export async function* dumpRows(
  native: NativeAddon,
  inspect: InspectHandle,
  section: DumpSection,
  layerSlot: bigint | null,
): AsyncGenerator<DumpRow> {
  let cursor: DumpCursor | null = null;
  do {
    const request = { section, layerSlot, cursor, limit: pageRows };
    const page = await native.inspectDump(inspect, request);
    yield* page.rows;
    cursor = page.next;
  } while (cursor !== null);
}

function plainRow(section: DumpSection, row: DumpRow): DumpedRow {
  const plain: DumpedRow = { section, row: row.row };
  for (const [name, value] of Object.entries(row)) {
    if (name === 'value' || name === 'row') continue;
    plain[name] = name === 'key' ? String(value) : plainValue(value);
  }
  const { key, value } = row;
  if (typeof key === 'bigint' && value instanceof Uint8Array) {
    const { kind, id, fields, problem } = describeRecord({ key, value });
    plain['recordKind'] = kind;
    plain['id'] = plainValue(id);
    plain['valueBytes'] = value.length;
    plain['fields'] = plainValue(fields);
    if (problem !== null) plain['problem'] = problem;
  }
  return plain;
}

/** JSON-able: bytes of a UUID as a UUID, other bytes in hexadecimal. */
function plainValue(value: unknown): unknown {
  if (typeof value === 'bigint') {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : String(value);
  }
  if (value instanceof Uint8Array) {
    const hex = Buffer.from(value).toString('hex');
    if (value.length !== 16) return hex;
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  }
  if (Array.isArray(value)) return value.map(plainValue);
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([name, each]) => [name, plainValue(each)]),
    );
  }
  return value;
}

/** Locks a pool's device for the time of `body`. */
export async function inspecting<T>(
  native: NativeAddon,
  runtime: RuntimeHandle,
  options: { path: string; readOnly: boolean },
  body: (inspect: InspectHandle) => Promise<T>,
): Promise<T> {
  const inspect = native.poolInspect(runtime, options);
  try {
    return await body(inspect);
  } finally {
    await native.inspectClose(inspect);
  }
}

/** A runtime of one reactor for the time of `body`. */
export async function withRuntime<T>(
  body: (native: NativeAddon, runtime: RuntimeHandle) => Promise<T>,
): Promise<T> {
  const native = loadNative();
  const runtime = openRuntime(native);
  try {
    return await body(native, runtime);
  } finally {
    await native.runtimeClose(runtime);
  }
}

function openRuntime(native: NativeAddon): RuntimeHandle {
  const options = { reactors: 1, cpus: null, bufferBytes: null, busyPollUs: 0 };
  return native.runtimeOpen(options, () => undefined);
}
