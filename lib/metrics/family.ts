/** A metric as a scrape has it: its name, what it means, and its samples out of a reading. */
import type { Reading } from './reading.js';

export interface Sample {
  /** Its own name; the family's when not given. */
  metricName?: string;
  labels: Record<string, string | number>;
  /** Put behind them; written out once for all samples that share the object. */
  sharedLabels?: Record<string, string>;
  value: number;
}

export interface Family {
  name: string;
  type: 'counter' | 'gauge' | 'histogram';
  help: string;
  labels: readonly string[];
  samples(reading: Reading): Iterable<Sample>;
}

/** A family without labels, of a number that is there in every reading of the node. */
export function one(
  type: 'counter' | 'gauge',
  name: string,
  help: string,
  value: (node: NonNullable<Reading['node']>) => number | bigint | null,
): Family {
  return {
    name,
    type,
    help,
    labels: [],
    samples({ node }) {
      const found = node === null ? null : value(node);
      return found === null ? [] : [{ labels: {}, value: Number(found) }];
    },
  };
}

/** A family of a reading of the node with one sample for each of several things. */
export function each(
  type: 'counter' | 'gauge',
  name: string,
  help: string,
  labels: readonly string[],
  samples: (node: NonNullable<Reading['node']>) => Iterable<Sample>,
): Family {
  return {
    name,
    type,
    help,
    labels,
    samples: ({ node }) => (node === null ? [] : samples(node)),
  };
}
