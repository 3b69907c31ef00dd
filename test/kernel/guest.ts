/**
 * A Linux kernel of its own under QEMU's emulation, as an NVMe/TCP host.
 *
 * The guest sees this machine's file system read-only (its own nvme-cli, fio and mkfs therefore),
 * reaches this machine's loopback at {@link machineAddress}, and runs shell scripts that come over
 * two virtio ports: one port runs one script at a time, so a long load runs on the second. A third
 * connection is to QEMU itself.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { Monitor } from './monitor.js';

/** This machine's 127.0.0.1, as the guest sees it; through its second card. */
export const machineAddress = '10.0.2.2';
export const machineAddress2 = '10.0.3.2';

/** The Debian whose kernel and programs the guest has: what `--suite` says. */
export const guestSuite = process.env['ASHLAR_GUEST_SUITE'] ?? 'default';
const image = path.join(
  process.cwd(),
  guestSuite === 'default' ? '.cache/guest' : `.cache/guest-${guestSuite}`,
);

export interface GuestOptions {
  /** Network cards, each in a network of its own; one when not given. */
  cards?: number;
  bootTimeoutMs?: number;
  /** A port of the guest that {@link Guest.forwarded} of this machine's loopback leads to. */
  forward?: number;
  /** A folder of this machine that the guest may write to, `keep` among its mount tags. */
  keep?: string;
}

/** What a script left. */
export interface ScriptResult {
  code: number;
  output: string;
}

interface Waiting {
  resolve: (result: ScriptResult) => void;
  reject: (reason: Error) => void;
  script: string;
  timer: NodeJS.Timeout | null;
}

/** One command port: scripts run on it in the order in which they were sent. */
class Port {
  readonly #socket: net.Socket;
  readonly #waiting = new Map<string, Waiting>();
  #count = 0;

  constructor(
    private readonly name: string,
    socket: net.Socket,
    ready: () => void,
  ) {
    this.#socket = socket;
    const lines = createInterface({ input: socket });
    lines.on('line', (line) => {
      const [id = '', code = '', output = ''] = line.split(' ');
      if (id === 'ready') return ready();
      const waiting = this.#waiting.get(id);
      if (waiting === undefined) return;
      this.#waiting.delete(id);
      if (waiting.timer !== null) clearTimeout(waiting.timer);
      waiting.resolve({ code: Number(code), output: Buffer.from(output, 'base64').toString() });
    });
  }

  run(script: string, timeoutMs: number): Promise<ScriptResult> {
    const id = `${this.name}${++this.#count}`;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Error(`the guest did not finish within ${timeoutMs} ms:\n${script}`));
      }, timeoutMs);
      this.#waiting.set(id, { resolve, reject, script, timer });
      this.#socket.write(`${id} ${Buffer.from(script).toString('base64')}\n`);
    });
  }

  fail(reason: Error): void {
    for (const waiting of this.#waiting.values()) {
      if (waiting.timer !== null) clearTimeout(waiting.timer);
      waiting.reject(new Error(`${reason.message}, during:\n${waiting.script}`));
    }
    this.#waiting.clear();
    this.#socket.destroy();
  }
}

/** A booted guest. Dispose of it to end it. */
export class Guest implements AsyncDisposable {
  #console = '';
  #exited = false;

  private constructor(
    private readonly process: ChildProcess,
    private readonly folder: string,
    private readonly ports: Port[],
    private readonly monitor: Promise<Monitor>,
    private readonly ended: Promise<void>,
    /** Port of 127.0.0.1 that leads to the guest's; 0: none does. */
    readonly forwarded: number,
  ) {}

