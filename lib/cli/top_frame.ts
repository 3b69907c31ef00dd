/** What `ashlar top` shows: rates of two readings, sorted, filtered and laid out. Pure. */
import type { Status, VolumeStatistics } from '../api/contract.js';
import { type LatencyBucket, mergeBuckets, percentileBucket } from '../api/latency.js';
import { formatDurationMs, formatSizeShort } from '../config/units.js';
import { type Column, table } from './table.js';
import { plural } from './terminal.js';

/** All that was read at about one moment. */
export interface TopReading {
  volumes: readonly VolumeStatistics[];
  /** Null: the caller may not see the node, as a tenant's token. */
  status: Status | null;
  /** When the status was read, milliseconds of an even clock. */
  statusAtMs: number;
}

export const sortKeys = ['iops', 'bytes', 'latency', 'depth', 'name'] as const;
export type SortKey = (typeof sortKeys)[number];

/** One volume between two readings; rates are a second. */
export interface VolumeRates {
  volume: string;
  tenant: string;
  reads: number;
  writes: number;
  /** Flushes and commands that deallocate or copy. */
  others: number;
  readBytes: number;
  writtenBytes: number;
  errors: number;
  /** Milliseconds; null: there were none. */
  read: Percentiles | null;
  write: Percentiles | null;
  /** Commands under way. */
  depth: number;
  /** Share of its commands that waited for a limit, 0 to 1. */
  limited: number;
}

export interface Percentiles {
  p50: number;
  p99: number;
}

/** Bounds of the buckets are a quarter apart, so that a percentile is within that of the truth. */
export function percentiles(
  before: readonly LatencyBucket[],
  after: readonly LatencyBucket[],
): Percentiles | null {
  const buckets = mergeBuckets(after, before, -1).filter(({ count }) => count > 0);
  if (buckets.length === 0) return null;
  // The bucket of everything longer has no bound: it begins at the last one.
  const at = (share: number): number =>
    (percentileBucket(buckets, share)?.belowNs ?? 2 ** 34) / 1e6;
  return { p50: at(0.5), p99: at(0.99) };
}

export function ratesOf(before: VolumeStatistics, after: VolumeStatistics): VolumeRates {
  const seconds = Math.max(1e-3, (after.atMs - before.atMs) / 1000);
  const rate = (name: 'reads' | 'writes' | 'readBytes' | 'writtenBytes' | 'errors'): number =>
    Math.max(0, after[name] - before[name]) / seconds;
  const others = after.others + after.flushes - before.others - before.flushes;
  const waited = Math.max(0, after.limitedCommands - before.limitedCommands);
  const all = after.reads + after.writes - before.reads - before.writes;
  return {
    volume: after.volume,
    tenant: after.tenant,
    reads: rate('reads'),
    writes: rate('writes'),
    others: Math.max(0, others) / seconds,
    readBytes: rate('readBytes'),
    writtenBytes: rate('writtenBytes'),
    errors: rate('errors'),
    read: percentiles(before.readLatency, after.readLatency),
    write: percentiles(before.writeLatency, after.writeLatency),
    depth: after.underWay,
    limited: all <= 0 ? 0 : Math.min(1, waited / all),
  };
}

/** Of all volumes that are in both readings. */
export function allRates(before: TopReading, after: TopReading): VolumeRates[] {
  const earlier = new Map(before.volumes.map((each) => [each.uuid, each]));
  return after.volumes.flatMap((each) => {
    const was = earlier.get(each.uuid);
    return was === undefined ? [] : [ratesOf(was, each)];
  });
}

const worst = ({ read, write }: VolumeRates): number => Math.max(read?.p99 ?? 0, write?.p99 ?? 0);
const orders: Record<SortKey, (rates: VolumeRates) => number> = {
  iops: ({ reads, writes, others }) => reads + writes + others,
  bytes: ({ readBytes, writtenBytes }) => readBytes + writtenBytes,
  latency: worst,
  depth: ({ depth }) => depth,
  name: () => 0,
};

/** The busiest first, equals by name. */
export function sorted(rates: readonly VolumeRates[], key: SortKey): VolumeRates[] {
  const order = orders[key];
  const name = ({ tenant, volume }: VolumeRates): string => `${tenant}/${volume}`;
  return [...rates].sort((a, b) => order(b) - order(a) || (name(a) < name(b) ? -1 : 1));
}

export const numberText = (value: number): string => {
  if (value === 0) return '-';
  if (value < 9.95) return value.toFixed(1);
  if (value < 9999.5) return String(Math.round(value));
  if (value < 999_950) return `${(value / 1000).toFixed(value < 99_950 ? 1 : 0)}k`;
  return `${(value / 1e6).toFixed(2)}M`;
};
const bytesText = (value: number): string =>
  value < 1 ? '-' : `${formatSizeShort(BigInt(Math.round(value)))}/s`;
export const timeText = (ms: number | undefined): string => {
  if (ms === undefined) return '-';
  if (ms < 0.995) return `${Math.round(ms * 1000)} µs`;
  if (ms < 999.5) return `${ms.toFixed(ms < 9.995 ? 2 : ms < 99.95 ? 1 : 0)} ms`;
  return `${(ms / 1000).toFixed(1)} s`;
};

