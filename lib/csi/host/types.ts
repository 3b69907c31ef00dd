/**
 * The door between what decides on a node (lib/csi/node) and what has the rights to do it
 * (lib/csi/host): a closed list of verbs over plain facts.
 *
 * Every verb is level-triggered: it says what is to be, does nothing when it is so already, and can
 * be cut anywhere and called again. All of them throw CsiError, with what a program said in it.
 */

/** The disk that a volume is on this node. */
export interface Disk {
  /** `/dev/nvme0n1`: with multipath the head, never one of the paths. */
  readonly device: string;
  /** `259:3`, as mounts have it. */
  readonly number: string;
  /** UUID of the namespace: the volume's. */
  readonly uuid: string;
  readonly subnqn: string;
  readonly sizeBytes: bigint;
  /** Write-protected, by the controller's word. */
  readonly readOnly: boolean;
}

/** A controller of the kernel: one path to a subsystem. */
export interface NvmePath {
  /** `nvme3`. */
  readonly controller: string;
  readonly subnqn: string;
  readonly address: string;
  readonly port: number;
  /** As sysfs says: live, connecting, resetting, deleting, dead, new. */
  readonly state: string;
  /** It leads to a discovery service, and no disk is behind it. */
  readonly discovery: boolean;
}

/** What is mounted, and where. */
export interface Mount {
  readonly target: string;
  /** Which disk it is of, `259:3`; null: of none. */
  readonly number: string | null;
  /** A file system, or the node of a disk that is bound to a file. */
  readonly kind: 'file-system' | 'device';
  /** The disk is there no more, and will never be again: nothing can be written to it. */
  readonly gone: boolean;
  /** Folder of the file system that is seen there; `/` unless it is a part of one. */
  readonly root: string;
  readonly fsType: string;
  /** Of this mount. */
  readonly readOnly: boolean;
  /** Of the file system, for everyone. */
  readonly superReadOnly: boolean;
}

/** What stands on a disk. */
export type Content =
  /** Nothing: no signature of anything, and zeroes. */
  | { readonly kind: 'blank' }
  /** Making a file system was cut: there is nothing in it yet, and nobody can have mounted it. */
  | { readonly kind: 'unfinished' }
  /** One file system; with the bytes that it spans, where that is known. */
  | { readonly kind: 'file-system'; readonly fsType: string; readonly sizeBytes: bigint | null }
  /** Something else, in words. */
  | { readonly kind: 'other'; readonly what: string };

export const fsTypes = ['ext4', 'xfs', 'btrfs'] as const;
export type FsType = (typeof fsTypes)[number];

/** How the kernel treats the paths of a subsystem. Milliseconds; null: for ever. */
export interface PathOptions {
  readonly fastIoFailMs: number | null;
  readonly ctrlLossMs: number | null;
  readonly reconnectDelayMs: number;
  readonly keepAliveMs: number;
  readonly ioPolicy: string;
  /** 0: as many as the kernel takes. */
  readonly queues: number;
}

/** What a path needs that nobody may see. */
export interface PathSecrets {
  /** `DHHC-1:…`; null: the host does not prove who it is. */
  readonly hostKey: string | null;
  /** Of the controller, for it to prove who it is. */
  readonly controllerKey: string | null;
  /** `NVMeTLSkey-1:…`; null: no TLS. */
  readonly tlsPsk: string | null;
}

/** Of a path in the clear, on which nobody proves who he is. */
export const noSecrets: PathSecrets = { hostKey: null, controllerKey: null, tlsPsk: null };

/** Who this node is, for its whole life. */
export interface HostIdentity {
  readonly hostnqn: string;
  /** A UUID. */
  readonly hostid: string;
  /** New after every boot of the node. */
  readonly bootId: string;
}

/** How a volume was asked for at a place: what a second call has to agree with. */
export interface Asked {
  readonly path: string;
  /** Everything of the request that makes a difference, in one text. */
  readonly how: string;
}

/**
 * What is known of a volume on this node beside what the kernel says; kept over restarts. It never
 * decides whether something is mounted or connected. No secrets.
 */
export interface VolumeRecord {
  readonly volumeId: string;
  readonly uuid: string;
  readonly subnqn: string;
  /** `address:port` each. */
  readonly portals: readonly string[];
  readonly tls: boolean;
  readonly authenticate: boolean;
  /** The boot in which it was written. */
  readonly bootId: string;
  /** A file system was being made, which may have been cut. */
  readonly formatting: boolean;
  readonly ephemeral: boolean;
  readonly staged: Asked | null;
  readonly published: readonly Asked[];
}

/** Room in a file system. */
export interface Usage {
  readonly totalBytes: bigint;
  readonly availableBytes: bigint;
  readonly usedBytes: bigint;
  readonly totalInodes: bigint;
  readonly availableInodes: bigint;
}

/** What is at a path, links not followed. */
export type At = 'nothing' | 'folder' | 'file' | 'other';

export interface MountRequest {
  readonly disk: Disk;
  readonly target: string;
  readonly fsType: FsType;
  /** As mount(8) has them behind -o. */
  readonly flags: readonly string[];
  readonly readOnly: boolean;
}