  /** Boots; resolves when both command ports answer, after about five seconds. */
  static async boot(options: GuestOptions = {}): Promise<Guest> {
    const { cards = 1, bootTimeoutMs = 60_000 } = options;
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ashlar-guest-'));
    const ports: Port[] = [];
    const servers: net.Server[] = [];
    const ready: Promise<void>[] = [];
    for (const name of ['a', 'b']) {
      const server = net.createServer();
      servers.push(server);
      ready.push(
        new Promise((resolve) => {
          server.once('connection', (socket) => ports.push(new Port(name, socket, resolve)));
        }),
      );
      await new Promise<void>((resolve) => {
        server.listen(path.join(folder, name), resolve);
      });
    }
    const control = net.createServer();
    servers.push(control);
    await new Promise<void>((resolve) => {
      control.listen(path.join(folder, 'monitor'), resolve);
    });
    const monitor = Monitor.accept(control);
    const forwarded = options.forward === undefined ? 0 : await freePort();
    const child = spawn('qemu-system-x86_64', qemuArguments(folder, cards, options, forwarded), {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const ended = new Promise<void>((resolve) => {
      child.once('close', () => resolve());
    });
    const guest = new Guest(child, folder, ports, monitor, ended, forwarded);
    const note = (piece: Buffer) => {
      guest.#console = (guest.#console + piece.toString()).slice(-200_000);
    };
    child.stdout.on('data', note);
    child.stderr.on('data', note);
    void ended.then(() => {
      guest.#exited = true;
      const reason = new Error('the guest ended');
      for (const port of ports) port.fail(reason);
      void monitor.then((each) => each.fail(reason));
    });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), bootTimeoutMs);
    });
    const first = await Promise.race([Promise.all([...ready, monitor]), ended, late]);
    clearTimeout(timer);
    for (const server of servers) server.close();
    if (!Array.isArray(first)) {
      await guest[Symbol.asyncDispose]();
      throw new Error(`the guest did not boot; its console:\n${guest.console}`);
    }
    return guest;
  }

  /** Kernel messages and QEMU's own, the last 200,000 characters. */
  get console(): string {
    return this.#console;
  }

  /** Runs a script whatever it returns. */
  attempt(script: string, options: { timeoutMs?: number; port?: 0 | 1 } = {}) {
    const port = this.ports[options.port ?? 0];
    if (port === undefined || this.#exited) return Promise.reject(new Error('the guest ended'));
    return port.run(script, options.timeoutMs ?? 60_000);
  }

  /** Runs a script that must succeed (`set -e` is on) and returns its output. */
  async sh(script: string, options: { timeoutMs?: number; port?: 0 | 1 } = {}): Promise<string> {
    const { code, output } = await this.attempt(`set -e\n${script}`, options);
    if (code === 0) return output;
    const last = this.#console.split('\n').slice(-30).join('\n');
    throw new Error(`exit code ${code} in the guest:\n${script}\n${output}\nconsole:\n${last}`);
  }

  /** Loads a set of modules that booting leaves out: a name of `.scripts/guest.mjs`. */
  async load(set: string): Promise<void> {
    await this.sh(
      `for module in $(cat /run/modules/${set}.order); do
         [ -e /sys/module/$(basename $module .ko | tr - _) ] || insmod /run/modules/$module
       done`,
    );
  }

  /** Pulls the cable of a network card (the first is 0), or plugs it in again. */
  async setLink(card: number, up: boolean): Promise<void> {
    await (await this.monitor).execute('set_link', { name: `card${card}`, up });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.process.kill('SIGKILL');
    await this.ended;
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

/** One that nobody listens on at this moment. */
export async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function qemuArguments(
  folder: string,
  cards: number,
  { forward, keep }: GuestOptions,
  forwarded: number,
): string[] {
  const port = (name: string) => [
    ...['-chardev', `socket,id=${name},path=${path.join(folder, name)}`],
    ...['-device', `virtserialport,chardev=${name},name=${name}`],
  ];
  const lead =
    forward === undefined ? '' : `,hostfwd=tcp:127.0.0.1:${forwarded}-10.0.2.15:${forward}`;
  const card = (index: number) => [
    ...['-netdev', `user,id=n${index},net=10.0.${index + 2}.0/24${index === 0 ? lead : ''}`],
    ...['-device', `virtio-net-pci,netdev=n${index},id=card${index}`],
  ];
  // A guest of this machine's own Debian runs this machine's programs.
  const programs = guestSuite === 'default' ? '/' : path.join(image, 'root');
  const share = 'security_model=none,readonly=on,multidevs=remap';
  return [
    ...['-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', '1024'],
    ...['-display', 'none', '-serial', 'stdio', '-monitor', 'none', '-no-reboot'],
    ...['-kernel', path.join(image, 'vmlinuz'), '-initrd', path.join(image, 'initrd.img')],
    // On a busy machine the emulated timer is late for the kernel's test of it, which is a panic.
    ...['-append', 'console=ttyS0 loglevel=6 panic=-1 no_timer_check'],
    ...Array.from({ length: cards }, (_, index) => card(index)).flat(),
    ...['-virtfs', `local,path=${programs},mount_tag=hostroot,${share}`],
    // For what of this machine a test runs there as well.
    ...['-virtfs', `local,path=/,mount_tag=machine,${share}`],
    ...(keep === undefined
      ? []
      : ['-virtfs', `local,path=${keep},mount_tag=keep,security_model=none,multidevs=remap`]),
    ...['-device', 'virtio-serial-pci', ...port('a'), ...port('b')],
    ...['-chardev', `socket,id=control,path=${path.join(folder, 'monitor')}`],
    ...['-mon', 'chardev=control,mode=control'],
  ];
}
