/** Facts of the kernel, the processors and the process. */
import { availableParallelism } from 'node:os';
import { toAshlarError } from '../errors.js';
import { loadNative, type Probe } from '../native.js';
import type { ClockFacts, NumaNode, ProcessFacts, ServiceFacts, SystemFacts } from './facts.js';
import { chosen, cpuNumbers, type Source } from './source.js';

export async function systemFacts(source: Source): Promise<SystemFacts> {
  const { probe, problem } = tryProbe();
  const release = await source.text('/proc/sys/kernel/osrelease');
  const tlsModule = await tlsModuleState(source, release ?? '');
  const governor = '/sys/devices/system/cpu/cpu0/cpufreq';
  return {
    kernel: release ?? probe?.kernelRelease ?? 'unknown',
    node: process.versions.node,
    probe,
    probeProblem: problem,
    ioUringDisabled: await source.number('/proc/sys/kernel/io_uring_disabled'),
    ioUringGroup: await source.number('/proc/sys/kernel/io_uring_group'),
    cpus: availableParallelism(),
    onlineCpus: cpuNumbers(await source.text('/sys/devices/system/cpu/online')),
    governors: await governors(source),
    governorDriver: await source.text(`${governor}/scaling_driver`),
    numa: await numaNodes(source),
    availableMemoryBytes: await availableMemory(source),
    hugePages: chosen(await source.text('/sys/kernel/mm/transparent_hugepage/enabled')),
    clocksource: await source.text(
      '/sys/devices/system/clocksource/clocksource0/current_clocksource',
    ),
    clock: await clockFacts(source),
    tlsModule,
    // Trying it would load the module, which is not a doctor's to do.
    tlsProblem: tlsModule === 'loaded' && probe !== null ? loadNative().tlsKernelProblem() : null,
    service: await serviceFacts(source),
  };
}

function tryProbe(): { probe: Probe | null; problem: string | null } {
  try {
    return { probe: loadNative().probe(), problem: null };
  } catch (thrown) {
    return { probe: null, problem: toAshlarError(thrown).message };
  }
}

async function tlsModuleState(source: Source, release: string): Promise<SystemFacts['tlsModule']> {
  const loaded = await source.text('/proc/sys/net/ipv4/tcp_available_ulp');
  if (/\btls\b/.test(loaded ?? '')) return 'loaded';
  return (await hasModule(source, release, 'tls')) ? 'available' : null;
}

/** Whether the kernel's folder of modules has one, as a file or built in. */
export async function hasModule(source: Source, release: string, name: string): Promise<boolean> {
  const pattern = new RegExp(`/${name.replaceAll(/[-_]/g, '[-_]')}\\.ko`, 'm');
  for (const list of ['modules.builtin', 'modules.dep']) {
    if (pattern.test((await source.text(`/lib/modules/${release}/${list}`)) ?? '')) return true;
  }
  return false;
}

async function governors(source: Source): Promise<string[]> {
  const folder = '/sys/devices/system/cpu';
  const cpus = (await source.names(folder)).filter((name) => /^cpu\d+$/.test(name));
  const found = await Promise.all(
    cpus.map((cpu) => source.text(`${folder}/${cpu}/cpufreq/scaling_governor`)),
  );
  return [...new Set(found.filter((name) => name !== null))];
}

async function numaNodes(source: Source): Promise<NumaNode[]> {
  const folder = '/sys/devices/system/node';
  const names = (await source.names(folder)).filter((name) => /^node\d+$/.test(name));
  const nodes = await Promise.all(
    names.map(async (name) => ({
      id: Number(name.slice('node'.length)),
      cpus: cpuNumbers(await source.text(`${folder}/${name}/cpulist`)),
    })),
  );
  return nodes.filter(({ cpus }) => cpus.length > 0);
}

async function availableMemory(source: Source): Promise<bigint | null> {
  const kib = /^MemAvailable:\s+(\d+) kB$/m.exec((await source.text('/proc/meminfo')) ?? '')?.[1];
  return kib === undefined ? null : BigInt(kib) * 1024n;
}

