/** The text of a scrape, read as Prometheus reads it. */
import assert from 'node:assert/strict';

export interface Series {
  name: string;
  labels: Record<string, string>;
  value: number;
}

export interface Family {
  type: string;
  help: string;
}

export class Exposition {
  readonly families = new Map<string, Family>();
  readonly series: Series[] = [];

  constructor(text: string) {
    const seen = new Set<string>();
    for (const line of text.split('\n')) {
      if (line === '') continue;
      const comment = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line);
      if (comment !== null) {
        const [, what, name = '', rest = ''] = comment;
        const family = this.families.get(name) ?? { type: '', help: '' };
        this.families.set(
          name,
          what === 'TYPE' ? { ...family, type: rest } : { ...family, help: rest },
        );
        continue;
      }
      const sample = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line);
      assert.ok(sample !== null, `no line of an exposition: ${line}`);
      const [, name = '', labelText = '', value = ''] = sample;
      const labels: Record<string, string> = {};
      for (const [, label = '', text = ''] of labelText.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
        labels[label] = text;
      }
      const key = `${name}{${labelText}}`;
      assert.ok(!seen.has(key), `twice: ${key}`);
      seen.add(key);
      this.series.push({ name, labels, value: value === '+Inf' ? Infinity : Number(value) });
    }
  }

  /** Those of a name that have these labels. */
  find(name: string, labels: Record<string, string> = {}): Series[] {
    return this.series.filter(
      (each) =>
        each.name === name &&
        Object.entries(labels).every(([label, value]) => each.labels[label] === value),
    );
  }

  /** The value of the one series that there must be. */
  value(name: string, labels: Record<string, string> = {}): number {
    const found = this.find(name, labels);
    assert.equal(found.length, 1, `${name}${JSON.stringify(labels)}: ${found.length} series`);
    return found[0]?.value ?? 0;
  }
}
