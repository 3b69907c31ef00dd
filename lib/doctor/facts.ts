/**
 * What the doctor has seen of a machine: plain data, so that judging it is a pure function and
 * every refusal can be tested on any machine. null stands for "not there" or "cannot be seen".
 */
import type { Controller, Status } from '../api/contract.js';
import type { Config } from '../config/config.js';
import type { Probe } from '../native.js';

/** The daemon's configuration, or why it has none. */
export interface ConfigFacts {
  /** The file; null: defaults and flags alone. */
  file: string | null;
  config: Config;
  /** Why the file is refused; `config` then holds the defaults. */
  problem: string | null;
}

/** Of the process that does the I/O: the daemon, or without one this shell, which may start it. */
export interface ProcessFacts {
  whose: 'daemon' | 'shell';
  uid: number;
  /** RLIMIT_MEMLOCK, bytes; null: unlimited. */
  memlockBytes: bigint | null;
  /** CAP_IPC_LOCK: the limit on locked memory does not count. */
  mayLock: boolean;
  /** RLIMIT_NOFILE's hard limit, which Node.js raises itself to; null: unlimited. */
  openFiles: number | null;
  /** The smallest memory limit of its control groups, bytes; null: none. */
  groupMemoryBytes: bigint | null;
  /** Resident memory, bytes; 0 for a shell. */
  residentBytes: bigint;
}

export interface NumaNode {
  id: number;
  cpus: number[];
}

/** systemd's view of the daemon. */
export interface ServiceFacts {
  /** systemd manages this machine. */
  systemd: boolean;
  /** Its unit is installed. */
  installed: boolean;
  /** It is started at boot. */
  enabled: boolean;
}

export interface SystemFacts {
  kernel: string;
  /** Of Node.js, without the 'v'. */
  node: string;
  /** null: no binary fits this machine; `probeProblem` says so. */
  probe: Probe | null;
  probeProblem: string | null;
  /** kernel.io_uring_disabled and io_uring_group; null before Linux 6.6. */
  ioUringDisabled: number | null;
  ioUringGroup: number | null;
  /** CPUs that this process may use. */
  cpus: number;
  onlineCpus: number[];
  /** Governors in use, each once; empty: the machine shows none, as virtual ones do. */
  governors: string[];
  /** e.g. intel_pstate; null: not shown. */
  governorDriver: string | null;
  numa: NumaNode[];
  availableMemoryBytes: bigint | null;
  /** The word in brackets of transparent_hugepage/enabled. */
  hugePages: string | null;
  clocksource: string | null;
  clock: ClockFacts;
  /** 'loaded', 'available' as a module, or null: this kernel has none. */
  tlsModule: 'loaded' | 'available' | null;
  /** Why the kernel cannot do TLS records; null also when it was not tried. */
  tlsProblem: string | null;
  service: ServiceFacts;
}

/** Who keeps the clock right, and whether it is. null: nobody was found. */
export interface ClockFacts {
  keeper: string | null;
  /** null: its keeper does not say. */
  synchronized: boolean | null;
}

/** A network interface with hardware under it, or a virtual machine's. */
export interface NicFacts {
  name: string;
  driver: string | null;
  mtu: number | null;
  /** Megabits a second; null: not told. */
  speedMbps: number | null;
  duplex: string | null;
  /** operstate of the kernel. */
  state: string;
  numaNode: number | null;
  rxQueues: number;
  /** Most combined queues that it can have; null: not told. */
  maxQueues: number | null;
  /** Receive packet steering is on for a queue. */
  steering: boolean;
  /** By ethtool's names: on or off, and whether that can be changed; null: no ethtool here. */
  offloads: Record<string, { on: boolean; fixed: boolean }> | null;
}

/** A portal's address and what carries it. */
export interface PortalFacts {
  endpoint: string;
  address: string;
  port: number;
  discoveryOnly: boolean;
  /** Interface that has the address; null: none has. 'any' for a wildcard. */
  carrier: string | null;
  loopback: boolean;
  /** Some process of this machine listens on that port. */
  taken: boolean;
}

