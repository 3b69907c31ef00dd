/** Judges kernel, limits, memory, processors and clock. */
import { defaultBufferBytes } from '../config/config.js';
import { formatSizeShort } from '../config/units.js';
import type { ClockFacts, SystemFacts, TargetFacts } from './facts.js';
import { Check, type Finding, listed, sysctlFix } from './findings.js';

/** package.json's `engines`; a test compares them. */
export const leastNode = '20.18.1';

export function judgeSystem(facts: TargetFacts): Finding[] {
  return [
    judgeNode(facts.system),
    judgeIoUring(facts),
    ...judgeIoUringSetting(facts),
    judgeMemlock(facts),
    judgeOpenFiles(facts),
    judgeMemory(facts),
    judgeGovernor(facts.system),
    judgeHugePages(facts.system),
    judgeNuma(facts),
    ...judgePins(facts),
    judgeClocksource(facts.system),
    judgeClock(facts.system.clock),
    judgeTls(facts),
    ...judgeService(facts),
  ];
}

/** Reactors that the daemon has, or will. */
export function reactorCount({ daemon, config, system }: TargetFacts): number {
  const running = daemon.status?.reactors.length;
  return running ?? config.config.runtime.reactors ?? Math.min(8, Math.max(1, system.cpus - 1));
}

function judgeNode({ node }: SystemFacts): Finding {
  const check = new Check('node', 'Node.js');
  const [found = [], least = []] = [node, leastNode].map((text) => text.split('.').map(Number));
  const at = found.findIndex((part, index) => part !== least[index]);
  if (at < 0 || (found[at] ?? 0) > (least[at] ?? 0)) return check.ok(node);
  return check.fail(node, `Ashlar needs ${leastNode} or newer.`, [
    'curl -fsSL https://deb.nodesource.com/setup_22.x | bash - && apt-get install nodejs',
  ]);
}

function judgeIoUring({ system }: TargetFacts): Finding {
  const check = new Check('io-uring', 'io_uring');
  const { probe, probeProblem, kernel } = system;
  if (probe === null) {
    return check.fail(
      probeProblem ?? 'the native part cannot be loaded',
      'All input and output is done by the native part of Ashlar.',
      ['npm rebuild ashlar  # or install the package for this machine again'],
    );
  }
  if (probe.problem !== null) {
    const fix = {
      'kernel-too-old': ['apt-get install linux-image-amd64  # Linux 6.1 or newer, then reboot'],
      missing: ['zgrep CONFIG_IO_URING /proc/config.gz  # must be y: use another kernel'],
      forbidden:
        (system.ioUringDisabled ?? 0) > 0
          ? [sysctlFix('kernel.io_uring_disabled', '0')]
          : ['docker run --security-opt seccomp=deploy/docker/seccomp.json …'],
      ok: [],
    }[probe.ioUring];
    return check.fail(probe.problem, 'The daemon cannot start: all its I/O goes that way.', fix);
  }
  if (!probe.features.includes('defer-taskrun')) {
    return check.warn(
      `works, on Linux ${kernel}`,
      'Linux 6.1 and newer take less CPU time for each I/O (DEFER_TASKRUN).',
      ['apt-get install linux-image-amd64  # Linux 6.1 or newer, then reboot'],
    );
  }
  return check.ok(`works, on Linux ${kernel}`);
}

/** What root may, the user of the service may not. */
function judgeIoUringSetting({ system, process }: TargetFacts): Finding[] {
  const { ioUringDisabled: setting, probe } = system;
  if (setting === null || probe?.problem !== null) return [];
  const check = new Check('io-uring-setting', 'io_uring for the service');
  if (setting === 0) return [check.ok('kernel.io_uring_disabled is 0: everybody may use it')];
  if (process.whose === 'daemon') {
    return [check.ok(`kernel.io_uring_disabled is ${setting}, and the daemon may use it`)];
  }
  return [
    check.warn(
      `kernel.io_uring_disabled is ${setting}: root may use it, and group ${system.ioUringGroup}`,
      "The service's own user may not, so it will not start.",
      [sysctlFix('kernel.io_uring_group', '$(getent group ashlar | cut -d: -f3)')],
    ),
  ];
}

/** The limits of a service that does not run are its unit's; this shell knows nothing of them. */
function limitsUnseen({ process, system }: TargetFacts): boolean {
  return process.whose === 'shell' && system.service.installed;
}

const unseen = "the service's own, to be seen while it runs";

/** How a limit of the process is raised. */
function limitFix(facts: TargetFacts, directive: string, shell: string): string[] {
  return facts.system.service.installed
    ? [`systemctl edit ashlar  # [Service] ${directive}, then: systemctl restart ashlar`]
    : [shell];
}

/** Without a daemon only the limits of this shell are to be seen; a service has its own. */
function whose(facts: TargetFacts): string {
  return facts.process.whose === 'daemon' ? '' : ' in this shell';
}

