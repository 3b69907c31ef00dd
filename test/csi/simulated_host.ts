/**
 * A small model of what the node's part of the plugin works on: subsystems with volumes, paths and
 * disks of a kernel, mounts and files. It does what they do, and notes what must never happen
 * (a format over data, a disk taken away under a mount) in {@link SimulatedHost.violations}.
 */
import { CsiError } from '../../lib/csi/errors.js';
import type {
  At,
  Content,
  Disk,
  FsType,
  HostIdentity,
  Mount,
  MountRequest,
  NodeHost,
  NvmePath,
  PathOptions,
  PathSecrets,
  Usage,
  VolumeRecord,
} from '../../lib/csi/host/types.js';
import { discoveryNqn } from '../../lib/csi/names.js';

/** What is on a volume, wherever it is attached. */
export type OnVolume =
  | { kind: 'blank' | 'unfinished' }
  /** A cut mkfs.ext4: no signature, and the first block is zero. */
  | { kind: 'half' }
  | { kind: 'other'; what: string }
  | { kind: 'file-system'; fsType: string; sizeBytes: bigint; clean: boolean; group: number };

export interface SimulatedVolume {
  uuid: string;
  sizeBytes: bigint;
  /** As this host has been granted it; null: not at all. */
  access: 'read-write' | 'read-only' | null;
  content: OnVolume;
}

interface Subsystem {
  /** Portals that answer. */
  portals: Set<string>;
  volumes: Map<string, SimulatedVolume>;
}

interface SimulatedMount {
  target: string;
  /** Instance of the disk; null: something else. */
  disk: AttachedDisk | null;
  kind: 'file-system' | 'device';
  fsType: string;
  readOnly: boolean;
}

interface AttachedDisk {
  uuid: string;
  subnqn: string;
  name: string;
  number: string;
  /** As the kernel knows. */
  sizeBytes: bigint;
  gone: boolean;
  superReadOnly: boolean;
  unflushed: boolean;
}

export class SimulatedHost implements NodeHost {
  readonly subsystems = new Map<string, Subsystem>();
  /** What must never happen, and did. */
  readonly violations: string[] = [];
  readonly hostid = '11111111-2222-4333-8444-555555555555';
  readonly #records = new Map<string, VolumeRecord>();
  readonly #files = new Map<string, 'folder' | 'file'>();
  #paths: { subnqn: string; portal: string; controller: string; state: string }[] = [];
  #disks: AttachedDisk[] = [];
  #mounts: SimulatedMount[] = [];
  #count = 0;
  #boots = 1;
  /** Someone outside of this mount name space who has a disk for himself, by its UUID. */
  readonly strangers = new Map<string, string>();
  /** Discovery controllers by their portals, with their states. */
  readonly discovery = new Map<string, string>();
  /** Portals whose discovery services were asked, each time. */
  readonly asked: string[] = [];
  /** Of discovery controllers, those that the plugin made; known to it after a restart too. */
  readonly #kept = new Set<string>();
  readonly #watchers = new Set<() => void>();
  /** What happens when paths are about to be taken away, and still live. */
  whileDisconnecting: () => Promise<void> = () => Promise.resolve();
  readonly tuned = new Map<string, PathOptions>();
  readonly secrets = new Map<string, PathSecrets>();

  /** Adds a volume to a subsystem, which is made when it is new. */
  add(subnqn: string, volume: SimulatedVolume, portals: readonly string[]): SimulatedVolume {
    const subsystem = this.subsystems.get(subnqn) ?? {
      portals: new Set(portals),
      volumes: new Map(),
    };
    this.subsystems.set(subnqn, subsystem);
    subsystem.volumes.set(volume.uuid, volume);
    return volume;
  }

  /** What the CO makes before it calls. */
  addFolder(path: string): void {
    this.#files.set(path, 'folder');
  }

  /** Mounts something that is no volume of ours. */
  mountForeign(target: string): void {
    const [kind, fsType] = ['file-system', 'tmpfs'] as const;
    this.#mounts.push({ target, disk: null, kind, fsType, readOnly: false });
  }

