/** `ashlar snapshot diff`, `ashlar volume export`, `ashlar volume import`, `ashlar volume imports` */
import { createWriteStream, fstat } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import type { ApiClient } from '../api/client.js';
import type { Import } from '../api/contract/streams.js';
import {
  exportSnapshot as callExport,
  importVolume as callImport,
  type ExportAnswer,
} from '../api/transfer_client.js';
import { formatDurationMs, formatSizeShort, parseSize } from '../config/units.js';
import { AshlarError } from '../errors.js';
import { StreamReader } from '../stream/reader.js';
import { type TenantOptions, tenantQuery, withDaemon } from './daemon.js';
import type { ListOptions } from './filters.js';
import { type LookOptions, look, lookAtList } from './look.js';
import { Progress } from './progress.js';
import { type Column, table } from './table.js';
import { localTime, plural, printJson, printLines } from './terminal.js';
import { apiSize } from './volume.js';

export interface DiffOptions extends TenantOptions {
  since?: string;
  from?: string;
}

export interface ExportOptions extends DiffOptions {
  output?: string;
  quiet?: boolean;
}

export interface ImportOptions extends TenantOptions {
  size?: string;
  abandon?: boolean;
  ifExists?: boolean;
  quiet?: boolean;
}

/** Ranges asked for at once: the most that a page has. */
const rangesPerPage = '1000';

/** Printed as they come, so that a long list needs no memory. */
export async function listRanges(reference: string, options: DiffOptions): Promise<void> {
  const total = { ranges: 0, data: 0, zero: 0 };
  await withDaemon(options, async (client) => {
    for await (const range of rangesOf(client, reference, options)) {
      total.ranges += 1;
      total[range.kind] += range.lengthBytes;
      if (options.json === true) await printed(`${JSON.stringify(range)}\n`);
      else await printed(`${range.offsetBytes}\t${range.lengthBytes}\t${range.kind}\n`);
    }
  });
  if (options.json === true) return;
  printLines([
    `${plural(total.ranges, 'range')}: ${total.data} bytes of data ` +
      `(${size(total.data)}), ${total.zero} bytes of zeroes`,
  ]);
}

interface Range {
  offsetBytes: number;
  lengthBytes: number;
  kind: 'data' | 'zero';
}

/** Neighbours that two pages have cut are one. */
async function* rangesOf(
  client: ApiClient,
  snapshot: string,
  options: DiffOptions,
): AsyncGenerator<Range, void, void> {
  const query = {
    ...tenantQuery(options),
    ...(options.since === undefined ? {} : { since: options.since }),
    ...(options.from === undefined ? {} : { from: String(parseSize(options.from, '--from')) }),
    limit: rangesPerPage,
  };
  let held: Range | null = null;
  let cursor: string | null = null;
  do {
    const more: { cursor?: string } = cursor === null ? {} : { cursor };
    const page: { items: Range[]; next: string | null } = await client.call('listRanges', {
      params: { snapshot },
      query: { ...query, ...more },
    });
    for (const range of page.items) {
      const joins: boolean =
        held !== null &&
        held.kind === range.kind &&
        held.offsetBytes + held.lengthBytes === range.offsetBytes;
      if (held !== null && joins) held.lengthBytes += range.lengthBytes;
      else {
        if (held !== null) yield held;
        held = { ...range };
      }
    }
    cursor = page.next;
  } while (cursor !== null);
  if (held !== null) yield held;
}

/** Waits while the reader of stdout is behind. */
async function printed(line: string): Promise<void> {
  if (process.stdout.write(line)) return;
  await new Promise<void>((resolve) => process.stdout.once('drain', resolve));
}

// ---- Export -------------------------------------------------------------------------------------