function judgeMemlock(facts: TargetFacts): Finding {
  const check = new Check('memlock', 'locked memory');
  const { memlockBytes, mayLock } = facts.process;
  const reactors = reactorCount(facts);
  const asked = facts.config.config.runtime.bufferBytes;
  const need = BigInt(reactors) * (asked ?? defaultBufferBytes);
  if (limitsUnseen(facts)) return check.unknown(unseen);
  if (mayLock) return check.ok('unlimited by right (CAP_IPC_LOCK)');
  if (memlockBytes === null) return check.ok('unlimited');
  const limit = formatSizeShort(memlockBytes);
  if (memlockBytes >= need) return check.ok(`${limit}, ${formatSizeShort(need)} needed`);
  const found = `${limit}${whose(facts)}, and ${formatSizeShort(need)} of I/O buffers to be locked`;
  const fix = limitFix(facts, 'LimitMEMLOCK=infinity', 'ulimit -l unlimited');
  return asked === null
    ? check.warn(found, 'They are not, which costs CPU time with every I/O.', fix)
    : check.fail(found, 'The daemon does not start: [runtime] buffers asks for exactly that.', fix);
}

/** A host with many processors has 129 connections; 100 such hosts fit. */
const wantedFiles = 16_384;

function judgeOpenFiles(facts: TargetFacts): Finding {
  const check = new Check('open-files', 'open files');
  const { openFiles } = facts.process;
  if (limitsUnseen(facts)) return check.unknown(unseen);
  if (openFiles === null) return check.ok('unlimited');
  if (openFiles >= wantedFiles) return check.ok(`${openFiles}`);
  return check.warn(
    `${openFiles}${whose(facts)}`,
    `Each connection is one, and a host has up to 129. Beyond ${openFiles - 64} hosts are refused.`,
    limitFix(facts, 'LimitNOFILE=1048576', 'ulimit -n 1048576'),
  );
}

/** Node.js, its heap and the program; measured, with no connection. */
const programBytes = 110n << 20n;

function judgeMemory(facts: TargetFacts): Finding {
  const check = new Check('memory', 'memory');
  const { runtime, pool } = facts.config.config;
  const held = facts.pool.kind === 'memory' ? facts.pool.sizeBytes : 0n;
  const buffers = BigInt(reactorCount(facts)) * (runtime.bufferBytes ?? defaultBufferBytes);
  const need = buffers + pool.mapCacheBytes + programBytes + held;
  const { availableMemoryBytes } = facts.system;
  const { groupMemoryBytes, residentBytes } = facts.process;
  if (groupMemoryBytes !== null && groupMemoryBytes < need) {
    return check.fail(
      `its control group allows ${formatSizeShort(groupMemoryBytes)}, ` +
        `${formatSizeShort(need)} needed`,
      'The kernel kills the daemon when it gets there.',
      ['systemctl set-property ashlar MemoryMax=infinity  # or smaller [pool] mapCache'],
    );
  }
  if (availableMemoryBytes === null) return check.unknown('not told');
  // A daemon that runs has taken some of it already.
  const room = availableMemoryBytes + residentBytes;
  if (room >= need) {
    return check.ok(`${formatSizeShort(room)} for ${formatSizeShort(need)} at most`);
  }
  return check.warn(
    `${formatSizeShort(room)} available, up to ${formatSizeShort(need)} needed`,
    'The machine swaps, or kills the daemon, once maps and buffers are in use.',
    ['[pool] mapCache = "64MiB"  # or [runtime] buffers, or fewer reactors'],
  );
}

/** Those that follow the load by the processor's own hardware are fine as they are. */
const hardwareDrivers = ['intel_pstate', 'amd-pstate-epp'];

function judgeGovernor({ governors, governorDriver }: SystemFacts): Finding {
  const check = new Check('cpu-governor', 'CPU governor');
  if (governors.length === 0) return check.ok('none: a virtual machine, or fixed by firmware');
  const found = `${listed(governors)}${governorDriver === null ? '' : ` (${governorDriver})`}`;
  const slow = governors.filter((name) => name !== 'performance');
  if (slow.length === 0) return check.ok(found);
  const mild = hardwareDrivers.includes(governorDriver ?? '');
  return check.warn(
    found,
    'Reactors sleep between I/Os, so the clock drops and each wake-up is ' +
      `${mild ? 'a little' : 'much'} later.`,
    ['cpupower frequency-set -g performance'],
  );
}

function judgeHugePages({ hugePages }: SystemFacts): Finding {
  const check = new Check('huge-pages', 'huge pages');
  if (hugePages === null) return check.unknown('this kernel does not say');
  if (hugePages !== 'never') return check.ok(hugePages);
  return check.warn('never', 'Maps and buffers ask for them; without, each look-up costs more.', [
    'echo madvise > /sys/kernel/mm/transparent_hugepage/enabled',
  ]);
}