  /** The file system has found an error. */
  failFileSystem(uuid: string): void {
    for (const disk of this.#disks) if (disk.uuid === uuid) disk.superReadOnly = true;
  }

  setPaths(state: string, portal?: string): void {
    for (const path of this.#paths) {
      if (portal === undefined || path.portal === portal) path.state = state;
    }
    for (const at of this.discovery.keys()) {
      if (portal === undefined || at === portal) this.discovery.set(at, state);
    }
  }

  /** The kernel gives a path up. */
  losePath(portal: string): void {
    this.#paths = this.#paths.filter((path) => path.portal !== portal);
  }

  /** The controller takes a volume away, whatever the node does with it. */
  revoke(uuid: string): void {
    this.#volume(uuid).access = null;
    this.#scan();
  }

  /** Power is lost and comes back: what was mounted was not unmounted. */
  reboot(): void {
    for (const mount of this.#mounts) this.#soil(mount);
    this.#boots += 1;
    this.#paths = [];
    this.#disks = [];
    this.#mounts = [];
    this.discovery.clear();
    this.#kept.clear();
    this.tuned.clear();
  }

  #soil({ disk, kind, readOnly }: SimulatedMount): void {
    if (disk === null || kind === 'device' || readOnly || disk.gone) return;
    const { content } = this.#volume(disk.uuid);
    if (content.kind === 'file-system') content.clean = false;
  }

  #volume(uuid: string): SimulatedVolume {
    for (const { volumes } of this.subsystems.values()) {
      const volume = volumes.get(uuid);
      if (volume !== undefined) return volume;
    }
    throw new Error(`there is no volume ${uuid}`);
  }

