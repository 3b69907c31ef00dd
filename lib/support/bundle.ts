/**
 * `ashlar support-bundle`: what somebody who helps needs to see, in one archive. It has no secrets
 * and no data of volumes; what cannot be had is named in it, with the reason.
 */
import { open } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { ApiClient } from '../api/client.js';
import { AshlarError, toAshlarError } from '../errors.js';
import { Collection, type Missing } from './collection.js';
import { takeDaemon } from './daemon_parts.js';
import { type MachineOptions, takeMachine } from './machine_parts.js';
import { Names } from './names.js';
import { mapTexts, withoutSecrets } from './secrets.js';
import { type TarFile, tarOf } from './tar.js';

export interface BundleOptions {
  /** Of this program. */
  version: string;
  /** The daemon, which may not answer. */
  client: ApiClient;
  /** The machine of the daemon; null: this is another one. */
  machine: Omit<MachineOptions, 'pid'> | null;
  /** What the doctor finds; it may throw. */
  findings: () => Promise<unknown>;
  /** Names of people's choosing become numbers. */
  anonymous: boolean;
  now: Date;
}

export interface Bundle {
  files: readonly (TarFile & { what: string })[];
  missing: readonly Missing[];
  /** The names that were hidden, and what stands for each; null: none were to be. */
  names: Record<string, string> | null;
}

export async function collectBundle(options: BundleOptions): Promise<Bundle> {
  const { client, machine, anonymous } = options;
  const into = new Collection();
  const names = anonymous ? new Names() : null;
  await takeDaemon(client, into, names);
  if (machine === null) {
    into.lacks('config.json, doctor.json, logs/, system/', elsewhere);
  } else {
    await into.take('doctor.json', "what 'ashlar doctor' finds", options.findings);
    await takeMachine({ ...machine, pid: pidOf(into) }, into, names);
  }
  // Names are known in full only now: those of one part stand in others.
  if (names !== null) {
    for (const { name, content } of into.parts) {
      if (!/^(?:logs\/|daemon\/(?:events|jobs))/.test(name)) continue;
      names.learn(typeof content === 'string' ? content : JSON.stringify(content));
    }
  }
  const hide = (text: string): string => {
    const clean = withoutSecrets(text);
    return names === null ? clean : names.hide(clean);
  };
  const files = into.parts.map(({ name, what, content }) => ({
    name,
    what,
    text: textOf(content, hide),
  }));
  const missing = into.missing.map(({ what, why }) => ({ what, why: hide(why) }));
  const readme = { name: 'README.txt', what: 'what is in it', text: '' };
  readme.text = readmeOf(options, files, missing);
  return { files: [readme, ...files], missing, names: names?.table ?? null };
}

const elsewhere = 'the daemon is elsewhere; make a bundle on its machine for these';

function pidOf({ parts }: Collection): number | null {
  const status = parts.find(({ name }) => name === 'daemon/status.json')?.content;
  const has = typeof status === 'object' && status !== null && 'pid' in status;
  return has && typeof status.pid === 'number' ? status.pid : null;
}

/** Lines of JSON in a log are JSON too, whose fields have names that tell what is secret. */
function textOf(content: unknown, hide: (text: string) => string): string {
  if (typeof content !== 'string') return `${JSON.stringify(mapTexts(content, hide), null, 1)}\n`;
  if (!content.includes('{')) return hide(content);
  return hide(content.split('\n').map(jsonLine).join('\n'));
}

function jsonLine(line: string): string {
  const at = line.indexOf('{');
  if (at < 0 || !line.endsWith('}')) return line;
  try {
    const parsed: unknown = JSON.parse(line.slice(at));
    return line.slice(0, at) + JSON.stringify(mapTexts(parsed, (text) => text));
  } catch {
    return line;
  }
}

function readmeOf(
  { version, anonymous, now }: BundleOptions,
  files: readonly { name: string; what: string }[],
  missing: readonly Missing[],
): string {
  const width = Math.max(...files.map(({ name }) => name.length), 1);
  return [
    `Ashlar ${version}: support bundle of ${now.toISOString()}.`,
    'It has no secrets (tokens, keys, PSKs, hashes of them) and no data of volumes.',
    anonymous
      ? 'Names and addresses are numbered; who made it has the table of what is what.'
      : 'Names of volumes, hosts and tenants, and addresses, are in it as they are.',
    '',
    ...files.map(({ name, what }) => `${name.padEnd(width)}  ${what}`),
    '',
    missing.length === 0 ? 'Nothing is missing.' : 'Missing:',
    ...missing.map(({ what, why }) => `${what}: ${why}`),
    '',
  ].join('\n');
}

/**
 * Writes it to a new file, for its owner alone. Resolves to its size, bytes.
 *
 * @throws AshlarError already-exists, permission-denied, no-space, not-found (the folder).
 */
export async function writeBundle(path: string, bundle: Bundle, time: Date): Promise<number> {
  const folder = 'ashlar-support/';
  const files = bundle.files.map(({ name, text }) => ({ name: `${folder}${name}`, text }));
  const bytes = await promisify(gzip)(tarOf(files, time));
  await writeNew(path, bytes);
  return bytes.length;
}

/** A file that is not there yet, for its owner alone. */
export async function writeNew(path: string, bytes: Uint8Array | string): Promise<void> {
  try {
    await using file = await open(path, 'wx', 0o600);
    await file.writeFile(bytes);
    await file.sync();
  } catch (thrown) {
    const { code, message } = toAshlarError(thrown);
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'EEXIST') {
      throw new AshlarError('already-exists', `'${path}' exists already; give another --output`);
    }
    throw new AshlarError(code, `'${path}' cannot be written: ${message}`, { cause: thrown });
  }
}
