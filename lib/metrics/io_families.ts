/** What hosts do with volumes, by volume and by tenant. */
import { type Counts, cell } from './counts.js';
import type { Family, Sample } from './family.js';
import { bucketBounds } from './latency.js';
import type { Counted, Reading } from './reading.js';

type Labels = Record<string, string>;
type Rows = (reading: Reading) => readonly Counted<Labels>[];

const counters = [
  ['read_commands', cell.reads, 'Read, Compare and Verify commands answered'],
  ['write_commands', cell.writes, 'Write commands answered'],
  ['flush_commands', cell.flushes, 'Flush commands answered'],
  [
    'other_commands',
    cell.others,
    'Write Zeroes, Dataset Management, Copy and other such commands answered',
  ],
  ['read_bytes', cell.readBytes, 'Bytes read'],
  ['write_bytes', cell.writtenBytes, 'Bytes written'],
  [
    'command_errors',
    cell.errors,
    'Commands answered with an error, other than one that sends the host to another path',
  ],
  ['limited_commands', cell.limitedCommands, 'Commands that waited for a limit'],
  ['limited_seconds', cell.limitedSeconds, 'How long commands waited for limits, in sum'],
] as const;

const latencies = [
  ['read_latency_seconds', cell.readLatency, 'reads'],
  ['write_latency_seconds', cell.writeLatency, 'writes'],
] as const;

function families(subject: 'volume' | 'tenant', labels: readonly string[], rows: Rows): Family[] {
  const prefix = `ashlar_${subject}`;
  const whose = subject === 'volume' ? 'of the volume' : 'of all volumes of the tenant';
  return [
    ...counters.map(([name, at, help]): Family => {
      return {
        name: `${prefix}_${name}_total`,
        type: 'counter',
        help: `${help}, ${whose}`,
        labels,
        samples: (reading) => plain(rows(reading), ({ grown }) => grown[at] ?? 0),
      };
    }),
    {
      name: `${prefix}_commands_under_way`,
      type: 'gauge',
      help: `Commands taken from hosts and not yet answered, ${whose}`,
      labels,
      samples: (reading) => plain(rows(reading), ({ underWay }) => underWay),
    },
    ...latencies.map(([name, at, what]): Family => {
      const family = `${prefix}_${name}`;
      return {
        name: family,
        type: 'histogram',
        help: `From the arrival of a command to its answer, of ${what} ${whose}; the sum is within an eighth`,
        labels,
        samples: (reading) => histogram(family, rows(reading), at),
      };
    }),
  ];
}

function* plain(
  rows: readonly Counted<Labels>[],
  value: (counts: Counts) => number,
): Iterable<Sample> {
  for (const { labels, counts } of rows) {
    yield { labels: {}, sharedLabels: labels, value: value(counts) };
  }
}

/** The same for all, so that a scrape makes no thousand copies. */
const bounds = [...bucketBounds, '+Inf'].map((le) => ({ le }));

function* histogram(
  family: string,
  rows: readonly Counted<Labels>[],
  at: number,
): Iterable<Sample> {
  for (const { labels: sharedLabels, counts } of rows) {
    let count = 0;
    for (const [index, labels] of bounds.entries()) {
      count += counts.grown[at + index] ?? 0;
      yield { metricName: `${family}_bucket`, labels, sharedLabels, value: count };
    }
    const sum = counts.grown[at + bounds.length] ?? 0;
    yield { metricName: `${family}_sum`, labels: {}, sharedLabels, value: sum };
    yield { metricName: `${family}_count`, labels: {}, sharedLabels, value: count };
  }
}

/** These a tenant sees too: its own. */
export const ioFamilies: readonly Family[] = [
  ...families('volume', ['tenant', 'volume'], ({ volumes }) => volumes),
  ...families('tenant', ['tenant'], ({ tenants }) => tenants),
];
