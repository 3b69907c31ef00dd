/**
 * The node's part of the CSI plugin in a guest: this checkout's program on the guest's kernel, asked
 * from this machine through a forwarded port. Its folders are in one that outlives the guest, as
 * those of a real node outlive a reboot.
 */
import path from 'node:path';
import { CsiClient } from '../csi/client.js';
import { Guest, machineAddress } from './guest.js';
import { inMachine, mountMachine } from './guest_node.js';

/** In the guest's view of this machine. */
export const keptFolder = '/run/keep';
/** This machine's programs as they are, whatever stands over them in the guest. */
const original = '/run/original';
const program = path.join(process.cwd(), 'dist/program/main.js');
const relayPort = 10_000;
const log = '/mnt/machine/run/csi.log';

/** Bytes from a port to the plugin's socket, for as long as both are there. */
const relay = `
require('node:net').createServer((from) => {
  const to = require('node:net').connect('/run/csi/csi.sock');
  from.on('error', () => to.destroy());
  to.on('error', () => from.destroy());
  from.pipe(to).pipe(from);
}).listen(${relayPort});`;

export interface CsiNodeOptions {
  /** A folder of this machine for what a node keeps. */
  keep: string;
  /** Lines for the plugin's [node] section. */
  settings?: readonly string[];
  /** Whole sections of endpoints, for ephemeral volumes. */
  endpoints?: string;
  cards?: number;
  bootTimeoutMs?: number;
}

/** A guest with a plugin. */
export class CsiNode implements AsyncDisposable {
  readonly client: CsiClient;

  private constructor(
    readonly guest: Guest,
    private readonly options: CsiNodeOptions,
  ) {
    this.client = new CsiClient(`127.0.0.1:${guest.forwarded}`);
  }

  /** Boots the guest and starts the plugin in it. */
  static async boot(options: CsiNodeOptions): Promise<CsiNode> {
    const { keep, cards = 1, bootTimeoutMs = 60_000 } = options;
    const guest = await Guest.boot({ cards, forward: relayPort, keep, bootTimeoutMs });
    const node = new CsiNode(guest, options);
    try {
      await node.#open();
    } catch (thrown) {
      await node[Symbol.asyncDispose]();
      throw thrown;
    }
    return node;
  }

  /** Nothing is mounted over folders of this machine: the checkout may be in any. */
  async #open(): Promise<void> {
    const { guest } = this;
    await guest.load('btrfs');
    await mountMachine(guest);
    await guest.sh(
      `mkdir -p /mnt/machine${keptFolder} /mnt/machine/run/csi /mnt/machine${original}
       mount --bind /mnt/machine /mnt/machine${original}
       mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=none keep \
         /mnt/machine${keptFolder}
       ${inMachine} '${process.execPath}' -e "${relay.replaceAll('\n', ' ')}" \
         >/dev/null 2>&1 </dev/null &`,
    );
    await this.start();
  }

  /** Starts the plugin; resolves when it serves. */
  async start(): Promise<void> {
    const { settings = [], endpoints = '' } = this.options;
    const config = [
      ...['[csi]', 'mode = "node"', 'socket = "/run/csi/csi.sock"', 'logLevel = "debug"'],
      endpoints,
      ...['[node]', `state = "${keptFolder}/state"`, ...settings],
    ];
    await this.guest.sh(
      `cat >/mnt/machine/run/csi.toml <<'end'
${config.join('\n')}
end
       : >>${log}
       before=$(grep -c 'the plugin serves' ${log} || true)
       ${inMachine} '${process.execPath}' '${program}' csi \
         --config /run/csi.toml >>${log} 2>&1 </dev/null &
       echo $! >/tmp/csi.pid
       while kill -0 $(cat /tmp/csi.pid); do
         [ $(grep -c 'the plugin serves' ${log}) -gt $before ] && exit 0
         sleep 0.2
       done
       tail -20 ${log}
       exit 1`,
      { timeoutMs: 120_000 },
    );
  }

  /** Ends the plugin at once, as the kernel's OOM killer does. */
  async kill(): Promise<void> {
    await this.guest.sh(
      `kill -9 $(cat /tmp/csi.pid) 2>/dev/null || true
       while kill -0 $(cat /tmp/csi.pid) 2>/dev/null; do sleep 0.05; done`,
    );
  }

  /**
   * From now on a program that the plugin starts kills it: before it does anything, or when it has
   * done it. Once; then the program is itself again.
   */
  async trap(name: string, when: 'before' | 'after'): Promise<void> {
    const kill = 'kill -9 $(cat /run/csi.pid)';
    const run = `${original}$(dirname "$0")/${name} "$@"`;
    const steps = when === 'before' ? [kill] : [run, kill];
    // Over the program's own file, as the plugin looks nowhere else.
    await this.sh(
      `file=$(readlink -f $(which ${name}))
       cat >/run/trap <<end
#!/bin/sh
busybox umount -l $file
end
       cat >>/run/trap <<'end'
${steps.join('\n')}
end
       chmod +x /run/trap
       echo $file >/run/trapped
       mount --bind /run/trap $file`,
    );
    await this.guest.sh('cp /tmp/csi.pid /mnt/machine/run/csi.pid');
  }

  /** Whether the trap has done its work; it is taken away. */
  async sprung(): Promise<boolean> {
    const left = await this.sh(
      `grep -c " $(cat /run/trapped) " /proc/self/mountinfo || true
       busybox umount $(cat /run/trapped) 2>/dev/null || true`,
    );
    return left.trim() === '0';
  }

  /** A script with the plugin's view of files. */
  sh(script: string, options: { timeoutMs?: number; port?: 0 | 1 } = {}): Promise<string> {
    const quoted = script.replaceAll("'", `'\\''`);
    return this.guest.sh(`${inMachine} /bin/sh -ec '${quoted}'`, options);
  }

  log(): Promise<string> {
    return this.guest.sh(`cat ${log}`);
  }

  /** Controllers that lead to volumes. */
  async associations(): Promise<number> {
    const text = await this.guest.sh(
      `cat /sys/class/nvme/nvme*/cntrltype 2>/dev/null | grep -cv discovery || true`,
    );
    return Number(text.trim());
  }

  /**
   * What is left of volumes: mounts below the kept folder, controllers, those for discovery among
   * them, and files of records.
   */
  async leftOvers(): Promise<{ mounts: number; controllers: number; files: number }> {
    const text = await this.guest.sh(
      `grep -c ' /mnt/machine${keptFolder}/' /proc/self/mountinfo || true
       ls /sys/class/nvme 2>/dev/null | wc -l
       find /mnt/machine${keptFolder}/state -type f 2>/dev/null | grep -Ec '/volumes/|/discovery' || true`,
    );
    const [mounts = 0, controllers = 0, files = 0] = text.trim().split(/\s+/).map(Number);
    return { mounts, controllers, files };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client[Symbol.dispose]();
    await this.guest[Symbol.asyncDispose]();
  }
}

/** How the guest reaches a portal of this machine. */
export function portalOf(port: number): string {
  return `${machineAddress}:${port}`;
}
