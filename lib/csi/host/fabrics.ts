/**
 * Paths to NVMe/TCP subsystems, by the kernel's own door: `/dev/nvme-fabrics`, and sysfs.
 *
 * A line of options written to that file makes a controller, and the write's error says why not;
 * nvme-cli does the same, but takes keys on its command line, which everybody on the node can read.
 * Such a write waits for a peer, so dd makes it: a program can be ended, our own thread could not.
 */
import fs from 'node:fs/promises';
import path from 'node:path';
import { CsiError } from '../errors.js';
import { discoveryNqn } from '../names.js';
import { kernelLines } from './kernel_log.js';
import { failed, run } from './programs.js';
import { tlsOptions } from './tls.js';
import type { NvmePath, PathOptions, PathSecrets } from './types.js';

/** Where to, and who asks. */
export interface PathTarget {
  readonly subnqn: string;
  readonly address: string;
  readonly port: number;
  readonly hostnqn: string;
  readonly hostid: string;
}

/** Roots of the kernel's file systems; others in tests. */
export interface KernelPlaces {
  readonly sys: string;
  readonly dev: string;
}

/** A path that does not come up within this is tried again later. */
const connectTimeoutMs = 15_000;

/** First word or line of an attribute; null: it is not there (any more). */
export async function attribute(...parts: string[]): Promise<string | null> {
  try {
    return (await fs.readFile(path.join(...parts), 'latin1')).trim();
  } catch {
    return null;
  }
}

/** Names in a folder of sysfs; none when it is not there. */
export async function entries(...parts: string[]): Promise<string[]> {
  try {
    return await fs.readdir(path.join(...parts));
  } catch {
    return [];
  }
}

/** All paths of this host. */
export async function readPaths({ sys }: KernelPlaces, hostnqn: string): Promise<NvmePath[]> {
  const found: NvmePath[] = [];
  for (const controller of await entries(sys, 'class/nvme')) {
    const folder = path.join(sys, 'class/nvme', controller);
    const read = (name: string) => attribute(folder, name);
    if ((await read('transport')) !== 'tcp') continue;
    // Kernels before 5.5 do not tell.
    if (((await read('hostnqn')) ?? hostnqn) !== hostnqn) continue;
    const [subnqn, address, state, type] = [
      await read('subsysnqn'),
      await read('address'),
      await read('state'),
      // Kernels before 5.18 do not tell.
      await read('cntrltype'),
    ];
    // It ended while it was read.
    if (subnqn === null || address === null || state === null) continue;
    const parts = new Map(
      address.split(',').map((part): [string, string] => {
        const [name = '', value = ''] = part.split('=');
        return [name, value];
      }),
    );
    found.push({
      controller,
      subnqn,
      address: parts.get('traddr') ?? '',
      port: Number(parts.get('trsvcid')),
      state,
      discovery: subnqn === discoveryNqn || type === 'discovery',
    });
  }
  return found;
}

/** Whole seconds; the kernel's word for ever is -1. */
function seconds(ms: number | null): string {
  return ms === null ? '-1' : String(Math.max(1, Math.round(ms / 1000)));
}

