/** Volumes to be made, checked: new ones and clones alike. */
import type { Catalog, Stored, Transaction } from '../catalog/catalog.js';
import { type VolumeRecord, volumeKind } from '../catalog/kinds.js';
import { formatSize } from '../config/units.js';
import { AshlarError } from '../errors.js';
import { defaultAnaGroup } from '../target/portals.js';
import { addGrant } from './grants.js';
import { nextNsid } from './namespaces.js';
import { policyId, policyName } from './policies.js';
import { assertQuota } from './quotas.js';
import { checkBlockBytes, checkHost, checkName, checkSize } from './rules.js';
import { findTenant } from './state.js';
import type { BlockBytes, CallOptions, CloneVolume, CreateVolume } from './types.js';
import { hexText, isUuidText, randomUuidBytes, uuidBytes, uuidText } from './uuid.js';

/** A volume that is wanted; every part of it is allowed. */
export interface WantedVolume {
  name: string;
  uuid: Uint8Array;
  uuidGiven: boolean;
  sizeBytes: bigint;
  /** False: a clone that takes its source's size. */
  sizeGiven: boolean;
  blockBytes: BlockBytes;
  hosts: readonly string[];
  reserved: boolean;
  /** What it is cloned from, as in its record; empty: nothing. */
  source: Uint8Array;
  /** Name of its policy; null: none. Not given: that of what it is cloned from. */
  policy: string | null | undefined;
}

/** @throws AshlarError invalid-argument, limit-exceeded. */
export function checkCreate(request: CreateVolume): WantedVolume {
  const { name, sizeBytes } = request;
  const blockBytes: number = request.blockBytes ?? 4096;
  checkName('volume', name);
  checkBlockBytes(blockBytes);
  checkSize(name, sizeBytes, blockBytes);
  const source = new Uint8Array(0);
  return { ...checkCommon(request), name, sizeBytes, sizeGiven: true, blockBytes, source };
}

/** @throws AshlarError invalid-argument, limit-exceeded. */
export function checkClone(
  request: CloneVolume,
  source: { text: string; uuid: Uint8Array; sizeBytes: bigint; blockBytes: BlockBytes },
): WantedVolume {
  const { name } = request;
  const { blockBytes } = source;
  const sizeBytes = request.sizeBytes ?? source.sizeBytes;
  checkName('volume', name);
  checkSize(name, sizeBytes, blockBytes);
  if (sizeBytes < source.sizeBytes) {
    throw new AshlarError(
      'invalid-argument',
      `clone '${name}' of ${formatSize(sizeBytes)} is smaller than ${source.text} of ` +
        `${formatSize(source.sizeBytes)}; give at least that size, or none`,
    );
  }
  const sizeGiven = request.sizeBytes !== undefined;
  return { ...checkCommon(request), name, sizeBytes, sizeGiven, blockBytes, source: source.uuid };
}

function checkCommon(
  request: CreateVolume | CloneVolume,
): Pick<WantedVolume, 'uuid' | 'uuidGiven' | 'hosts' | 'reserved' | 'policy'> {
  const { uuid } = request;
  if (uuid !== undefined && !isUuidText(uuid)) {
    throw new AshlarError('invalid-argument', `'${uuid}' is not a UUID`);
  }
  const hosts = [...new Set(request.hosts ?? [])];
  for (const host of hosts) checkHost(host, 'any-allowed');
  return {
    uuid: uuid === undefined ? randomUuidBytes() : uuidBytes(uuid),
    uuidGiven: uuid !== undefined,
    hosts,
    reserved: request.reserved === true,
    policy: request.policy,
  };
}

/** A volume of that name exists: is it the one that the repeated call asks for? */
export function acceptRepeat(
  catalog: Catalog,
  before: Stored<VolumeRecord>,
  wanted: WantedVolume,
  options: CallOptions,
): Stored<VolumeRecord> {
  const { name, uuid, sizeBytes, blockBytes, reserved, source, policy } = before.value;
  const same =
    (sizeBytes === wanted.sizeBytes || !wanted.sizeGiven) &&
    blockBytes === wanted.blockBytes &&
    reserved === wanted.reserved &&
    hexText(source) === hexText(wanted.source) &&
    (wanted.policy === undefined || policyName(catalog, policy) === wanted.policy) &&
    (!wanted.uuidGiven || hexText(uuid) === hexText(wanted.uuid));
  if (options.repeatable === true && same) return before;
  const promise = reserved ? ', reserved' : '';
  const origin = source.length === 0 ? '' : `, cloned from ${uuidText(source)}`;
  throw new AshlarError(
    'already-exists',
    `volume '${name}' exists already (${uuidText(uuid)}, ${formatSize(sizeBytes)}, ` +
      `${blockBytes}-byte blocks${promise}${origin}); choose another name`,
  );
}

/**
 * The records of a new volume on a layer that the same transaction makes.
 * @throws AshlarError limit-exceeded.
 */
export function addVolume(
  catalog: Catalog,
  transaction: Transaction,
  tenantName: string,
  wanted: WantedVolume,
  layer: Uint8Array,
  inherited = 0n,
): bigint {
  const tenant = findTenant(catalog, tenantName);
  const { name, uuid, sizeBytes, blockBytes, reserved, source } = wanted;
  assertQuota(catalog, tenant.id, { volumes: 1, bytes: sizeBytes });
  const id = transaction.add(volumeKind, {
    tenant: tenant.id,
    name,
    uuid,
    nguid: uuid,
    nsid: nextNsid(catalog, transaction, tenant),
    layer,
    sizeBytes,
    blockBytes,
    anagrpid: defaultAnaGroup,
    createdMs: Date.now(),
    reserved,
    source,
    policy: wanted.policy === undefined ? inherited : policyId(catalog, wanted.policy),
  });
  for (const host of wanted.hosts) {
    const grant = { volume: id, tenant: tenant.id, host, access: 'read-write' as const };
    addGrant(catalog, transaction, grant);
  }
  return id;
}