/** Nodes of what the daemon talks to: its network cards and the device of its pool. */
function judgeNuma(facts: TargetFacts): Finding {
  const check = new Check('numa', 'NUMA');
  const { numa } = facts.system;
  if (numa.length < 2) return check.ok('one node');
  const nic = facts.network.nics.find(({ numaNode }) => numaNode !== null);
  const { cpus } = facts.config.config.runtime;
  const home = numa.find(({ id }) => id === nic?.numaNode);
  if (nic === undefined || home === undefined) {
    return cpus === null
      ? check.unknown(`${numa.length} nodes, and no network card that says where it is`)
      : check.ok(`${numa.length} nodes, reactors pinned`);
  }
  const count = reactorCount(facts);
  const fix = [`[runtime] cpus = [${home.cpus.slice(0, count).join(', ')}]`];
  if (cpus === null) {
    return check.warn(
      `${numa.length} nodes, reactors not pinned; ${nic.name} is on node ${home.id}`,
      'I/O that crosses between nodes takes longer, and how long differs from second to second.',
      fix,
    );
  }
  const away = cpus.filter((cpu) => !home.cpus.includes(cpu));
  if (away.length === 0) return check.ok(`reactors are with ${nic.name} on node ${home.id}`);
  return check.warn(
    `${nic.name} is on node ${home.id}, CPU ${listed(away.map(String))} is not`,
    'Each byte that these reactors move crosses between nodes.',
    fix,
  );
}

function judgePins({ config, system }: TargetFacts): Finding[] {
  const { cpus } = config.config.runtime;
  if (cpus === null || system.onlineCpus.length === 0) return [];
  const check = new Check('reactor-cpus', 'reactor CPUs');
  const gone = cpus.filter((cpu) => !system.onlineCpus.includes(cpu));
  if (gone.length === 0) return [check.ok(cpus.join(', '))];
  return [
    check.fail(
      `CPU ${listed(gone.map(String))} is not online`,
      'The daemon does not start: its reactors cannot be pinned there.',
      [`[runtime] cpus = [${system.onlineCpus.slice(0, cpus.length).join(', ')}]`],
    ),
  ];
}

const quickClocks = ['tsc', 'kvm-clock', 'arch_sys_counter', 'hyperv_clocksource_tsc_page'];

function judgeClocksource({ clocksource }: SystemFacts): Finding {
  const check = new Check('clocksource', 'clock source');
  if (clocksource === null) return check.unknown('this kernel does not say');
  if (quickClocks.includes(clocksource)) return check.ok(clocksource);
  return check.warn(
    clocksource,
    'Each look at the time is a system call, and reactors look often.',
    [
      'cat /sys/devices/system/clocksource/clocksource0/available_clocksource  # tsc if it is there',
    ],
  );
}

export function judgeClock({ keeper, synchronized }: ClockFacts): Finding {
  const check = new Check('clock', 'clock');
  const why = 'Schedules, certificates, and the times in logs go by it.';
  if (keeper === null) {
    return check.warn('nobody is seen to keep it', why, ['apt-get install chrony']);
  }
  if (synchronized === true) return check.ok(`kept by ${keeper}`);
  if (synchronized === null) return check.ok(`${keeper} runs`);
  return check.warn(`${keeper} runs and is not synchronized`, why, [
    keeper === 'chrony' ? 'chronyc sources -v' : 'timedatectl timesync-status',
  ]);
}

function judgeTls({ config, system, daemon }: TargetFacts): Finding {
  const check = new Check('ktls', 'TLS');
  const mode = daemon.status?.tls.mode ?? config.config.target.tls;
  if (mode === 'none') return check.ok('not used');
  if (config.config.target.ktls === 'off') return check.ok(`${mode}, records by the process`);
  const why = 'The process does the records itself: about a copy more of each byte.';
  if (system.tlsModule === 'available') {
    return check.warn(`${mode}, and the kernel has its module not loaded`, why, [
      'modprobe tls && echo tls > /etc/modules-load.d/ashlar.conf && systemctl restart ashlar',
    ]);
  }
  const problem = system.tlsModule === null ? 'this kernel has no TLS' : system.tlsProblem;
  if (problem === null) return check.ok(`${mode}, records by the kernel`);
  return check.warn(`${mode}, records by the process: ${problem}`, why, [
    'target.ktls = "off"  # if that is as it shall be; a kernel with CONFIG_TLS otherwise',
  ]);
}

function judgeService({ system }: TargetFacts): Finding[] {
  const { systemd, installed, enabled } = system.service;
  if (!systemd || !installed) return [];
  const check = new Check('service', 'service');
  if (enabled) return [check.ok('starts at boot')];
  return [
    check.warn('ashlar.service is installed and not enabled', 'Nothing serves after a boot.', [
      'systemctl enable --now ashlar',
    ]),
  ];
}
