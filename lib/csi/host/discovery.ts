/**
 * What discovery services tell this host (nvme-cli), over controllers that stay connected.
 *
 * Such a controller has a Keep Alive Timeout, which makes it persistent: the target tells it when
 * its log changes, and the kernel passes that on as an event. There is one at most for a portal,
 * whoever made it. Those that are ours to take away are noted in the state folder by their portal,
 * before they are made.
 */
import { formatEndpoint } from '../../config/config.js';
import { CsiError } from '../errors.js';
import { Turns } from '../locks.js';
import { discoveryNqn } from '../names.js';
import { addPath, attribute, deleteControllers, type KernelPlaces, readPaths } from './fabrics.js';
import { follow, succeed } from './programs.js';
import { readKeptDiscovery, writeKeptDiscovery } from './state_folder.js';
import { type HostIdentity, type NvmePath, noSecrets, type PathOptions } from './types.js';

const timeoutMs = 10_000;
/** Of nvme-cli's JSON: more than 8,000 portals. */
const maxLogBytes = 4 << 20;

/** Discovery controllers of one host. */
export class DiscoveryControllers {
  readonly #turns = new Turns();

  constructor(
    private readonly places: KernelPlaces,
    /** The state folder. */
    private readonly state: string,
  ) {}

  /**
   * What the discovery service at the end of a path tells of the path's subsystem.
   *
   * @throws CsiError UNAVAILABLE when nothing can be heard.
   */
  async ask(
    path: NvmePath,
    options: PathOptions,
    host: HostIdentity,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    try {
      const controller = (await this.#canKeep(path))
        ? await this.#controllerAt(path, options, host, signal)
        : null;
      return portalsIn(await this.#log(path, controller, host, signal), path.subnqn);
    } catch (thrown) {
      const { message } = thrown as Error;
      throw new CsiError('UNAVAILABLE', `${formatEndpoint(path)} tells no portals: ${message}`, {
        cause: thrown,
      });
    }
  }

  /**
   * Kernels before 5.18 do not tell which controllers are for discovery, as the service has a name
   * of its own: one that was made would not be found again.
   */
  async #canKeep({ controller }: NvmePath): Promise<boolean> {
    return (await attribute(this.places.sys, 'class/nvme', controller, 'cntrltype')) !== null;
  }

  async #controllerAt(
    path: NvmePath,
    options: PathOptions,
    host: HostIdentity,
    signal: AbortSignal,
  ): Promise<string> {
    const portal = formatEndpoint(path);
    const find = async () => {
      const all = await readPaths(this.places, host.hostnqn);
      return all.find((each) => each.discovery && formatEndpoint(each) === portal);
    };
    const before = await find();
    if (before !== undefined) {
      if (before.state === 'live') return before.controller;
      throw new Error(`its controller ${before.controller} is ${before.state}`);
    }
    const note = () => this.#change(host, (portals) => [...new Set([...portals, portal])]);
    await note();
    const target = { ...host, subnqn: discoveryNqn, address: path.address, port: path.port };
    // It has no queue but the one for administration.
    const quiet = { ...options, queues: 0 };
    try {
      await addPath(this.places, target, quiet, noSecrets, timeoutMs, signal);
    } finally {
      // While it was made somebody may have ended what was noted, and not have seen it.
      await note();
    }
    const made = await find();
    if (made === undefined) throw new Error('its controller has ended');
    return made.controller;
  }

  /** The log, as JSON, over a controller that is there; null: one for this question alone. */
  async #log(
    { address, port }: NvmePath,
    controller: string | null,
    { hostnqn, hostid }: HostIdentity,
    signal: AbortSignal,
  ): Promise<string> {
    const over = controller === null ? [] : [`--device=${controller}`];
    const where = ['--transport=tcp', `--traddr=${address}`, `--trsvcid=${port}`];
    const who = [`--hostnqn=${hostnqn}`, `--hostid=${hostid}`];
    if (controller !== null) {
      // Reading the header ends the event, before the log is read: what changes later is a new one.
      // nvme-cli 2.3 itself retains the event (RAE) of a log that is longer than 4 KiB.
      const header = [`${this.places.dev}/${controller}`, '--log-id=0x70', '--log-len=1024'];
      await succeed('nvme', ['get-log', ...header], { timeoutMs, signal });
    }
    const args = ['discover', ...over, ...where, ...who, '--output-format=json'];
    return succeed('nvme', args, { timeoutMs, signal, maxOutputBytes: maxLogBytes });
  }

  /** Takes those away that were made here in this boot, but those at these portals. */
  async end(except: readonly string[], host: HostIdentity): Promise<void> {
    await this.#change(host, async (portals) => {
      const over = portals.filter((portal) => !except.includes(portal));
      if (over.length === 0) return portals;
      const all = await readPaths(this.places, host.hostnqn);
      const ended = all.filter((each) => each.discovery && over.includes(formatEndpoint(each)));
      const controllers = ended.map(({ controller }) => controller);
      await deleteControllers(this.places, controllers, timeoutMs);
      return portals.filter((portal) => except.includes(portal));
    });
  }

  /** Replaces what the state folder has of this boot, one after the other. */
  #change(
    { bootId }: HostIdentity,
    next: (portals: readonly string[]) => readonly string[] | Promise<readonly string[]>,
  ): Promise<void> {
    return this.#turns.run(this.state, async () => {
      const kept = await readKeptDiscovery(this.state);
      const portals = kept?.bootId === bootId ? kept.portals : [];
      const now = await next(portals);
      // Of an earlier boot nothing is connected.
      const same = kept === null ? now.length === 0 : kept.bootId === bootId && now === portals;
      if (!same) await writeKeptDiscovery(this.state, { bootId, portals: now });
    });
  }
}

/**
 * The portals over TCP of a subsystem in nvme-cli's JSON; sorted, each once.
 *
 * @throws SyntaxError, TypeError for what is none.
 */
export function portalsIn(json: string, subnqn: string): readonly string[] {
  const { records } = JSON.parse(json) as { records: Readonly<Record<string, unknown>>[] };
  const found = records.flatMap((record) => {
    const text = (name: string) => String(record[name] ?? '').trim();
    if (text('trtype') !== 'tcp' || text('subnqn') !== subnqn) return [];
    return [formatEndpoint({ address: text('traddr'), port: Number(text('trsvcid')) })];
  });
  return [...new Set(found)].sort();
}

/**
 * Reads the kernel's events until `signal` is aborted, and calls for each that says that a
 * discovery log is to be read again: it has changed, or its controller was away.
 *
 * @throws CsiError when nobody can watch, or who watched has ended.
 */
export async function watchDiscovery(changed: () => void, signal: AbortSignal): Promise<void> {
  const args = ['monitor', '--kernel', '--property', '--subsystem-match=nvme'];
  const line = (text: string) => {
    if (isNews(text)) changed();
  };
  // A container that sees the host's processes is a chroot to it, and it would do nothing there.
  const variables = { SYSTEMD_IGNORE_CHROOT: '1' };
  await follow('udevadm', args, { line, signal, variables });
}

/** Of an event's lines: Discovery Log Page Change (NVMe Base 2.0, section 5.2), or a reconnect. */
export function isNews(line: string): boolean {
  return /^(NVME_AEN=0x70f002|NVME_EVENT=rediscover)$/i.test(line);
}
