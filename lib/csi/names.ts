/** Names and identities: what CSI calls things, and what Ashlar does. */
import { createHash } from 'node:crypto';
import { CsiError } from './errors.js';

/** The driver's name, by which StorageClasses choose it. */
export const driverName = 'csi.ashlar.dev';

/** Subsystem NQN of every discovery service (NVMe Base 2.0, 3.1.3.3). */
export const discoveryNqn = 'nqn.2014-08.org.nvmexpress.discovery';

/** Topology key of an endpoint's, or a node's, place when nothing else is configured. */
export const zoneKey = `topology.${driverName}/zone`;

/** CSI: a string has 128 bytes at most where nothing else is said ("Size Limits"). */
const maxNameBytes = 128;

/** What Ashlar takes as a name, if it has not the form of a UUID (lib/volumes/rules.ts). */
const ashlarNames = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const uuids = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const nodeIds = /^nqn\.2014-08\.org\.nvmexpress:uuid:([0-9a-f-]{36})$/;

/** Of the names that volumes are made under; chosen once, for ever. */
const nameSpace = Buffer.from('9f3a1c5ed0a84b0bb8d25b2a3c1f7e64', 'hex');

/**
 * A name from a CSI request.
 *
 * @param what names the field in messages.
 * @throws CsiError INVALID_ARGUMENT when it is missing, too long or has control characters.
 */
export function checkName(what: string, name: string): string {
  if (name === '') throw new CsiError('INVALID_ARGUMENT', `${what} is missing`);
  const bytes = Buffer.byteLength(name);
  if (bytes > maxNameBytes) {
    throw new CsiError(
      'INVALID_ARGUMENT',
      `${what} has ${bytes} bytes of UTF-8, and may have ${maxNameBytes} at most`,
    );
  }
  const wrong = /\p{Cc}|\p{Cs}/u.exec(name);
  if (wrong !== null) {
    const code = (wrong[0].codePointAt(0) ?? 0).toString(16).padStart(4, '0').toUpperCase();
    throw new CsiError('INVALID_ARGUMENT', `${what} has the control character U+${code} in it`);
  }
  return name;
}

/**
 * What the thing is called in Ashlar: the same, where Ashlar takes such a name, or else `csi-` and
 * a part of the name's SHA-256, so that the same name is always the same thing.
 */
export function ashlarName(name: string): string {
  return ashlarNames.test(name) && !isUuid(name.toLowerCase())
    ? name
    : `csi-${sha256(name).toString('hex', 0, 16)}`;
}

/**
 * UUID of the volume of that name (RFC 9562, version 8: SHA-256 of a name). Two calls for one name
 * can so never make two volumes, wherever and whenever they run.
 */
export function volumeUuid(name: string): string {
  const bytes = sha256(Buffer.concat([nameSpace, Buffer.from(name)])).subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString('hex');
  return [8, 12, 16, 20, 32]
    .map((end, index, ends) => hex.slice(ends[index - 1] ?? 0, end))
    .join('-');
}

/** Whether an identity can be one of a volume, snapshot or group. Others do not exist. */
export function isUuid(id: string): boolean {
  return uuids.test(id);
}

/** The ID of the node that is the NVMe host with this host identifier: its host NQN. */
export function nodeIdOf(hostId: string): string {
  return `nqn.2014-08.org.nvmexpress:uuid:${hostId}`;
}

/** The host NQN that a node's ID is. @throws CsiError NOT_FOUND when no node has such an ID. */
export function hostNqnOf(nodeId: string): string {
  const [, hostId = ''] = nodeIds.exec(nodeId) ?? [];
  if (isUuid(hostId)) return nodeId;
  throw new CsiError(
    'NOT_FOUND',
    `node '${nodeId}' does not exist: a node's ID is its host NQN, '${nodeIdOf('UUID')}', as its ` +
      'plugin tells in NodeGetInfo',
  );
}

/** For field `what` that has to be there. @throws CsiError INVALID_ARGUMENT. */
export function required(what: string, value: string): string {
  if (value === '') throw new CsiError('INVALID_ARGUMENT', `${what} is missing`);
  return value;
}

function sha256(text: string | Buffer): Buffer {
  return createHash('sha256').update(text).digest();
}
