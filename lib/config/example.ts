/** The commented example of a configuration file, made from its schema. */
import type { TSchema } from 'typebox';
import { configFileSchema } from './schema.js';
import { wrap } from './wrap.js';

/** Of the daemon's own file. */
export function exampleConfig(): string {
  return exampleOf(configFileSchema, samples);
}

/**
 * TOML with every key, its default and its meaning; keys without a default are commented out, with
 * their value in `samples`, found by `section.key` or by `key`.
 */
export function exampleOf(schema: TSchema, samples: Readonly<Record<string, string>>): string {
  const lines: string[] = [];
  const sections: string[] = [];
  for (const [name, of] of propertiesOf(schema) ?? []) {
    const repeated = 'items' in of ? propertiesOf(of.items as TSchema) : null;
    const properties = repeated ?? propertiesOf(of);
    if (properties === null) {
      lines.push(...keyLines(name, of, samples));
    } else {
      const keys = properties.flatMap(([key, each]) => keyLines(key, each, samples, `${name}.`));
      sections.push('', repeated === null ? `[${name}]` : `[[${name}]]`, ...keys);
    }
  }
  return `${[...lines, ...sections].join('\n').trimStart()}\n`;
}

function propertiesOf(schema: TSchema): [string, TSchema][] | null {
  const properties = 'properties' in schema ? schema.properties : null;
  return typeof properties === 'object' && properties !== null
    ? Object.entries<TSchema>({ ...properties })
    : null;
}

/** Values that stand in for a missing default, commented out. */
const samples: Readonly<Record<string, string>> = {
  memory: '"4GiB"',
  keyFile: '"/etc/ashlar/pool.key"',
  console: '"127.0.0.1:8420"',
  'api.listen': '"0.0.0.0:8420"',
  'metrics.listen': '"127.0.0.1:9420"',
  endpoint: '"http://127.0.0.1:4318"',
  headersFile: '"/etc/ashlar/tracing-headers"',
  certificate: '"/etc/ashlar/api.crt"',
  key: '"/etc/ashlar/api.key"',
  clientCa: '"/etc/ashlar/clients.crt"',
  'audit.file': '"/var/log/ashlar/audit.log"',
  'events.file': '"/var/log/ashlar/events.log"',
  volume: '"demo"',
  buffers: '"64MiB"',
  reactors: '2',
  cpus: '[0, 1]',
  discovery: '["127.0.0.1:8009"]',
};

function keyLines(
  key: string,
  schema: TSchema,
  samples: Readonly<Record<string, string>>,
  section = '',
): string[] {
  const description = 'description' in schema ? String(schema.description) : '';
  const value = 'default' in schema ? toml(schema.default) : null;
  const sample = samples[`${section}${key}`] ?? samples[key] ?? '""';
  const assignment = value === null ? `# ${key} = ${sample}` : `${key} = ${value}`;
  return [...wrap(description, 84).map((line) => `# ${line}`), assignment];
}

function toml(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(toml).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).map(([key, of]) => `${JSON.stringify(key)} = ${toml(of)}`);
  return `{ ${entries.join(', ')} }`;
}