/** Asks nobody who would have to be started for the answer. */
export async function clockFacts(source: Source): Promise<ClockFacts> {
  if (await source.exists('/run/systemd/timesync/synchronized')) {
    return { keeper: 'systemd-timesyncd', synchronized: true };
  }
  if ((await source.exists('/run/chrony')) && (await source.hasProgram('chronyc'))) {
    // Reference ID, name, stratum, …, leap status: the last field says whether it follows anyone.
    const tracking = await source.run('chronyc', ['-c', '-n', 'tracking']);
    const leap = tracking?.split(',').at(-1) ?? null;
    return { keeper: 'chrony', synchronized: leap === null ? null : leap !== 'Not synchronised' };
  }
  if (await source.exists('/run/systemd/timesync')) {
    return { keeper: 'systemd-timesyncd', synchronized: false };
  }
  for (const [file, keeper] of [
    ['/run/ntpd.pid', 'ntpd'],
    ['/run/openntpd.sock', 'openntpd'],
    ['/run/ptp4l', 'ptp4l'],
  ] as const) {
    if (await source.exists(file)) return { keeper, synchronized: null };
  }
  return { keeper: null, synchronized: null };
}

async function serviceFacts(source: Source): Promise<ServiceFacts> {
  const unit = 'ashlar.service';
  const installed = await Promise.all(
    ['/etc/systemd/system', '/usr/lib/systemd/system', '/lib/systemd/system'].map((folder) =>
      source.exists(`${folder}/${unit}`),
    ),
  );
  return {
    systemd: await source.exists('/run/systemd/system'),
    installed: installed.includes(true),
    enabled:
      (await source.linkName(`/etc/systemd/system/multi-user.target.wants/${unit}`)) !== null,
  };
}

const ipcLock = 14n;

/** @param pid the daemon; null: none runs, and this process stands for the one that may be. */
export async function processFacts(source: Source, pid: number | null): Promise<ProcessFacts> {
  const daemon = pid !== null && (await source.text(`/proc/${pid}/limits`)) !== null;
  const folder = `/proc/${daemon ? pid : 'self'}`;
  const limits = (await source.text(`${folder}/limits`)) ?? '';
  const status = (await source.text(`${folder}/status`)) ?? '';
  const capabilities = BigInt(`0x${/^CapEff:\s+([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  const openFiles = limitOf(limits, 'Max open files', 'hard');
  return {
    whose: daemon ? 'daemon' : 'shell',
    uid: Number(/^Uid:\s+\d+\s+(\d+)/m.exec(status)?.[1] ?? process.geteuid?.() ?? 0),
    memlockBytes: limitOf(limits, 'Max locked memory', 'soft'),
    mayLock: ((capabilities >> ipcLock) & 1n) === 1n,
    openFiles: openFiles === null ? null : Number(openFiles),
    groupMemoryBytes: await groupMemory(source, `${folder}/cgroup`),
    residentBytes: daemon ? BigInt(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024n : 0n,
  };
}

/** Of /proc/PID/limits; null: unlimited. */
function limitOf(limits: string, name: string, kind: 'soft' | 'hard'): bigint | null {
  const row = new RegExp(`^${name}\\s+(\\S+)\\s+(\\S+)`, 'm').exec(limits);
  const text = (kind === 'soft' ? row?.[1] : row?.[2]) ?? 'unlimited';
  return text === 'unlimited' ? null : BigInt(text);
}

/** The smallest memory.max from a process's control group up to the root. */
async function groupMemory(source: Source, file: string): Promise<bigint | null> {
  const path = /^0::(\/.*)$/m.exec((await source.text(file)) ?? '')?.[1];
  if (path === undefined) return null;
  const parts = path.split('/').filter((part) => part !== '');
  const folders = parts.map((_, index) => parts.slice(0, index + 1).join('/'));
  const limits = await Promise.all(
    ['', ...folders].map((folder) => source.number(`/sys/fs/cgroup/${folder}/memory.max`)),
  );
  const numbers = limits.filter((limit) => limit !== null);
  return numbers.length === 0 ? null : BigInt(Math.min(...numbers));
}
