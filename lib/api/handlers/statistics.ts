/** What the operations on statistics do; see handlers.ts. */

import { AshlarError } from '../../errors.js';
import type { MeterCounters } from '../../native.js';
import type { Node } from '../../node/types.js';
import { toInteger } from '../codec.js';
import type { VolumeStatistics } from '../contract.js';
import type { Handlers } from '../server.js';
import { callOptions, page, pageOptions } from './inputs.js';

type StatisticsOperation = Extract<keyof Handlers, `${string}Statistics`>;

export function statisticsOperations(node: Node): Pick<Handlers, StatisticsOperation> {
  const { statistics } = node;
  const countsOf = countersObject(statistics.latencyBoundsNs);
  return {
    listVolumeStatistics: async ({ query }, signal) => {
      const options = { ...pageOptions(query, signal), name: query.name };
      const { atMs, items, next } = statistics.page(options);
      return {
        items: items.map(({ counters, ...rest }) => ({ ...rest, ...countsOf(atMs, counters) })),
        next,
      };
    },
    getVolumeStatistics: async ({ params, query }, signal) => {
      const { atMs, items } = statistics.volume(params.volume, callOptions(query, signal));
      const [item] = items;
      if (item === undefined) {
        const message = `volume '${params.volume}' is being imported: no host has used it yet`;
        throw new AshlarError('conflict', message);
      }
      const { counters, ...rest } = item;
      return { ...rest, ...countsOf(atMs, counters) };
    },
    listTenantStatistics: async ({ query }, signal) => {
      const { atMs, items } = statistics.tenants(callOptions(query, signal));
      const objects = items.map(({ counters, ...rest }) => ({
        ...rest,
        ...countsOf(atMs, counters),
      }));
      return page(objects, query, ({ tenant }) => tenant);
    },
  };
}

type Counts = Omit<VolumeStatistics, 'volume' | 'uuid' | 'tenant'>;

function countersObject(bounds: readonly bigint[]) {
  const latency = (counts: BigUint64Array) => {
    const buckets: { belowNs: number | null; count: number }[] = [];
    for (const [index, count] of counts.entries()) {
      if (count === 0n) continue;
      const bound = bounds[index];
      buckets.push({
        belowNs: bound === undefined ? null : toInteger(bound),
        count: toInteger(count),
      });
    }
    return buckets;
  };
  return (atMs: number, counters: MeterCounters): Counts => ({
    atMs,
    reads: toInteger(counters.reads),
    writes: toInteger(counters.writes),
    others: toInteger(counters.others),
    flushes: toInteger(counters.flushes),
    readBytes: toInteger(counters.readBytes),
    writtenBytes: toInteger(counters.writtenBytes),
    errors: toInteger(counters.errors),
    underWay: counters.underWay,
    limitedCommands: toInteger(counters.limitedCommands),
    limitedMs: Number(counters.limitedNs) / 1e6,
    readLatency: latency(counters.readLatency),
    writeLatency: latency(counters.writeLatency),
  });
}