/** The line of options, as drivers/nvme/host/fabrics.c has them. */
export function connectOptions(
  target: PathTarget,
  options: PathOptions,
  secrets: PathSecrets,
  tls: readonly string[],
): string {
  const { subnqn, address, port, hostnqn, hostid } = target;
  for (const [what, text] of Object.entries({ subnqn, address })) {
    if (/^[^,\s\p{Cc}]{1,223}$/u.test(text)) continue;
    throw new CsiError('INVALID_ARGUMENT', `${what} '${text}' is not one`);
  }
  for (const [what, key] of Object.entries({
    hostKey: secrets.hostKey,
    controllerKey: secrets.controllerKey,
  })) {
    if (key === null || /^DHHC-1:0[0-3]:[A-Za-z0-9+/=]+:$/.test(key)) continue;
    throw new CsiError('INVALID_ARGUMENT', `secret '${what}' is no key of the form DHHC-1:…:`);
  }
  return [
    'transport=tcp',
    `traddr=${address}`,
    `trsvcid=${port}`,
    `nqn=${subnqn}`,
    `hostnqn=${hostnqn}`,
    `hostid=${hostid}`,
    `keep_alive_tmo=${seconds(options.keepAliveMs)}`,
    `reconnect_delay=${seconds(options.reconnectDelayMs)}`,
    `ctrl_loss_tmo=${seconds(options.ctrlLossMs)}`,
    `fast_io_fail_tmo=${seconds(options.fastIoFailMs)}`,
    ...(options.queues > 0 ? [`nr_io_queues=${options.queues}`] : []),
    ...(secrets.hostKey === null ? [] : [`dhchap_secret=${secrets.hostKey}`]),
    ...(secrets.controllerKey === null ? [] : [`dhchap_ctrl_secret=${secrets.controllerKey}`]),
    ...tls,
  ].join(',');
}

/** What this kernel takes, as reading its door tells; null: it is too old to tell (before 5.17). */
export async function kernelOptions({ dev }: KernelPlaces): Promise<ReadonlySet<string> | null> {
  const text = await attribute(dev, 'nvme-fabrics');
  if (text === null || !text.includes('transport=')) return null;
  return new Set(text.split(',').map((option) => option.split('=')[0] ?? ''));
}

/** Loads the module where it is missing. */
async function openDoor({ dev }: KernelPlaces): Promise<string> {
  const door = path.join(dev, 'nvme-fabrics');
  const there = () =>
    fs.access(door).then(
      () => true,
      () => false,
    );
  if (await there()) return door;
  const args = ['nvme-tcp'];
  const ended = await run('modprobe', args, { timeoutMs: connectTimeoutMs });
  if (await there()) return door;
  const { message } = failed('modprobe', args, ended);
  throw new CsiError(
    'FAILED_PRECONDITION',
    `this node's kernel has no NVMe/TCP: '${door}' is missing (${message}); install and load the ` +
      'module nvme-tcp on the node',
  );
}

/** Adds a path, or finds that it is there. */
export async function addPath(
  places: KernelPlaces,
  target: PathTarget,
  options: PathOptions,
  secrets: PathSecrets,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  // What cannot be is found before anything is done.
  connectOptions(target, options, secrets, []);
  const door = await openDoor(places);
  const known = await kernelOptions(places);
  for (const option of ['dhchap_secret', 'tls'] as const) {
    const wanted = (option === 'tls' ? secrets.tlsPsk : secrets.hostKey) !== null;
    if (!wanted || known === null || known.has(option)) continue;
    throw new CsiError(
      'FAILED_PRECONDITION',
      `this node's kernel takes no option '${option}' for NVMe/TCP: ` +
        (option === 'tls' ? 'TLS needs Linux 6.7' : 'authentication needs Linux 6.0') +
        ' and a kernel that was built with it',
    );
  }
  const tls = secrets.tlsPsk === null ? [] : await tlsOptions(target, secrets.tlsPsk, timeoutMs);
  const line = connectOptions(target, options, secrets, tls);
  const sinceUs = Number(process.hrtime.bigint() / 1000n);
  const where = `${target.address}:${target.port}`;
  const said = await writeThrough(door, line, connectTimeoutMs, signal).catch((thrown: unknown) => {
    if (!(thrown instanceof CsiError) || signal.aborted) throw thrown;
    return thrown.message;
  });
  if (said === null || said.includes('already in progress')) return;
  const lines = await kernelLines(path.join(places.dev, 'kmsg'), /nvme/, sinceUs);
  throw refused(`cannot connect to ${target.subnqn} at ${where}`, said, lines);
}

