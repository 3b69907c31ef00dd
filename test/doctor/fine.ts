/** Facts of machines on which nothing is to be changed; tests break one thing at a time. */
import type { Status } from '../../lib/api/contract.js';
import { loadConfig } from '../../lib/config/load.js';
import type { HostFacts, NicFacts, TargetFacts } from '../../lib/doctor/facts.js';

const gib = 1n << 30n;

export const fineNic: NicFacts = {
  name: 'ens1',
  driver: 'mlx5_core',
  mtu: 9000,
  speedMbps: 100_000,
  duplex: 'full',
  state: 'up',
  numaNode: 0,
  rxQueues: 8,
  maxQueues: 16,
  steering: false,
  offloads: {
    'tcp-segmentation-offload': { on: true, fixed: false },
    'generic-receive-offload': { on: true, fixed: false },
    'rx-checksumming': { on: true, fixed: false },
    'large-receive-offload': { on: false, fixed: true },
  },
};

export async function fineTarget(): Promise<TargetFacts> {
  const config = await loadConfig({
    file: null,
    flags: { target: { portals: ['192.0.2.7:4420'], mdns: true }, runtime: { reactors: 2 } },
    flagNames: new Map(),
    cwd: '/srv',
    environment: {},
  });
  return {
    config: { file: '/etc/ashlar/ashlar.toml', config, problem: null },
    process: {
      whose: 'daemon',
      uid: 998,
      memlockBytes: null,
      mayLock: false,
      openFiles: 1_048_576,
      groupMemoryBytes: null,
      residentBytes: 0n,
    },
    system: {
      kernel: '6.1.0-28-amd64',
      node: '20.18.1',
      probe: {
        kernelRelease: '6.1.0-28-amd64',
        ioUring: 'ok',
        problem: null,
        features: ['coop-taskrun', 'single-issuer', 'defer-taskrun'],
        memlockBytes: null,
        cpus: 8,
        crc32c: 'sse4.2',
      },
      probeProblem: null,
      ioUringDisabled: 0,
      ioUringGroup: null,
      cpus: 8,
      onlineCpus: [0, 1, 2, 3, 4, 5, 6, 7],
      governors: ['performance'],
      governorDriver: 'intel_pstate',
      numa: [
        { id: 0, cpus: [0, 1, 2, 3] },
        { id: 1, cpus: [4, 5, 6, 7] },
      ],
      availableMemoryBytes: 16n * gib,
      hugePages: 'madvise',
      clocksource: 'tsc',
      clock: { keeper: 'chrony', synchronized: true },
      tlsModule: 'loaded',
      tlsProblem: null,
      service: { systemd: true, installed: true, enabled: true },
    },
    network: {
      nics: [fineNic],
      portals: [
        {
          endpoint: '192.0.2.7:4420',
          address: '192.0.2.7',
          port: 4420,
          discoveryOnly: false,
          carrier: 'ens1',
          loopback: false,
          taken: true,
        },
      ],
      tcpReceiveBytes: 6_291_456,
      tcpSendBytes: 4_194_304,
      congestionControl: 'cubic',
      backlog: 4096,
      busyReadUs: 0,
      busyPollUs: 0,
    },
    pool: {
      path: '/srv/pool.ashlar',
      kind: 'file',
      sizeBytes: 64n * gib,
      allocatedBytes: 4n * gib,
      accessProblem: null,
      directIo: true,
      fileSystem: {
        type: 'xfs',
        mountPoint: '/srv',
        readOnly: false,
        freeBytes: 100n * gib,
        sizeBytes: 200n * gib,
      },
      device: {
        name: 'nvme0n1',
        model: 'Fine 9000',
        writeCache: 'write through',
        scheduler: 'none',
        rotational: false,
        logicalBlockBytes: 512,
        discards: true,
        readOnly: false,
        numaNode: 0,
        sizeBytes: 200n * gib,
        holders: [],
      },
      mountedAt: null,
    },
    daemon: {
      socket: '/run/ashlar/ashlar.sock',
      state: 'answers',
      problem: null,
      status: fineStatus(),
      controllers: [],
      reached: [{ endpoint: '192.0.2.7:4420', problem: null }],
      version: '0.1.0',
    },
  };
}