/** The verbs. */
export interface NodeHost {
  /** Who this node is; made up once when nothing says it. Durable when it resolves. */
  identity(): Promise<HostIdentity>;

  /** All records that can be read. */
  records(): Promise<readonly VolumeRecord[]>;
  /** Keeps it instead of what was known of that volume; durable when it resolves. */
  remember(record: VolumeRecord): Promise<void>;
  forget(volumeId: string): Promise<void>;

  /** All paths to NVMe/TCP subsystems, whoever made them. */
  paths(): Promise<readonly NvmePath[]>;
  /**
   * Adds the path. It is live when this resolves.
   *
   * @throws CsiError UNAVAILABLE: it cannot be reached; PERMISSION_DENIED: the subsystem refuses
   * this host; FAILED_PRECONDITION: this kernel cannot.
   */
  connect(
    path: { readonly subnqn: string; readonly address: string; readonly port: number },
    options: PathOptions,
    secrets: PathSecrets,
    signal: AbortSignal,
  ): Promise<void>;
  /** Waits up to `timeoutMs` for a path to the subsystem to be live; whether one is. */
  waitForPath(subnqn: string, timeoutMs: number, signal: AbortSignal): Promise<boolean>;
  /** Takes all paths to the subsystem away. */
  disconnect(subnqn: string): Promise<void>;
  /** Sets what can be set of a subsystem and its paths while they are there. */
  tune(subnqn: string, options: PathOptions): Promise<void>;
  /** Makes the kernel look for new namespaces and sizes. */
  rescan(subnqn: string): Promise<void>;
  /**
   * Every portal of a path's subsystem, `address:port` each, as the discovery service at the end
   * of that path tells this host. In the clear, over a discovery controller that stays connected;
   * it is made where there is none. @throws CsiError UNAVAILABLE.
   */
  discover(path: NvmePath, options: PathOptions, signal: AbortSignal): Promise<readonly string[]>;
  /** Takes the discovery controllers away that {@link discover} made, except at these portals. */
  endDiscovery(except: readonly string[]): Promise<void>;
  /**
   * Calls `changed` whenever a discovery service has news, or is there again; until the signal is
   * aborted. @throws CsiError when this node cannot be watched (any more).
   */
  watchDiscovery(changed: () => void, signal: AbortSignal): Promise<void>;

  /** Null: this node has none. @throws CsiError FAILED_PRECONDITION when there are several. */
  disk(uuid: string): Promise<Disk | null>;
  /** Like it, but waits up to `timeoutMs`. */
  waitForDisk(uuid: string, timeoutMs: number, signal: AbortSignal): Promise<Disk | null>;
  /** Waits until it has so many bytes, up to `timeoutMs`; tells what it has then. */
  waitForSize(
    uuid: string,
    sizeBytes: bigint,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<bigint>;
  /** All of a subsystem. */
  disks(subnqn: string): Promise<readonly Disk[]>;
  /**
   * Who has the disk open for himself, in words: a device mapper, a mount of another mount name
   * space. Mounts that {@link mounts} tells of are among them.
   */
  holders(disk: Disk): Promise<readonly string[]>;
  /** Waits until all that was written to it is on the volume. */
  flush(disk: Disk): Promise<void>;

  /**
   * What stands on it.
   *
   * @param narrow look for zeroes only where making an ext4 file system writes last.
   */
  content(disk: Disk, narrow: boolean): Promise<Content>;
  /**
   * Makes a file system. Ask {@link content} first.
   *
   * @param force over what is unfinished, at which a program stops of itself.
   */
  format(disk: Disk, fsType: FsType, force: boolean): Promise<void>;
  /** Checks, and repairs what needs no decision. @throws CsiError INTERNAL when more is wrong. */
  check(disk: Disk, fsType: FsType): Promise<void>;
  /**
   * Makes the file system as large as its disk.
   *
   * @param target where it is mounted.
   */
  grow(disk: Disk, fsType: FsType, target: string): Promise<void>;
  /** What this file system knows of its own errors, in words; null: nothing is wrong. */
  fileSystemErrors(disk: Disk, fsType: string): Promise<string | null>;

  /** In the order in which they were mounted: of two at one place, the latter is seen. */
  mounts(): Promise<readonly Mount[]>;
  mount(request: MountRequest): Promise<void>;
  /** Shows what is at `source`, a folder or a disk's node, at `target` as well. */
  bindMount(source: string, target: string, readOnly: boolean): Promise<void>;
  /** Takes what is seen at the target away. @throws CsiError FAILED_PRECONDITION: it is in use. */
  unmount(target: string): Promise<void>;
  /** Writes all of the file system that is mounted there. */
  sync(target: string): Promise<void>;
  usage(target: string): Promise<Usage>;
  /** Gives all below to the group, unless the top is its already. Follows no links. */
  own(target: string, group: number): Promise<void>;

  /** With links before the last part resolved, as {@link mounts} has paths. */
  resolve(path: string): Promise<string>;
  at(path: string): Promise<At>;
  makeFolder(path: string): Promise<void>;
  makeFile(path: string): Promise<void>;
  /** Only what is empty, and no mount point. */
  remove(path: string): Promise<void>;
}
