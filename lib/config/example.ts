/** The commented example of a configuration file, made from its schema. */
import type { TSchema } from 'typebox';
import { configFileSchema } from './schema.js';
import { wrap } from './wrap.js';

/** TOML with every key, its default and its meaning; keys without a default are commented out. */
export function exampleConfig(): string {
  const lines: string[] = [];
  const sections: string[] = [];
  for (const [name, schema] of Object.entries<TSchema>(configFileSchema.properties)) {
    const properties = propertiesOf(schema);
    if (properties === null) {
      lines.push(...keyLines(name, schema));
    } else {
      const keys = properties.flatMap(([key, of]) => keyLines(key, of, `${name}.`));
      sections.push('', `[${name}]`, ...keys);
    }
  }
  return `${[...lines, ...sections].join('\n')}\n`;
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

function keyLines(key: string, schema: TSchema, section = ''): string[] {
  const description = 'description' in schema ? String(schema.description) : '';
  const value = 'default' in schema ? toml(schema.default) : null;
  const sample = samples[`${section}${key}`] ?? samples[key] ?? '""';
  const assignment = value === null ? `# ${key} = ${sample}` : `${key} = ${value}`;
  return [...wrap(description, 84).map((line) => `# ${line}`), assignment];
}

function toml(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(toml).join(', ')}]`;
  return JSON.stringify(value);
}
