/** What a node is asked for, checked: everything that can be wrong with a request by itself. */
import { CsiError } from '../errors.js';
import { type FsType, fsTypes, type PathSecrets } from '../host/types.js';
import { isUuid, required } from '../names.js';
import type { Decoded } from '../wire/fields.js';
import type { AccessModeName, VolumeCapability } from '../wire/messages.js';

type Texts = Readonly<Record<string, string>>;

/** A capability that this driver has. */
export interface Wanted {
  readonly kind: 'block' | 'mount';
  readonly mode: AccessModeName;
  /** Null: what the disk has, or else ext4. */
  readonly fsType: FsType | null;
  readonly flags: readonly string[];
  /** Group that the files are to be of. */
  readonly group: number | null;
  /** By its access mode, or a flag, nobody writes. */
  readonly reader: boolean;
}

/** What the controller says of a volume that it has published to this node. */
export interface Published {
  readonly uuid: string;
  readonly subnqn: string;
  readonly portals: readonly string[];
  readonly readOnly: boolean;
  readonly tls: boolean;
  readonly authenticate: boolean;
}

/** CSI: all mount flags together ("Size Limits"). */
const maxFlagBytes = 4096;
/** PATH_MAX, without the zero behind it. */
const maxPathBytes = 4095;
/** (gid_t) -1 is no group. */
const maxGroup = 2 ** 32 - 2;

const readers: readonly AccessModeName[] = ['SINGLE_NODE_READER_ONLY', 'MULTI_NODE_READER_ONLY'];
const shared: readonly AccessModeName[] = ['MULTI_NODE_SINGLE_WRITER', 'MULTI_NODE_MULTI_WRITER'];

/**
 * Flags that make mount(8) do something else than mount this disk there: another operation, another
 * program, or another user's right to undo it.
 */
const otherFlags = new RegExp(
  '^(r?bind|move|remount|loop|offset|sizelimit|encryption|users?|owner|group|u?helper|' +
    '(make-)?r?(shared|private|slave|unbindable)|x-mount.*)(=.*)?$',
  'i',
);

/** An absolute path. @throws CsiError INVALID_ARGUMENT. */
export function checkPath(what: string, path: string): string {
  required(what, path);
  const bytes = Buffer.byteLength(path);
  if (!path.startsWith('/') || path.includes('\0') || bytes > maxPathBytes) {
    const shown = path.length > 200 ? `${path.slice(0, 200)}…` : path;
    throw new CsiError(
      'INVALID_ARGUMENT',
      `${what} '${shown}' is no absolute path of up to ${maxPathBytes} bytes`,
    );
  }
  return path;
}

/** The UUID that a volume's ID is. @throws CsiError NOT_FOUND for what cannot be one. */
export function checkVolumeId(volumeId: string): string {
  required('volume_id', volumeId);
  if (isUuid(volumeId)) return volumeId;
  const shown = volumeId.length > 128 ? `${volumeId.slice(0, 128)}…` : volumeId;
  throw new CsiError('NOT_FOUND', `volume '${shown}' does not exist: its ID would be a UUID`);
}

/** @throws CsiError INVALID_ARGUMENT, FAILED_PRECONDITION for what this driver cannot. */
export function checkCapability(capability: Decoded<typeof VolumeCapability> | null): Wanted {
  if (capability === null) {
    throw new CsiError('INVALID_ARGUMENT', 'volume_capability is missing');
  }
  const { block, mount, accessMode } = capability;
  const mode = accessMode?.mode ?? 'UNKNOWN';
  if (mode === 'UNKNOWN') {
    throw new CsiError('INVALID_ARGUMENT', 'volume_capability.access_mode is missing');
  }
  const reader = readers.includes(mode);
  if (block !== null) {
    return { kind: 'block', mode, fsType: null, flags: [], group: null, reader };
  }
  if (mount === null) {
    throw new CsiError('INVALID_ARGUMENT', 'volume_capability has neither block nor mount');
  }
  if (shared.includes(mode)) {
    throw new CsiError(
      'FAILED_PRECONDITION',
      `access mode ${mode} is for block volumes: a file system that several nodes mount while one ` +
        'of them writes would be destroyed',
    );
  }
  return {
    kind: 'mount',
    mode,
    fsType: checkFsType(mount.fsType),
    flags: checkFlags(mount.mountFlags),
    group: checkGroup(mount.volumeMountGroup),
    reader: reader || mount.mountFlags.some((flag) => flag.split(',').includes('ro')),
  };
}

function checkFsType(fsType: string): FsType | null {
  if (fsType === '') return null;
  const known = fsTypes.find((each) => each === fsType);
  if (known !== undefined) return known;
  throw new CsiError(
    'FAILED_PRECONDITION',
    `fs_type '${fsType.slice(0, 64)}' is none of ${fsTypes.join(', ')}`,
  );
}