export async function exportSnapshot(reference: string, options: ExportOptions): Promise<void> {
  if (options.output === undefined && process.stdout.isTTY) {
    throw new AshlarError(
      'usage',
      'the stream is binary and stdout is a terminal; redirect it (> file, | ssh …) or give ' +
        '--output FILE',
    );
  }
  const { output } = options;
  if (output !== undefined) await refuseExisting(output);
  const partial = output === undefined ? null : `${output}.partial`;
  try {
    await withDaemon(options, async (client) => {
      const { since, from, tenant } = options;
      const fromOffset = from === undefined ? undefined : parseSize(from, '--from');
      await untilInterrupted(
        `the export of '${reference}' was ended; begin it again`,
        async (signal) => {
          const request = { snapshot: reference, since, fromOffset, tenant };
          const answer = await callExport(client, request, { signal });
          const sink = partial === null ? stdoutAsSink() : createWriteStream(partial);
          await exportTo(sink, answer, reference, options, signal);
        },
      );
    });
    if (partial !== null && output !== undefined) await rename(partial, output);
  } catch (thrown) {
    if (partial !== null) await rm(partial, { force: true });
    throw thrown;
  }
}

/** Ctrl-C ends it in order: no half file, no bar on the terminal, and a word on what is next. */
async function untilInterrupted<T>(
  message: string,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const ended = new AbortController();
  const onSignal = (): void => ended.abort();
  process.once('SIGINT', onSignal);
  try {
    return await work(ended.signal);
  } catch (thrown) {
    if (!ended.signal.aborted) throw thrown;
    throw new AshlarError('cancelled', message, { cause: thrown });
  } finally {
    process.off('SIGINT', onSignal);
  }
}

/** Of other commands a reader that leaves ends the process in peace; here nobody has the backup. */
function stdoutAsSink(): Writable {
  process.stdout.removeAllListeners('error');
  process.stdout.on('error', () => undefined);
  return process.stdout;
}

/** A stream that was wanted whole is not written over. */
async function refuseExisting(path: string): Promise<void> {
  const found = await stat(path).catch(() => null);
  if (found === null) return;
  throw new AshlarError('already-exists', `'${path}' exists already; give another --output`);
}

/** The stream is proved on its way, so that a daemon that died half way is not taken for done. */
async function exportTo(
  sink: Writable,
  { body, dataBytes }: ExportAnswer,
  title: string,
  options: ExportOptions,
  signal: AbortSignal,
): Promise<void> {
  const quiet = options.quiet === true;
  const progress = new Progress({ title: `export ${title}`, totalBytes: dataBytes, quiet });
  const told = { bytes: 0, dataBytes: 0, zeroBytes: 0 };
  const tapped = tap(body, told, (doneBytes) => progress.update(doneBytes));
  try {
    await pipeline(Readable.from(tapped, { objectMode: false }), sink, { signal });
  } catch (thrown) {
    throw brokenPipe(thrown, title, told.bytes);
  } finally {
    progress.end();
  }
  if (options.json === true) {
    const summary = { snapshot: title, since: options.since ?? null, ...told };
    process.stderr.write(`${JSON.stringify(summary)}\n`);
    return;
  }
  if (quiet) return;
  const zeroes = told.zeroBytes === 0 ? '' : ` and ${size(told.zeroBytes)} of zeroes`;
  process.stderr.write(
    `Exported '${title}': ${size(told.dataBytes)} of data${zeroes} in ${size(told.bytes)}, ` +
      `${formatDurationMs(progress.elapsedMs)}.\n`,
  );
}

/** What flows by, unchanged; it is read along and must be whole. */
async function* tap(
  body: AsyncIterable<Buffer>,
  told: { bytes: number; dataBytes: number; zeroBytes: number },
  progress: (dataBytes: number) => void,
): AsyncGenerator<Buffer, void, void> {
  const seen: Buffer[] = [];
  const source = body[Symbol.asyncIterator]();
  const copied = async function* (): AsyncGenerator<Buffer, void, void> {
    for (;;) {
      const next = await source.next();
      if (next.done === true) return;
      seen.push(next.value);
      yield next.value;
    }
  };
  const flush = function* (): Generator<Buffer, void, void> {
    for (const piece of seen.splice(0)) {
      told.bytes += piece.length;
      yield piece;
    }
  };
  try {
    const reader = await StreamReader.open(copied());
    yield* flush();
    for await (const _ of reader.records()) {
      told.dataBytes = Number(reader.totals.dataBytes);
      told.zeroBytes = Number(reader.totals.zeroBytes);
      progress(told.dataBytes);
      yield* flush();
    }
  } finally {
    // Whoever stops reading hangs up on the daemon, which ends the export there.
    await source.return?.();
  }
}

