/**
 * A prom-client registry whose values are read at each scrape. prom-client checks names and labels,
 * and writes the text; that it keeps no values of its own saves a copy of every series.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Family, Sample } from './family.js';
import { ioFamilies } from './io_families.js';
import { allNodeFamilies } from './node_families.js';
import type { Reading } from './reading.js';

/** Where the metrics of a registry find what is to be written next. */
interface Source {
  samples: Sample[];
}

/** Samples written before the event loop has a turn: about 3 ms. */
const writtenAtOnce = 2000;

const classes = { counter: Counter, gauge: Gauge, histogram: Histogram };

/**
 * The registry asks a metric for its text by `getForPromString`. Histograms have it by themselves,
 * and no other way to be given counts of buckets.
 */
function readMetric({ name, type, help, labels }: Family, source: Source) {
  const metric = new classes[type]({ name, help, labelNames: labels, registers: [] });
  const getForPromString = async () => ({ name, help, type, values: source.samples });
  return Object.assign(metric, { getForPromString });
}

/** What a scrape is answered with. */
export interface Exposition {
  contentType: string;
  body: Buffer;
}

export class ReadRegistry {
  readonly #registry = new Registry();
  readonly #source: Source = { samples: [] };
  readonly #families: readonly Family[];

  /** @param of whose: a tenant's has what hosts do with volumes alone. */
  constructor(of: 'node' | 'tenant') {
    this.#families = of === 'node' ? [...allNodeFamilies, ...ioFamilies] : ioFamilies;
    for (const family of this.#families) {
      this.#registry.registerMetric(readMetric(family, this.#source));
    }
  }

  /** Writes it out, a piece a turn of the event loop. One at a time. */
  async write(reading: Reading): Promise<Exposition> {
    const pieces: Buffer[] = [];
    for (const family of this.#families) {
      let first = true;
      for (const samples of slices(family.samples(reading))) {
        this.#source.samples = samples;
        const text = await this.#registry.getSingleMetricAsString(family.name);
        // HELP and TYPE are said once.
        const lines = first ? text : text.split('\n').slice(2).join('\n');
        pieces.push(Buffer.from(`${lines}\n`));
        first = false;
        await turn();
      }
    }
    this.#source.samples = [];
    return { contentType: this.#registry.contentType, body: Buffer.concat(pieces) };
  }
}

/** At least one, which may be empty. */
function* slices(samples: Iterable<Sample>): Iterable<Sample[]> {
  let slice: Sample[] = [];
  for (const sample of samples) {
    if (slice.length === writtenAtOnce) {
      yield slice;
      slice = [];
    }
    slice.push(sample);
  }
  yield slice;
}
