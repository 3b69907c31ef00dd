/** What the machine of a daemon says: logs, configuration, kernel. Nothing is changed. */
import { execFile } from 'node:child_process';
import { open, readFile, stat } from 'node:fs/promises';
import os from 'node:os';
import { promisify } from 'node:util';
import type { Config } from '../config/config.js';
import type { ConfigFacts } from '../doctor/doctor.js';
import { AshlarError, toAshlarError } from '../errors.js';
import type { Collection } from './collection.js';
import type { Names } from './names.js';

/** Of each log the newest so much. */
export const mostLogBytes = 2 << 20;
const mostLogLines = 20_000;

export interface MachineOptions {
  config: ConfigFacts;
  /** Process of the daemon; null: it does not answer. */
  pid: number | null;
  /** A log that the daemon wrote to a file; null: the journal's. */
  log: string | null;
}

export async function takeMachine(
  { config, pid, log }: MachineOptions,
  into: Collection,
  names: Names | null,
): Promise<void> {
  if (names !== null) noteNames(config, log, names);
  await into.take('config.json', 'the configuration in force, by file and defaults', () => ({
    file: config.file,
    problem: config.problem,
    config: config.config,
  }));
  await takeLogs(config.config, log, into);
  await takeKernel(into);
  if (pid === null) return into.lacks('system/process-*.txt', 'no daemon runs');
  for (const part of ['status', 'limits', 'io', 'schedstat']) {
    await into.take(`system/process-${part}.txt`, `/proc/PID/${part} of the daemon`, () =>
      readFile(`/proc/${pid}/${part}`, 'utf8'),
    );
  }
}

async function takeLogs(config: Config, log: string | null, into: Collection): Promise<void> {
  await into.take('logs/daemon.txt', "the end of the daemon's log", () =>
    log === null ? journal() : tail(log),
  );
  const { audit, events } = config;
  if (audit === null) into.lacks('logs/audit.txt', 'a pool in memory has no audit log');
  else await into.take('logs/audit.txt', 'the end of the audit log', () => tail(audit.path));
  if (events !== null) {
    await into.take('logs/events.txt', 'the end of the file of events', () => tail(events.path));
  }
}

const runFile = promisify(execFile);

/** Of the installed service. */
async function journal(): Promise<string> {
  const args = ['-u', 'ashlar', '-o', 'short-iso', '--no-pager', '-n', String(mostLogLines)];
  try {
    const options = { maxBuffer: 64 << 20, timeout: 20_000 };
    const { stdout } = await runFile('journalctl', args, options);
    if (!stdout.startsWith('-- No entries --')) return stdout.slice(-mostLogBytes);
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message.split('\n')[0] : String(thrown);
    throw new AshlarError('not-found', `no journal (${why}); name the daemon's log with --log`);
  }
  throw new AshlarError(
    'not-found',
    "the journal has nothing of a service 'ashlar'; name the daemon's log with --log FILE",
  );
}

/** The end of a file, from the beginning of a line. */
async function tail(path: string): Promise<string> {
  const { size } = await stat(path).catch((thrown: unknown) => {
    const error = toAshlarError(thrown);
    if (error.code !== 'not-found') throw error;
    throw new AshlarError('not-found', `there is no '${path}'`);
  });
  const length = Math.min(size, mostLogBytes);
  await using file = await open(path, 'r');
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
  const text = buffer.subarray(0, bytesRead).toString('utf8');
  return length < size ? text.slice(text.indexOf('\n') + 1) : text;
}

const kernelFiles: readonly [name: string, path: string][] = [
  ['version', '/proc/version'],
  ['os-release', '/etc/os-release'],
  ['meminfo', '/proc/meminfo'],
  ['loadavg', '/proc/loadavg'],
  ['pressure-cpu', '/proc/pressure/cpu'],
  ['pressure-io', '/proc/pressure/io'],
  ['pressure-memory', '/proc/pressure/memory'],
  ['diskstats', '/proc/diskstats'],
  ['sockstat', '/proc/net/sockstat'],
  ['netstat', '/proc/net/netstat'],
  ['net-dev', '/proc/net/dev'],
  ['modules', '/proc/modules'],
  ['io_uring_disabled', '/proc/sys/kernel/io_uring_disabled'],
  ['cgroup', '/proc/self/cgroup'],
];

async function takeKernel(into: Collection): Promise<void> {
  await into.take('system/machine.json', 'processors, memory, addresses, Node.js', () => ({
    hostname: os.hostname(),
    kernel: os.release(),
    architecture: os.arch(),
    uptimeSeconds: os.uptime(),
    memoryBytes: os.totalmem(),
    processors: os.cpus().map(({ model }) => model),
    node: process.version,
    addresses: Object.entries(os.networkInterfaces()).flatMap(([link, all]) =>
      (all ?? []).map(({ cidr, internal }) => ({ link, cidr, internal })),
    ),
  }));
  for (const [name, path] of kernelFiles) {
    await into.take(`system/${name}.txt`, path, () => contentOf(path));
  }
}

/** That a kernel does not have a file is a fact like any other. */
async function contentOf(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((thrown: unknown) => {
    if (toAshlarError(thrown).code === 'not-found') return 'This machine has no such file.\n';
    throw thrown;
  });
}

function noteNames({ file, config }: ConfigFacts, log: string | null, names: Names): void {
  const { pool, audit, events, api } = config;
  names.add('hostname', os.hostname());
  names.add('user', os.userInfo().username === 'root' ? null : os.userInfo().username);
  const paths = [
    file,
    log,
    pool.device.kind === 'file' ? pool.device.path : null,
    pool.keyFile,
    audit?.path ?? null,
    events?.path ?? null,
    api.socket,
    api.https?.certificate ?? null,
    api.https?.key ?? null,
    api.https?.clientCa ?? null,
    process.cwd(),
    os.homedir(),
  ];
  for (const path of paths) names.add('path', path);
}