export interface NetworkFacts {
  /** Those that carry a portal; on a host all that are up. */
  nics: NicFacts[];
  portals: PortalFacts[];
  /** Largest socket buffers, bytes: the third figure of tcp_rmem and tcp_wmem. */
  tcpReceiveBytes: number | null;
  tcpSendBytes: number | null;
  congestionControl: string | null;
  /** net.core.somaxconn. */
  backlog: number | null;
  busyReadUs: number | null;
  busyPollUs: number | null;
}

export interface BlockDeviceFacts {
  /** e.g. nvme0n1. */
  name: string;
  model: string | null;
  /** queue/write_cache: 'write back' or 'write through'. */
  writeCache: string | null;
  /** The one in brackets. */
  scheduler: string | null;
  rotational: boolean;
  logicalBlockBytes: number | null;
  discards: boolean;
  readOnly: boolean;
  numaNode: number | null;
  sizeBytes: bigint | null;
  /** What stands on it, e.g. dm-0; a pool must not. */
  holders: string[];
}

export interface FileSystemFacts {
  /** e.g. ext4. */
  type: string;
  mountPoint: string;
  readOnly: boolean;
  freeBytes: bigint;
  sizeBytes: bigint;
}

export interface PoolFacts {
  /** null: a pool in memory. */
  path: string | null;
  /** What lies there; 'nothing': it is still to be made. */
  kind: 'memory' | 'file' | 'block-device' | 'nothing' | 'other';
  /** Size, or the size that it is to have. */
  sizeBytes: bigint;
  /** What a sparse file takes on its file system. */
  allocatedBytes: bigint;
  /** Why this process may not read and write it (or its folder); null: it may. */
  accessProblem: string | null;
  /** null: not tried. */
  directIo: boolean | null;
  /** null for a block device. */
  fileSystem: FileSystemFacts | null;
  /** The device itself, or the one under its file system; null: none is to be seen. */
  device: BlockDeviceFacts | null;
  /** A block device that is mounted: where. */
  mountedAt: string | null;
}

/** What the daemon says, and whether its portals are reached from here. */
export interface DaemonFacts {
  socket: string;
  /** 'silent': something listens and does not answer. */
  state: 'none' | 'forbidden' | 'silent' | 'answers';
  problem: string | null;
  status: Status | null;
  controllers: Controller[];
  /** By endpoint: null: a connection was taken. */
  reached: { endpoint: string; problem: string | null }[];
  /** Version of this command. */
  version: string;
}

/** The side that serves. */
export interface TargetFacts {
  config: ConfigFacts;
  process: ProcessFacts;
  system: SystemFacts;
  network: NetworkFacts;
  pool: PoolFacts;
  daemon: DaemonFacts;
}

/** A kernel module. */
export type ModuleState = 'loaded' | 'available' | 'missing';

/** A controller of the kernel's NVMe host that comes over TCP. */
export interface HostControllerFacts {
  /** e.g. nvme0. */
  name: string;
  subnqn: string;
  /** As the kernel writes it: traddr=…,trsvcid=…. */
  address: string;
  state: string;
  /** Seconds, 'off', or null where the kernel does not say. */
  ctrlLossTmo: string | null;
}

export interface HostFacts {
  kernel: string;
  modules: { name: string; state: ModuleState }[];
  /** Modules that are loaded at boot, by the files that say so. */
  modulesAtBoot: string[];
  /** nvme_core.multipath; null: nvme_core is not loaded. */
  multipath: boolean | null;
  /** nvme_core.iopolicy. */
  iopolicy: string | null;
  /** Of /etc/nvme; null: the file is not there or cannot be read. */
  hostnqn: string | null;
  hostid: string | null;
  /** The hostnqn is older than this installation's machine ID. */
  identityFromImage: boolean;
  /** nvme-cli's own word; null: it is not installed. */
  nvmeCli: string | null;
  /** What connects again after a boot: its files. */
  autoconnect: { configured: boolean; enabled: boolean };
  controllers: HostControllerFacts[];
  /** Kernel options of the NVMe host, e.g. CONFIG_NVME_HOST_AUTH; null: not told. */
  kernelOptions: Record<string, boolean> | null;
  /** A kubelet runs here. */
  kubernetes: boolean;
  /** Programs that a node of Kubernetes needs and lacks. */
  missingPrograms: string[];
  network: NetworkFacts;
  clock: ClockFacts;
}
