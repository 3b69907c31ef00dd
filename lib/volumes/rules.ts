/** What may be asked for: names, sizes, NQNs. Each refusal names the value and the limit. */

import { anyHost } from '../catalog/kinds.js';
import { formatSize } from '../config/units.js';
import { AshlarError } from '../errors.js';
import { nqnProblem } from '../target/nqn.js';
import type { BlockBytes } from './types.js';
import { isUuidText } from './uuid.js';

/** 64 TiB. */
export const maxVolumeBytes = 64n << 40n;

/** Tenants of a node. */
export const maxTenants = 1024;

/** Hosts that a node knows; a volume can be granted to all of them. */
export const maxHosts = 4096;

/** Snapshots of a node: their records are in memory, about 1 KiB each. */
export const maxSnapshots = 262_144;

/** Volumes of one group snapshot: one journal entry takes them all. */
export const maxGroupVolumes = 64;

const nameForm = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

/** Whether a volume, tenant or snapshot may be called so. */
export function isName(name: string): boolean {
  return nameForm.test(name) && !isUuidText(name);
}

/** @throws AshlarError invalid-argument. */
export function checkName(
  what: 'volume' | 'tenant' | 'snapshot' | 'schedule' | 'token' | 'policy',
  name: string,
): void {
  if (!nameForm.test(name)) {
    throw new AshlarError(
      'invalid-argument',
      `${what} name '${shorten(name)}' is not 1 to 63 letters, digits, '.', '_' or '-', ` +
        'beginning with a letter or digit',
    );
  }
  if (isUuidText(name)) {
    throw new AshlarError(
      'invalid-argument',
      `${what} name '${name}' has the form of a UUID, by which ${what}s are also found; ` +
        'choose another name',
    );
  }
}

/** @throws AshlarError invalid-argument. */
export function checkBlockBytes(blockBytes: number): asserts blockBytes is BlockBytes {
  if (blockBytes === 512 || blockBytes === 4096) return;
  throw new AshlarError('invalid-argument', `block size ${blockBytes} is not 4096 or 512`);
}

/** @throws AshlarError invalid-argument, limit-exceeded. */
export function checkSize(name: string, sizeBytes: bigint, blockBytes: BlockBytes): void {
  if (sizeBytes <= 0n) {
    throw new AshlarError(
      'invalid-argument',
      `volume '${name}' cannot have ${sizeBytes} bytes; the least is one block of ${blockBytes}`,
    );
  }
  if (sizeBytes > maxVolumeBytes) {
    throw new AshlarError(
      'limit-exceeded',
      `volume '${name}' of ${formatSize(sizeBytes)} is over the limit of ` +
        `${formatSize(maxVolumeBytes)}; ask for less`,
    );
  }
  if (sizeBytes % BigInt(blockBytes) !== 0n) {
    const next = (sizeBytes / BigInt(blockBytes) + 1n) * BigInt(blockBytes);
    throw new AshlarError(
      'invalid-argument',
      `volume '${name}': ${sizeBytes} bytes is not a whole number of ${blockBytes}-byte blocks; ` +
        `the next size is ${next}`,
    );
  }
}

/** A host NQN, or '*' where `any` allows it. @throws AshlarError invalid-argument. */
export function checkHost(host: string, any: 'any-allowed' | 'one-host'): void {
  if (host === anyHost && any === 'any-allowed') return;
  const problem = nqnProblem(host);
  if (problem === null) return;
  throw new AshlarError('invalid-argument', `host NQN '${shorten(host)}' ${problem}`);
}

function shorten(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