function brokenPipe(thrown: unknown, title: string, bytes: number): unknown {
  const gone = thrown instanceof Error && 'code' in thrown && thrown.code === 'EPIPE';
  if (!gone) return thrown;
  return new AshlarError(
    'connection-lost',
    `the export of '${title}' stopped after ${size(bytes)}: whoever read it has gone`,
    { cause: thrown },
  );
}

// ---- Import -------------------------------------------------------------------------------------

export async function importVolume(name: string, options: ImportOptions): Promise<void> {
  if (options.abandon === true) return abandonImport(name, options);
  if (process.stdin.isTTY) {
    throw new AshlarError(
      'usage',
      'stdin is a terminal, not a stream; redirect one (< file, | …) from "ashlar volume export"',
    );
  }
  const sizeBytes = options.size === undefined ? undefined : BigInt(apiSize(options.size));
  const quiet = options.quiet === true;
  const totalBytes = await stdinBytes();
  const progress = new Progress({ title: `import ${name}`, totalBytes, quiet });
  let bytes = 0;
  const counted = async function* (): AsyncGenerator<Buffer, void, void> {
    for await (const piece of process.stdin) {
      const buffer = Buffer.isBuffer(piece) ? piece : Buffer.from(String(piece));
      bytes += buffer.length;
      progress.update(bytes);
      yield buffer;
    }
  };
  try {
    const left =
      `the import to '${name}' was cut off; the same stream goes on with it, and ` +
      `'ashlar volume import ${name} --abandon' gives it up`;
    const result = await untilInterrupted(left, (signal) =>
      withDaemon(options, (client) => {
        const body = Readable.from(counted(), { objectMode: false });
        const request = { volume: name, sizeBytes, tenant: options.tenant };
        return callImport(client, request, body, { signal });
      }),
    );
    progress.end();
    if (options.json === true) return printJson(result);
    if (quiet) return;
    const resumed = result.resumedBytes === 0 ? '' : `, continued at ${size(result.resumedBytes)}`;
    printLines([
      `Imported '${result.snapshot}' (${result.kind}): ${size(result.dataBytes)} of data from ` +
        `${size(bytes)}${resumed}, ${formatDurationMs(progress.elapsedMs)}.`,
    ]);
  } finally {
    progress.end();
    // A sender that goes on would keep this process.
    process.stdin.destroy();
  }
}

/** What is to come, when stdin is a file; null: a pipe does not tell. */
async function stdinBytes(): Promise<number | null> {
  const stats = await promisify(fstat)(0);
  return stats.isFile() ? stats.size : null;
}

async function abandonImport(name: string, options: ImportOptions): Promise<void> {
  await withDaemon(options, (client) =>
    client.call('abandonImport', {
      params: { volume: name },
      query: { ...tenantQuery(options), ...(options.ifExists === true ? again : {}) },
    }),
  );
  if (options.json === true) return printJson({ abandoned: name });
  if (options.quiet !== true) printLines([`Gave up the import to volume '${name}'.`]);
}

const again = { repeatable: 'true' } as const;

const columns: readonly Column<Import>[] = [
  { title: 'volume', value: ({ volume }) => volume, flexible: true },
  { title: 'source', value: ({ source }) => source, flexible: true },
  { title: 'kind', value: ({ kind }) => kind },
  { title: 'done', value: ({ appliedBytes }) => size(appliedBytes), align: 'right' },
  { title: 'of', value: ({ sizeBytes }) => size(sizeBytes), align: 'right' },
  { title: 'state', value: ({ active }) => (active ? 'under way' : 'cut off') },
  { title: 'began', value: ({ startedAt }) => localTime(startedAt) },
];

/** All, or with a volume the one to it. */
export async function listImports(
  volume: string | undefined,
  options: LookOptions & ListOptions,
): Promise<void> {
  if (volume === undefined) {
    return lookAtList('listImports', options, {
      lines: (imports, width) => table(imports, columns, width),
      none: 'No imports are unfinished.',
    });
  }
  await look(options, {
    read: (client) => client.call('getImport', { params: { volume }, query: tenantQuery(options) }),
    lines: (found, width) => table([found], columns, width),
  });
}

function size(bytes: number): string {
  return formatSizeShort(BigInt(bytes));
}