function checkFlags(flags: readonly string[]): readonly string[] {
  const bytes = flags.reduce((sum, flag) => sum + Buffer.byteLength(flag), 0);
  if (bytes > maxFlagBytes) {
    throw new CsiError(
      'INVALID_ARGUMENT',
      `mount_flags have ${bytes} bytes, and may have ${maxFlagBytes} together`,
    );
  }
  for (const flag of flags) {
    if (flag === '' || /\p{Cc}/u.test(flag)) {
      throw new CsiError('INVALID_ARGUMENT', 'mount_flags has an empty one, or control characters');
    }
    // Of a list in one flag, each: a comma in quotes is a part of a value (SELinux contexts).
    const names = flag.match(/(?:[^,"]|"[^"]*")+/g) ?? [];
    const other = names.find((name) => otherFlags.test(name));
    if (other === undefined) continue;
    throw new CsiError(
      'INVALID_ARGUMENT',
      `mount flag '${other.slice(0, 64)}' is not one that a volume can be mounted with; take it ` +
        'out of mountOptions',
    );
  }
  return flags;
}

function checkGroup(text: string): number | null {
  if (text === '') return null;
  const group = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (group <= maxGroup) return group;
  throw new CsiError(
    'INVALID_ARGUMENT',
    `volume_mount_group '${text.slice(0, 64)}' is no group ID from 0 to ${maxGroup}`,
  );
}

/** @throws CsiError INVALID_ARGUMENT naming the key. */
export function checkContext(context: Texts, volumeId: string | null): Published {
  const of = (key: string) => required(`publish_context['${key}']`, context[key] ?? '');
  const uuid = of('uuid');
  if (!isUuid(uuid) || (volumeId !== null && uuid !== volumeId)) {
    throw new CsiError(
      'INVALID_ARGUMENT',
      `publish_context is of the volume '${uuid}', not of '${volumeId ?? 'a UUID'}'`,
    );
  }
  const portals = of('portals').split(',');
  for (const portal of portals) parsePortal(portal);
  return {
    uuid,
    subnqn: of('subnqn'),
    portals: [...new Set(portals)],
    readOnly: oneOf(context, 'access', ['read-write', 'read-only']) === 'read-only',
    tls: oneOf(context, 'tls', ['none', 'required']) === 'required',
    authenticate: oneOf(context, 'authenticate', ['false', 'true']) === 'true',
  };
}

function oneOf(context: Texts, key: string, values: readonly [string, string]): string {
  const value = context[key] ?? values[0];
  if (values.includes(value)) return value;
  throw new CsiError(
    'INVALID_ARGUMENT',
    `publish_context['${key}'] '${value.slice(0, 64)}' is none of ${values.join(', ')}`,
  );
}

/** `10.0.0.5:4420` or `[fd00::5]:4420`. @throws CsiError INVALID_ARGUMENT. */
export function parsePortal(portal: string): { address: string; port: number } {
  const [, wide, narrow, digits] =
    /^(?:\[([0-9a-f:.%a-z]+)\]|([^:[\]\s,]+)):(\d+)$/i.exec(portal) ?? [];
  const address = wide ?? narrow;
  const port = Number(digits);
  if (address !== undefined && port >= 1 && port <= 65_535) return { address, port };
  throw new CsiError(
    'INVALID_ARGUMENT',
    `portal '${portal.slice(0, 100)}' is not of the form address:port`,
  );
}

/** @throws CsiError INVALID_ARGUMENT naming the one that is missing; never with a value. */
export function checkSecrets(secrets: Texts, { tls, authenticate }: Published): PathSecrets {
  const of = (wanted: boolean, key: string, why: string): string | null => {
    if (!wanted) return null;
    const value = secrets[key] ?? '';
    if (value !== '') return value;
    throw new CsiError(
      'INVALID_ARGUMENT',
      `secret '${key}' is missing: ${why}; name a Secret with it as ` +
        'csi.storage.k8s.io/node-stage-secret-name of the StorageClass',
    );
  };
  const { controllerKey = '' } = secrets;
  return {
    hostKey: of(authenticate, 'hostKey', 'this host has to prove who it is'),
    controllerKey: authenticate && controllerKey !== '' ? controllerKey : null,
    tlsPsk: of(tls, 'tlsPsk', 'the volume is reached over TLS only'),
  };
}

/** All of a request that a second one has to agree with. The group may change with the pod. */
export function howOf({ kind, mode, fsType, flags }: Wanted, readOnly: boolean): string {
  const parts = [kind, mode, fsType ?? 'any', readOnly ? 'read-only' : 'read-write', ...flags];
  return parts.join(' ');
}
