/** What a node keeps over restarts: who it is, and a record for each volume. */
import { createHash, randomUUID } from 'node:crypto';
import fs from 'node:fs/promises';
import path from 'node:path';
import { CsiError } from '../errors.js';
import { isUuid, nodeIdOf } from '../names.js';
import type { Asked, HostIdentity, VolumeRecord } from './types.js';

/** Of a record's form. */
const version = 1;

/** Writes a file that is there whole or not at all, also after a power failure. */
async function writeDurably(file: string, text: string): Promise<void> {
  const folder = path.dirname(file);
  await fs.mkdir(folder, { recursive: true, mode: 0o700 });
  const draft = `${file}.new`;
  const handle = await fs.open(draft, 'w', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await fs.rename(draft, file);
  await syncFolder(folder);
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await fs.open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function readText(file: string): Promise<string | null> {
  try {
    return (await fs.readFile(file, 'utf8')).trim();
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw thrown;
  }
}

/** Where things of the machine are. */
export interface StatePlaces {
  readonly state: string;
  /** Folder with hostnqn and hostid of nvme-cli. */
  readonly nvme: string;
  /** File with the ID of this boot. */
  readonly bootId: string;
}

/**
 * The identity in the state folder; where there is none, the machine's own when its two parts agree,
 * or else a new one.
 */
export async function readIdentity({ state, nvme, bootId }: StatePlaces): Promise<HostIdentity> {
  const file = path.join(state, 'hostid');
  const boot = (await readText(bootId)) ?? 'unknown';
  const kept = await readText(file);
  if (kept !== null) {
    if (!isUuid(kept)) {
      throw new CsiError(
        'INTERNAL',
        `'${file}' has no UUID in it but '${kept.slice(0, 40)}'; put the host identifier there ` +
          'that this node had, or remove the file for the node to become a new one',
      );
    }
    return { hostid: kept, hostnqn: nodeIdOf(kept), bootId: boot };
  }
  const [nqn, id] = [
    await readText(path.join(nvme, 'hostnqn')),
    (await readText(path.join(nvme, 'hostid')))?.toLowerCase() ?? '',
  ];
  const hostid = isUuid(id) && nqn?.toLowerCase() === nodeIdOf(id) ? id : randomUUID();
  await writeDurably(file, `${hostid}\n`);
  return { hostid, hostnqn: nodeIdOf(hostid), bootId: boot };
}

function fileOf(state: string, volumeId: string): string {
  const plain = /^[A-Za-z0-9][A-Za-z0-9-]{0,99}$/.test(volumeId);
  const digest = () => createHash('sha256').update(volumeId).digest('hex');
  return path.join(state, 'volumes', plain ? `${volumeId}.json` : `sha256_${digest()}.json`);
}

export async function writeRecord(state: string, record: VolumeRecord): Promise<void> {
  const text = JSON.stringify({ version, ...record }, null, 2);
  await writeDurably(fileOf(state, record.volumeId), `${text}\n`);
}

export async function removeRecord(state: string, volumeId: string): Promise<void> {
  const file = fileOf(state, volumeId);
  await fs.rm(file, { force: true });
  const folder = path.dirname(file);
  // Where nothing was ever kept there is no folder either.
  await syncFolder(folder).catch(() => undefined);
}

/** Portals at which this plugin keeps a discovery controller, in a boot of the node. */
export interface KeptDiscovery {
  readonly bootId: string;
  readonly portals: readonly string[];
}

/** Null: none is kept, or nobody can tell. */
export async function readKeptDiscovery(state: string): Promise<KeptDiscovery | null> {
  const loose = looseObject(await readText(path.join(state, 'discovery.json')));
  const bootId = loose?.['bootId'];
  const portals = loose?.['portals'];
  if (typeof bootId !== 'string' || !Array.isArray(portals)) return null;
  return { bootId, portals: portals.map(String) };
}

/** Durable when it resolves; without a portal there is no file. */
export async function writeKeptDiscovery(state: string, kept: KeptDiscovery): Promise<void> {
  const file = path.join(state, 'discovery.json');
  if (kept.portals.length === 0) await fs.rm(file, { force: true });
  else await writeDurably(file, `${JSON.stringify({ version, ...kept }, null, 2)}\n`);
}

/** All of them; what is none, or was written by a newer plugin, is as if it were not there. */
export async function readRecords(state: string): Promise<VolumeRecord[]> {
  const folder = path.join(state, 'volumes');
  const names = await fs.readdir(folder).catch((): string[] => []);
  const records = await Promise.all(
    names
      .filter((name) => name.endsWith('.json'))
      .map(async (name) => parseRecord(await readText(path.join(folder, name)))),
  );
  return records.filter((record) => record !== null);
}

/** An object in JSON of this version. */
function looseObject(text: string | null): Readonly<Record<string, unknown>> | null {
  try {
    const parsed: unknown = JSON.parse(text ?? '');
    if (typeof parsed !== 'object' || parsed === null) return null;
    const loose: Readonly<Record<string, unknown>> = { ...parsed };
    return loose['version'] === version ? loose : null;
  } catch {
    return null;
  }
}

function parseRecord(text: string | null): VolumeRecord | null {
  const loose = looseObject(text);
  if (loose === null) return null;
  const [volumeId, uuid, subnqn, bootId] = ['volumeId', 'uuid', 'subnqn', 'bootId'].map((name) => {
    const value = loose[name];
    return typeof value === 'string' ? value : undefined;
  });
  if (volumeId === undefined || uuid === undefined) return null;
  if (subnqn === undefined || bootId === undefined) return null;
  const portals = loose['portals'];
  const published = loose['published'];
  return {
    volumeId,
    uuid,
    subnqn,
    bootId,
    portals: Array.isArray(portals) ? portals.map(String) : [],
    tls: loose['tls'] === true,
    authenticate: loose['authenticate'] === true,
    formatting: loose['formatting'] === true,
    ephemeral: loose['ephemeral'] === true,
    staged: askedOf(loose['staged']),
    published: (Array.isArray(published) ? published : [])
      .map(askedOf)
      .filter((asked) => asked !== null),
  };
}

function askedOf(value: unknown): Asked | null {
  if (typeof value !== 'object' || value === null) return null;
  if (!('path' in value) || !('how' in value)) return null;
  const { path: place, how } = value;
  return typeof place === 'string' && typeof how === 'string' ? { path: place, how } : null;
}
