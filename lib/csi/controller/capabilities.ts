/** How a volume may be used, and by how many nodes at once. */
import { CsiError } from '../errors.js';
import type { Decoded } from '../wire/fields.js';
import type { AccessModeName, VolumeCapability } from '../wire/messages.js';

export type Capability = Decoded<typeof VolumeCapability>;

/** What a way of use means for grants. */
export interface Use {
  kind: 'block' | 'mount';
  mode: Exclude<AccessModeName, 'UNKNOWN'>;
  access: 'read-write' | 'read-only';
  /** 'host': no other may have it; 'writer': no other may write; null: others may do what they like. */
  alone: 'host' | 'writer' | null;
}

const fileSystems = ['ext4', 'xfs', 'btrfs'];

const modes: Readonly<Record<AccessModeName, Pick<Use, 'access' | 'alone'> | null>> = {
  UNKNOWN: null,
  SINGLE_NODE_WRITER: { access: 'read-write', alone: 'host' },
  SINGLE_NODE_SINGLE_WRITER: { access: 'read-write', alone: 'host' },
  SINGLE_NODE_MULTI_WRITER: { access: 'read-write', alone: 'host' },
  SINGLE_NODE_READER_ONLY: { access: 'read-only', alone: 'host' },
  MULTI_NODE_READER_ONLY: { access: 'read-only', alone: 'writer' },
  // Which of them writes is said by `readonly` of the publication.
  MULTI_NODE_SINGLE_WRITER: { access: 'read-write', alone: 'writer' },
  MULTI_NODE_MULTI_WRITER: { access: 'read-write', alone: null },
};

/** All ways in which a volume shall be usable. @throws CsiError INVALID_ARGUMENT. */
export function usesOf(capabilities: readonly Capability[]): Use[] {
  if (capabilities.length === 0) {
    throw new CsiError('INVALID_ARGUMENT', 'volume_capabilities is missing');
  }
  return capabilities.map(useOf);
}

/**
 * What a capability means.
 *
 * @throws CsiError INVALID_ARGUMENT when it is incomplete, or nothing that Ashlar can do.
 */
export function useOf(capability: Capability | null): Use {
  if (capability === null) {
    throw new CsiError('INVALID_ARGUMENT', 'volume_capability is missing');
  }
  const problem = incomplete(capability) ?? unsupported(capability);
  const { block, accessMode } = capability;
  const mode = accessMode?.mode ?? 'UNKNOWN';
  const terms = modes[mode];
  if (problem !== null || terms === null || mode === 'UNKNOWN') {
    throw new CsiError('INVALID_ARGUMENT', problem ?? 'access_mode is missing');
  }
  return { kind: block === null ? 'mount' : 'block', mode, ...terms };
}

/** What is missing in a capability; null: nothing. */
export function incomplete({ block, mount, accessMode }: Capability): string | null {
  if (block === null && mount === null) {
    return 'volume_capability has no access_type: give either block or mount';
  }
  if (block !== null && mount !== null) return 'volume_capability is both block and mount';
  if (accessMode === null || accessMode.mode === 'UNKNOWN') {
    return 'volume_capability has no access_mode';
  }
  return null;
}

/** Why Ashlar cannot do that; null: it can. */
export function unsupported({ mount, accessMode }: Capability): string | null {
  if (mount === null) return null;
  const { fsType } = mount;
  if (fsType !== '' && !fileSystems.includes(fsType)) {
    return `file system '${fsType}' is not one of ${fileSystems.join(', ')}`;
  }
  const mode = accessMode?.mode ?? 'UNKNOWN';
  if (mode === 'MULTI_NODE_MULTI_WRITER' || mode === 'MULTI_NODE_SINGLE_WRITER') {
    return (
      `${mode} of a file system: one that several nodes mount while one of them writes is ` +
      'damaged; use a block volume, or a mode of a single node'
    );
  }
  return null;
}

/** Whom a publication keeps out: a reader of a volume that one node writes keeps out nobody. */
export function aloneOf({ mode, alone }: Use, access: Use['access']): Use['alone'] {
  return mode === 'MULTI_NODE_SINGLE_WRITER' && access === 'read-only' ? null : alone;
}

/** The access that a publication gives. */
export function accessOf({ access }: Use, readonly: boolean): Use['access'] {
  return readonly ? 'read-only' : access;
}