/** Pins its reactors where the network card is, so that NUMA is fine too. */
export function pinned(facts: TargetFacts, cpus: number[]): TargetFacts {
  facts.config.config.runtime.cpus = cpus;
  return facts;
}

function fineStatus(): Status {
  const reactor = {
    turns: 1,
    sleeps: 1,
    busyNs: 1,
    connections: 0,
    commands: 0,
    readBytes: 0,
    writtenBytes: 0,
    buffersInUse: 0,
    ioPathAllocations: 0,
  };
  const device = {
    uuid: '00000000-0000-4000-8000-000000000002',
    index: 0,
    path: '/srv/pool.ashlar',
    state: 'online' as const,
    sizeBytes: 1000,
    freeBytes: 900,
    readErrors: 0,
    writeErrors: 0,
  };
  return {
    state: 'serving',
    problem: null,
    version: '0.1.0',
    pid: 1,
    startedAt: '2026-01-01T00:00:00.000Z',
    pools: [
      {
        name: 'pool',
        uuid: '00000000-0000-4000-8000-000000000001',
        device: { kind: 'file', path: '/srv/pool.ashlar' },
        state: 'healthy',
        problem: null,
        devices: [device],
        sizeBytes: 1000,
        freeBytes: 900,
        reservedBytes: 0,
        availableBytes: 900,
        dataBytes: 90,
        metadataBytes: 10,
        reclaimingBytes: 0,
        reclaimingLayers: 0,
        hiddenLayers: 0,
        provisionedBytes: 0,
        chunkBytes: 65_536,
        layers: 0,
        mapMemoryBytes: 0,
        catalogRecords: 0,
        journalBytes: 0,
        journalUsedBytes: 0,
        journalSequence: 0,
        checkpointSequence: 0,
        commits: 0,
        checkpoints: 0,
        replayedRecords: 0,
        formatVersion: 1,
        atomicWriteBytes: 4096,
      },
    ],
    portals: [
      {
        portalId: 1,
        endpoint: '192.0.2.7:4420',
        transport: 'tcp',
        address: '192.0.2.7',
        port: 4420,
        discoveryOnly: false,
        tls: 'none',
        origin: 'configured',
        drained: false,
        problem: null,
        controllers: 0,
        ana: [],
      },
    ],
    reactors: [reactor, reactor],
    tls: {
      mode: 'none',
      records: 'process',
      problem: null,
      kernelConnections: 0,
      processConnections: 0,
      refused: 0,
    },
    tenants: 1,
    volumes: 0,
    snapshots: 0,
    controllers: 0,
  };
}

export async function fineHost(): Promise<HostFacts> {
  const { network } = await fineTarget();
  return {
    kernel: '6.12.0-1-amd64',
    modules: ['nvme-core', 'nvme-fabrics', 'nvme-tcp'].map((name) => ({ name, state: 'loaded' })),
    modulesAtBoot: ['nvme-tcp'],
    multipath: true,
    iopolicy: 'round-robin',
    hostnqn: 'nqn.2014-08.org.nvmexpress:uuid:00000000-0000-4000-8000-00000000000a',
    hostid: '00000000-0000-4000-8000-00000000000a',
    identityFromImage: false,
    nvmeCli: '2.13',
    autoconnect: { configured: true, enabled: true },
    controllers: [
      {
        name: 'nvme1',
        subnqn: 'nqn.2026-01.dev.ashlar:00000000-0000-4000-8000-00000000000b',
        address: 'traddr=192.0.2.7,trsvcid=4420',
        state: 'live',
        ctrlLossTmo: 'off',
      },
    ],
    kernelOptions: { CONFIG_NVME_HOST_AUTH: true, CONFIG_NVME_TCP_TLS: true },
    kubernetes: true,
    missingPrograms: [],
    network,
    clock: { keeper: 'chrony', synchronized: true },
  };
}