const columns: readonly Column<VolumeRates>[] = [
  { title: 'volume', value: ({ volume }) => volume, flexible: true },
  { title: 'tenant', value: ({ tenant }) => tenant, flexible: true },
  { title: 'reads/s', value: ({ reads }) => numberText(reads), align: 'right' },
  { title: 'read', value: ({ readBytes }) => bytesText(readBytes), align: 'right' },
  { title: 'p50', value: ({ read }) => timeText(read?.p50), align: 'right' },
  { title: 'p99', value: ({ read }) => timeText(read?.p99), align: 'right' },
  { title: 'writes/s', value: ({ writes }) => numberText(writes), align: 'right' },
  { title: 'written', value: ({ writtenBytes }) => bytesText(writtenBytes), align: 'right' },
  { title: 'p50', value: ({ write }) => timeText(write?.p50), align: 'right' },
  { title: 'p99', value: ({ write }) => timeText(write?.p99), align: 'right' },
  { title: 'other/s', value: ({ others }) => numberText(others), align: 'right' },
  { title: 'depth', value: ({ depth }) => (depth === 0 ? '-' : String(depth)), align: 'right' },
  {
    title: 'limited',
    value: ({ limited }) => (limited === 0 ? '-' : `${Math.ceil(limited * 100)} %`),
    align: 'right',
  },
  { title: 'errors/s', value: ({ errors }) => numberText(errors), align: 'right' },
];

function bar(share: number, cells: number): string {
  const full = Math.max(0, Math.min(cells, Math.round(share * cells)));
  return `[${'|'.repeat(full)}${' '.repeat(cells - full)}]`;
}

/** What is known of the node: pool, reactors, totals. */
function nodeLines(before: TopReading, after: TopReading, rates: readonly VolumeRates[]): string[] {
  const lines: string[] = [];
  const { status } = after;
  if (status !== null) {
    const uptime = formatDurationMs(Math.max(0, Date.now() - Date.parse(status.startedAt)));
    const state = status.problem === null ? status.state : `${status.state}: ${status.problem}`;
    lines.push(
      `Ashlar ${status.version}, ${state}, up ${uptime}; ${plural(status.volumes, 'volume')}, ` +
        `${plural(status.controllers, 'controller')}`,
    );
    for (const pool of status.pools) {
      const share = pool.sizeBytes === 0 ? 0 : 1 - pool.freeBytes / pool.sizeBytes;
      const used = formatSizeShort(BigInt(pool.sizeBytes - pool.freeBytes));
      lines.push(
        `Pool      ${bar(share, 20)} ${percentText(share)}  ${used} of ` +
          `${formatSizeShort(BigInt(pool.sizeBytes))} used`,
      );
    }
    const ms = after.statusAtMs - before.statusAtMs;
    for (const [index, reactor] of status.reactors.entries()) {
      const was = before.status?.reactors[index];
      if (was === undefined) continue;
      const busy = Math.min(1, (reactor.busyNs - was.busyNs) / 1e6 / Math.max(ms, 1));
      lines.push(
        `Reactor ${String(index).padEnd(2)}${bar(busy, 20)} ${percentText(busy)}  ` +
          `${plural(reactor.connections, 'connection')}`,
      );
    }
  }
  const sum = (of: (each: VolumeRates) => number): number =>
    rates.reduce((total, each) => total + of(each), 0);
  lines.push(
    `Hosts     ${numberText(sum(({ reads }) => reads))} reads/s, ` +
      `${bytesText(sum(({ readBytes }) => readBytes))}; ` +
      `${numberText(sum(({ writes }) => writes))} writes/s, ` +
      `${bytesText(sum(({ writtenBytes }) => writtenBytes))}; ` +
      `${sum(({ depth }) => depth)} under way`,
  );
  return lines;
}

const percentText = (share: number): string => `${String(Math.round(share * 100)).padStart(3)} %`;

export interface TopView {
  sort: SortKey;
  /** Only volumes with this in their name; empty: all. */
  filter: string;
  /** The filter is being typed. */
  typing: boolean;
  paused: boolean;
}

/** Lines of at most `width` columns, and at most `height` of them. */
export function topFrame(
  before: TopReading,
  after: TopReading,
  view: TopView,
  width: number | null,
  height: number | null,
): string[] {
  const rates = allRates(before, after);
  const wanted = view.filter.toLowerCase();
  const shown = sorted(
    rates.filter(({ volume }) => volume.toLowerCase().includes(wanted)),
    view.sort,
  );
  const head = nodeLines(before, after, rates);
  const filter = view.typing || view.filter !== '' ? `, filter: ${view.filter}` : '';
  const cursor = view.typing ? '_' : '';
  head.push(`By ${view.sort}${filter}${cursor}${view.paused ? ', paused' : ''}`);
  const room = height === null ? shown.length : Math.max(1, height - head.length - 3);
  const tenants = new Set(shown.map(({ tenant }) => tenant));
  const seen = tenants.size > 1 ? columns : columns.filter(({ title }) => title !== 'tenant');
  const rows = table(shown.slice(0, room), seen, width);
  const hidden = shown.length - room;
  const foot = hidden > 0 ? [`… and ${plural(hidden, 'volume')} more`] : [];
  const none = shown.length === 0 ? ['No volume has been used, or none has that name.'] : [];
  const lines = [...head, '', ...(shown.length === 0 ? none : rows), ...foot];
  return lines.map((line) => (width === null ? line : [...line].slice(0, width).join('')));
}
