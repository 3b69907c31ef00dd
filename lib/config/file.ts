/** The text of a configuration file, parsed and checked against its schema. */
import { parse, TomlError } from 'smol-toml';
import type { Static, TSchema } from 'typebox';
import { Check } from 'typebox/schema';
import { AshlarError } from '../errors.js';
import { type Finding, findings } from './explain.js';
import { lineOfKey } from './locate.js';
import { type ConfigFile, configFileSchema } from './schema.js';

/** The daemon's own file. @throws AshlarError as {@link parseToml}. */
export function parseConfigFile(toml: string, name: string): ConfigFile {
  return parseToml(configFileSchema, toml, name);
}

/**
 * Checks the text of a file against a schema.
 *
 * @param name how messages call the file.
 * @throws AshlarError 'config-invalid', e.g. `ashlar.toml:3: 'pool.siz' is not known; did you mean
 * 'size'?`
 */
export function parseToml<S extends TSchema>(schema: S, toml: string, name: string): Static<S> {
  let value: unknown;
  try {
    value = parse(toml, { maxDepth: 16 });
  } catch (thrown) {
    if (!(thrown instanceof TomlError)) throw thrown;
    const what = (thrown.message.split('\n')[0] ?? '').replace(/^Invalid TOML document: /, '');
    throw new AshlarError(
      'config-invalid',
      `${name}:${thrown.line}:${thrown.column}: not valid TOML: ${what}`,
      { cause: thrown },
    );
  }
  if (Check(schema, value)) return value;
  const [first, ...others] = findings(schema, value).map((finding) => place(finding, toml));
  const more = others.length === 0 ? '' : `; also wrong: ${others.map(brief).join(', ')}`;
  const what = first === undefined ? '1: not a configuration' : `${first.line}: ${first.text}`;
  throw new AshlarError('config-invalid', `${name}:${what}${more}`);
}

interface PlacedFinding {
  line: number;
  key: string;
  text: string;
}

function place(finding: Finding, toml: string): PlacedFinding {
  const key = finding.path.join('.');
  return { line: lineOfKey(toml, finding.path) ?? 1, key, text: `'${key}' ${finding.message}` };
}

function brief(finding: PlacedFinding): string {
  return `'${finding.key}' (line ${finding.line})`;
}