  /** Everything that can be seen from outside, comparable: without numbers that differ by order. */
  snapshot() {
    return {
      paths: this.#paths.map(({ subnqn, portal, state }) => `${subnqn} ${portal} ${state}`).sort(),
      disks: this.#disks.map(({ uuid, sizeBytes }) => `${uuid} ${sizeBytes}`).sort(),
      mounts: this.#mounts
        .map(
          ({ target, disk, kind, fsType, readOnly }) =>
            `${target} ${kind} ${fsType} ${disk?.uuid} ${readOnly ? 'ro' : 'rw'} ` +
            (disk?.gone === true ? 'gone' : ''),
        )
        .sort(),
      files: [...this.#files].map(([path, kind]) => `${path} ${kind}`).sort(),
      records: [...this.#records.values()]
        .map((record) => ({ ...record, bootId: record.bootId === this.#bootId() }))
        .sort((a, b) => (a.volumeId < b.volumeId ? -1 : 1)),
      contents: [...this.subsystems.values()]
        .flatMap(({ volumes }) => [...volumes.values()])
        .map(({ uuid, content }) => ({ uuid, ...content }))
        .sort((a, b) => (a.uuid < b.uuid ? -1 : 1)),
      violations: [...this.violations],
    };
  }

  #bootId(): string {
    return `boot-${this.#boots}`;
  }

  /** Live paths show what is granted; without any, what was there stays. */
  #scan(): void {
    const granted = new Map<string, SimulatedVolume>();
    for (const [subnqn, { volumes }] of this.subsystems) {
      const paths = this.#paths.filter((path) => path.subnqn === subnqn);
      if (paths.length === 0) continue;
      const live = paths.some(({ state }) => state === 'live');
      for (const volume of volumes.values()) {
        const known = this.#disks.find(({ uuid }) => uuid === volume.uuid);
        if (live ? volume.access !== null : known !== undefined) granted.set(volume.uuid, volume);
        if (!live || volume.access === null || known !== undefined) continue;
        const index = this.#count++;
        this.#disks.push({
          uuid: volume.uuid,
          subnqn,
          name: `/dev/nvme0n${index}`,
          number: `259:${index}`,
          sizeBytes: volume.sizeBytes,
          gone: false,
          superReadOnly: false,
          unflushed: false,
        });
      }
    }
    for (const disk of this.#disks) if (!granted.has(disk.uuid)) disk.gone = true;
    this.#disks = this.#disks.filter(({ gone }) => !gone);
  }

  async identity(): Promise<HostIdentity> {
    const hostnqn = `nqn.2014-08.org.nvmexpress:uuid:${this.hostid}`;
    return { hostnqn, hostid: this.hostid, bootId: this.#bootId() };
  }

  async records(): Promise<readonly VolumeRecord[]> {
    return [...this.#records.values()];
  }

  async remember(record: VolumeRecord): Promise<void> {
    this.#records.set(record.volumeId, record);
  }

  async forget(volumeId: string): Promise<void> {
    this.#records.delete(volumeId);
  }

  async paths(): Promise<readonly NvmePath[]> {
    const services = [...this.discovery].map(([portal, state]) => {
      return { subnqn: discoveryNqn, portal, controller: `of ${portal}`, state };
    });
    return [...this.#paths, ...services].map(({ subnqn, portal, controller, state }) => {
      const [address = '', port = ''] = portal.split(':');
      const discovery = subnqn === discoveryNqn;
      return { subnqn, controller, state, address, port: Number(port), discovery };
    });
  }

  async connect(
    to: { readonly subnqn: string; readonly address: string; readonly port: number },
    _options: PathOptions,
    secrets: PathSecrets,
    signal: AbortSignal,
  ): Promise<void> {
    signal.throwIfAborted();
    const portal = `${to.address}:${to.port}`;
    if (this.#paths.some((path) => path.subnqn === to.subnqn && path.portal === portal)) return;
    const subsystem = this.subsystems.get(to.subnqn);
    if (subsystem?.portals.has(portal) !== true) {
      throw new CsiError('UNAVAILABLE', `cannot connect to ${to.subnqn} at ${portal}: refused`);
    }
    this.secrets.set(to.subnqn, secrets);
    const controller = `nvme${this.#count++}`;
    this.#paths.push({ subnqn: to.subnqn, portal, controller, state: 'live' });
    this.#scan();
  }

  async waitForPath(subnqn: string): Promise<boolean> {
    return this.#paths.some((path) => path.subnqn === subnqn && path.state === 'live');
  }

  async disconnect(subnqn: string): Promise<void> {
    await this.whileDisconnecting();
    for (const disk of this.#disks.filter((each) => each.subnqn === subnqn)) {
      if (this.#mounts.some((mount) => mount.disk === disk)) {
        this.violations.push(`${disk.uuid} was mounted when ${subnqn} was disconnected`);
      }
      if (disk.unflushed) this.violations.push(`${disk.uuid} was not flushed`);
    }
    this.#paths = this.#paths.filter((path) => path.subnqn !== subnqn);
    this.#scan();
  }

  async tune(subnqn: string, options: PathOptions): Promise<void> {
    this.tuned.set(subnqn, options);
  }

  async rescan(subnqn: string): Promise<void> {
    this.#scan();
    for (const disk of this.#disks) {
      if (disk.subnqn === subnqn) disk.sizeBytes = this.#volume(disk.uuid).sizeBytes;
    }
  }

  /** Each portal of the subsystem tells of all that answer. */
  async discover(
    { subnqn, address, port }: NvmePath,
    _options: PathOptions,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    signal.throwIfAborted();
    const portal = `${address}:${port}`;
    this.asked.push(portal);
    if (!this.discovery.has(portal)) {
      this.discovery.set(portal, 'live');
      this.#kept.add(portal);
    }
    if (this.discovery.get(portal) !== 'live') {
      throw new CsiError('UNAVAILABLE', `${portal} tells no portals`);
    }
    return [...(this.subsystems.get(subnqn)?.portals ?? [])];
  }

  async endDiscovery(except: readonly string[]): Promise<void> {
    for (const portal of this.#kept) {
      if (except.includes(portal)) continue;
      this.#kept.delete(portal);
      this.discovery.delete(portal);
    }
  }

  async watchDiscovery(changed: () => void, signal: AbortSignal): Promise<void> {
    this.#watchers.add(changed);
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    this.#watchers.delete(changed);
  }

  /** A discovery service says that its log has changed. */
  tellNews(): void {
    for (const changed of this.#watchers) changed();
  }

  #factsOf({ name, number, uuid, subnqn, sizeBytes }: AttachedDisk): Disk {
    const readOnly = this.#volume(uuid).access === 'read-only';
    return { device: name, number, uuid, subnqn, sizeBytes, readOnly };
  }

  async disk(uuid: string): Promise<Disk | null> {
    const disk = this.#disks.find((each) => each.uuid === uuid);
    return disk === undefined ? null : this.#factsOf(disk);
  }

  async waitForDisk(uuid: string, _timeoutMs: number, signal: AbortSignal): Promise<Disk | null> {
    signal.throwIfAborted();
    this.#scan();
    return this.disk(uuid);
  }

  async waitForSize(uuid: string): Promise<bigint> {
    return (await this.disk(uuid))?.sizeBytes ?? 0n;
  }

  async disks(subnqn: string): Promise<readonly Disk[]> {
    const disks = this.#disks.filter((each) => each.subnqn === subnqn);
    return disks.map((disk) => this.#factsOf(disk));
  }

  async holders({ uuid, number }: Disk): Promise<readonly string[]> {
    const mounted = this.#mounts.some(
      ({ disk, kind }) => disk?.number === number && kind === 'file-system',
    );
    const stranger = this.strangers.get(uuid);
    return [...(mounted ? ['a mount'] : []), ...(stranger === undefined ? [] : [stranger])];
  }

  async flush({ uuid }: Disk): Promise<void> {
    for (const disk of this.#disks) if (disk.uuid === uuid) disk.unflushed = false;
  }

  async content({ uuid }: Disk, narrow: boolean): Promise<Content> {
    const { content } = this.#volume(uuid);
    if (content.kind === 'half') {
      return narrow ? { kind: 'blank' } : { kind: 'other', what: 'bytes that are not zero' };
    }
    return content;
  }

  async format({ uuid }: Disk, fsType: FsType, force: boolean): Promise<void> {
    const volume = this.#volume(uuid);
    const { kind } = volume.content;
    if (kind === 'file-system' || kind === 'other') {
      this.violations.push(`${uuid} was formatted, and had ${kind}`);
    }
    if (kind === 'unfinished' && !force) throw new CsiError('INTERNAL', 'mkfs: use -f');
    const { sizeBytes } = volume;
    volume.content = { kind: 'file-system', fsType, sizeBytes, clean: true, group: 0 };
  }

  /** What making a file system leaves that was cut in the middle. */
  halfFormat(uuid: string, fsType: string): void {
    this.#volume(uuid).content = { kind: fsType === 'ext4' ? 'half' : 'unfinished' };
  }

  async check({ uuid, number, readOnly }: Disk): Promise<void> {
    const { content } = this.#volume(uuid);
    if (readOnly) throw new CsiError('INTERNAL', 'fsck: the disk is write-protected');
    if (this.#mounts.some(({ disk }) => disk?.number === number)) {
      throw new CsiError('INTERNAL', 'fsck: it is mounted');
    }
    if (content.kind === 'file-system') content.clean = true;
  }

  async grow({ uuid, number }: Disk): Promise<void> {
    const { content } = this.#volume(uuid);
    const disk = this.#disks.find((each) => each.number === number);
    if (content.kind === 'file-system' && disk !== undefined) content.sizeBytes = disk.sizeBytes;
  }

  async fileSystemErrors(): Promise<string | null> {
    return null;
  }

  async mounts(): Promise<readonly Mount[]> {
    return this.#mounts.map(({ target, disk, kind, fsType, readOnly }) => ({
      target,
      number: disk?.number ?? null,
      kind,
      gone: disk?.gone ?? false,
      root: kind === 'device' ? (disk?.name ?? '') : '/',
      fsType,
      readOnly,
      superReadOnly: readOnly || (disk?.superReadOnly ?? false),
    }));
  }

  async mount({ disk, target, fsType, readOnly }: MountRequest): Promise<void> {
    const attached = this.#disks.find(({ number }) => number === disk.number);
    const { content } = this.#volume(disk.uuid);
    if (attached === undefined || content.kind !== 'file-system' || content.fsType !== fsType) {
      throw new CsiError('INTERNAL', 'mount: wrong fs type, bad option, bad superblock');
    }
    if (this.#files.get(target) !== 'folder') throw new CsiError('INTERNAL', 'mount: no folder');
    if (!content.clean && !readOnly) this.violations.push(`${disk.uuid} was mounted unchecked`);
    if (this.#mounts.some((each) => each.target === target && each.disk === attached)) return;
    this.#mounts.push({ target, disk: attached, kind: 'file-system', fsType, readOnly });
  }

  async bindMount(source: string, target: string, readOnly: boolean): Promise<void> {
    const device = this.#disks.find(({ name }) => name === source);
    const staged = this.#mounts.findLast((mount) => mount.target === source);
    const disk = device ?? staged?.disk ?? null;
    const kind = device === undefined ? 'file-system' : 'device';
    if (this.#files.get(target) !== (kind === 'device' ? 'file' : 'folder')) {
      throw new CsiError('INTERNAL', `mount: ${target} is of another kind`);
    }
    if (device !== undefined) device.unflushed = true;
    const seen = this.#mounts.findLast((mount) => mount.target === target);
    if (seen !== undefined && seen.disk === disk && seen.kind === kind) {
      seen.readOnly ||= readOnly;
      return;
    }
    const fsType = device === undefined ? (staged?.fsType ?? 'ext4') : 'devtmpfs';
    const inherited = staged?.readOnly === true && device === undefined;
    this.#mounts.push({ target, disk, kind, fsType, readOnly: readOnly || inherited });
  }

  async unmount(target: string): Promise<void> {
    const index = this.#mounts.findLastIndex((mount) => mount.target === target);
    if (index >= 0) this.#mounts.splice(index, 1);
  }

  async sync(): Promise<void> {
    // What was written is on the volume at once.
  }

  async usage(target: string): Promise<Usage> {
    const mount = this.#mounts.findLast((each) => each.target === target);
    if (mount === undefined) throw new CsiError('INTERNAL', 'statfs: not mounted');
    if (mount.disk?.superReadOnly === true) throw new CsiError('INTERNAL', 'statfs: EIO');
    return {
      totalBytes: 1000n,
      availableBytes: 600n,
      usedBytes: 400n,
      totalInodes: 100n,
      availableInodes: 90n,
    };
  }

  async own(target: string, group: number): Promise<void> {
    const mount = this.#mounts.findLast((each) => each.target === target);
    if (mount === undefined || mount.disk === null) throw new CsiError('INTERNAL', 'not mounted');
    const { content } = this.#volume(mount.disk.uuid);
    if (content.kind === 'file-system') content.group = group;
  }

  async resolve(path: string): Promise<string> {
    return path;
  }

  async at(path: string): Promise<At> {
    const seen = this.#mounts.findLast((mount) => mount.target === path);
    if (seen?.kind === 'device') return 'other';
    return this.#files.get(path) ?? 'nothing';
  }

  async makeFolder(path: string): Promise<void> {
    this.#files.set(path, 'folder');
  }

  async makeFile(path: string): Promise<void> {
    this.#files.set(path, 'file');
  }

  async remove(path: string): Promise<void> {
    if (this.#mounts.some(({ target }) => target === path)) {
      throw new CsiError('FAILED_PRECONDITION', `'${path}' cannot be removed: EBUSY`);
    }
    this.#files.delete(path);
  }
}

/** How a verb is cut. */
export const cutModes = ['error-before', 'error-after', 'kill-before', 'kill-after'] as const;
export type CutMode = (typeof cutModes)[number] | 'error-half' | 'kill-half';

/** Cuts the Nth verb; counts them otherwise. */
export class Cutter {
  count = 0;
  /** Which one was cut. */
  cut: string | null = null;
  #dead = false;
  #at = 0;
  #mode: CutMode = 'error-before';

  constructor(private readonly host: SimulatedHost) {}

  /** Whether the plugin was killed. */
  get dead(): boolean {
    return this.#dead;
  }

  /** Cuts the verb with this number, counted from now. */
  arm(at: number, mode: CutMode): void {
    this.count = 0;
    this.#at = at;
    this.#mode = mode;
  }

  /** Another process: it knows nothing of the cut. */
  disarm(): void {
    this.#at = 0;
    this.count = 0;
  }

  /** `object`, whose async methods can be cut. Those of a process that was killed do nothing. */
  wrap<T extends object>(object: T): T {
    return new Proxy(object, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== 'function') return member;
        return async (...args: unknown[]) => {
          const run = () => Reflect.apply(member, target, args) as Promise<unknown>;
          return this.#step(String(name), args, run);
        };
      },
    });
  }

  async #step(name: string, args: unknown[], run: () => Promise<unknown>): Promise<unknown> {
    if (this.#dead) throw new Error('this process has been killed');
    this.count += 1;
    if (this.count !== this.#at) return run();
    this.cut = name;
    if (this.#mode.startsWith('kill')) this.#dead = true;
    if (this.#mode.endsWith('after')) await run();
    if (this.#mode.endsWith('half') && name === 'format') {
      const [{ uuid }, fsType] = args as [Disk, FsType];
      this.host.halfFormat(uuid, fsType);
    }
    throw new CsiError('INTERNAL', `${name} was cut`);
  }
}
