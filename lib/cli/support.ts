/** `ashlar support-bundle`: what somebody who helps needs to see, in one archive. */
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { formatSizeShort } from '../config/units.js';
import { examineTarget, judgeTarget } from '../doctor/doctor.js';
import { version } from '../node/version.js';
import { collectBundle, writeBundle, writeNew } from '../support/bundle.js';
import { type DaemonOptions, remoteDaemon, withDaemon } from './daemon.js';
import { examined } from './doctor.js';
import { plural, printJson, printLines } from './terminal.js';

export interface SupportOptions extends DaemonOptions {
  output?: string;
  config?: string;
  log?: string;
  anonymous?: boolean;
}

/** A daemon that does not answer is one of the reasons for a bundle: it is not waited for long. */
const patienceMs = 15_000;

export async function supportBundle(options: SupportOptions): Promise<void> {
  const anonymous = options.anonymous === true;
  const now = new Date();
  const remote = (await remoteDaemon(options)) !== null;
  const here = remote ? null : await examined(options);
  const bundle = await withDaemon(
    // The configuration says where the socket is, when nobody else does.
    here === null ? options : { ...options, socket: here.socket },
    (client) =>
      collectBundle({
        version,
        client,
        machine:
          here === null
            ? null
            : { config: here.config, log: options.log === undefined ? null : resolve(options.log) },
        findings: async () => (here === null ? [] : judgeTarget(await examineTarget(here))),
        anonymous,
        now,
      }),
    { timeoutMs: patienceMs },
  );
  const file = resolve(options.output ?? nameOf(anonymous ? '' : `-${hostname()}`, now));
  const bytes = await writeBundle(file, bundle, now);
  const names = bundle.names === null ? null : `${file}.names.json`;
  if (names !== null) await writeNew(names, `${JSON.stringify(bundle.names, null, 1)}\n`);
  const { files, missing } = bundle;
  if (options.json === true) {
    const contents = files.map(({ name, what, text }) => ({
      name,
      what,
      bytes: Buffer.byteLength(text),
    }));
    return printJson({ file, bytes, names, contents, missing });
  }
  printLines([
    `Wrote ${file}: ${formatSizeShort(BigInt(bytes))}, ${plural(files.length, 'file')}, for you alone.`,
    ...folders(files.map(({ name }) => name)),
    ...(missing.length === 0 ? [] : ['Missing:']),
    ...missing.map(({ what, why }) => `  ${what}: ${why}`),
    'It has no secrets and no data of volumes. Look through it before you send it:',
    `  tar -xzf ${file}`,
    ...(names === null ? [] : [`Keep ${names}: it says which name is which number.`]),
  ]);
}

function nameOf(host: string, now: Date): string {
  const time = now.toISOString().replaceAll(/[-:]|\.\d+/g, '');
  return `ashlar-support${host}-${time}.tar.gz`;
}

/** Names of files by their folder, a line each. */
function folders(names: readonly string[]): string[] {
  const byFolder = new Map<string, string[]>();
  for (const name of names) {
    const [folder, rest] = name.includes('/') ? name.split('/') : ['', name];
    const held = byFolder.get(folder ?? '') ?? [];
    held.push((rest ?? '').replace(/\.(?:json|txt)$/, ''));
    byFolder.set(folder ?? '', held);
  }
  return [...byFolder].map(([folder, held]) =>
    folder === '' ? `  ${held.join(', ')}` : `  ${folder}: ${held.join(', ')}`,
  );
}