/** The kernel has one word for most reasons, and says more in its log. */
function refused(what: string, said: string, lines: readonly string[]): CsiError {
  const reason = said.replace(/^.*': /, '');
  const more = lines.length === 0 ? '' : `; the kernel says: ${lines.slice(-4).join('; ')}`;
  const text = `${what}: ${reason}${more}`;
  if (/not allowed|denied|authentication|Permission|rejected/i.test(text)) {
    return new CsiError('PERMISSION_DENIED', text);
  }
  if (/Invalid argument|No such file/.test(reason)) {
    return new CsiError('FAILED_PRECONDITION', text);
  }
  return new CsiError('UNAVAILABLE', text);
}

/**
 * Writes to a file of the kernel, in one write, by a program that can be ended.
 *
 * @returns what dd said; null when it succeeded.
 */
async function writeThrough(
  file: string,
  text: string,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<string | null> {
  const args = [`of=${file}`, 'bs=4096', 'count=1', 'conv=notrunc,nocreat', 'iflag=fullblock'];
  const ended = await run('dd', [...args, 'status=none'], {
    input: text,
    timeoutMs,
    ...(signal === undefined ? {} : { signal }),
  });
  return ended.code === 0 ? null : ended.stderr || `dd ended with exit code ${ended.code}`;
}

/** Deletes controllers, all at once; each is gone when this resolves. */
export async function deleteControllers(
  { sys }: KernelPlaces,
  controllers: readonly string[],
  timeoutMs: number,
): Promise<void> {
  const outcomes = await Promise.all(
    controllers.map(async (controller) => {
      const file = path.join(sys, 'class/nvme', controller, 'delete_controller');
      const said = await writeThrough(file, '1', timeoutMs);
      if (said === null || (await attribute(sys, 'class/nvme', controller, 'state')) === null) {
        return null;
      }
      return `${controller}: ${said}`;
    }),
  );
  const wrong = outcomes.filter((outcome) => outcome !== null);
  if (wrong.length > 0) throw new CsiError('INTERNAL', `cannot disconnect ${wrong.join('; ')}`);
}

/** Sets one attribute. A kernel that does not have it is no error. */
async function setAttribute(value: string, ...parts: string[]): Promise<string | null> {
  try {
    const file = path.join(...parts);
    const before = (await fs.readFile(file, 'latin1')).trim();
    const same = before === value || (value === '-1' && before === 'off');
    if (!same) await fs.writeFile(file, value);
    return null;
  } catch (thrown) {
    const { code, message } = thrown as NodeJS.ErrnoException;
    return code === 'ENOENT' || code === 'ENODEV' ? null : message;
  }
}

/** Makes paths that are there already have these options. */
export async function tunePaths(
  { sys }: KernelPlaces,
  subnqn: string,
  controllers: readonly string[],
  options: PathOptions,
): Promise<void> {
  const wrong: (string | null)[] = [];
  for (const controller of controllers) {
    const folder = path.join(sys, 'class/nvme', controller);
    wrong.push(
      await setAttribute(seconds(options.ctrlLossMs), folder, 'ctrl_loss_tmo'),
      await setAttribute(seconds(options.fastIoFailMs), folder, 'fast_io_fail_tmo'),
      await setAttribute(seconds(options.reconnectDelayMs), folder, 'reconnect_delay'),
    );
  }
  for (const subsystem of await entries(sys, 'class/nvme-subsystem')) {
    const folder = path.join(sys, 'class/nvme-subsystem', subsystem);
    if ((await attribute(folder, 'subsysnqn')) !== subnqn) continue;
    wrong.push(await setAttribute(options.ioPolicy, folder, 'iopolicy'));
  }
  const said = wrong.filter((each) => each !== null);
  if (said.length === 0) return;
  throw new CsiError('FAILED_PRECONDITION', `the kernel refuses an option: ${said.join('; ')}`);
}

/** Makes controllers look for new namespaces and sizes. */
export async function rescanControllers(
  { sys }: KernelPlaces,
  controllers: readonly string[],
  timeoutMs: number,
): Promise<void> {
  await Promise.all(
    controllers.map((controller) => {
      const file = path.join(sys, 'class/nvme', controller, 'rescan_controller');
      // One that ends at this moment has nothing to tell.
      return writeThrough(file, '1', timeoutMs);
    }),
  );
}
