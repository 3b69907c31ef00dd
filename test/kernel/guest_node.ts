/** An Ashlar inside of a guest: this machine's node and this checkout, on the guest's kernel. */
import path from 'node:path';
import type { Tenant, Volume } from '../rig/daemon.js';
import type { Guest } from './guest.js';

export interface GuestNodeOptions {
  tls: 'none' | 'allowed' | 'required';
  ktls: 'auto' | 'off';
}

/** Where it listens, in the guest. */
export const nodeAddress = '127.0.0.1';
export const nodePort = 4420;

const here = process.cwd();
// As packages have it: a few files, as each takes long over 9p under emulation.
const program = path.join(here, 'dist/program/main.js');
const socket = '/run/ashlar.sock';
export const inMachine = 'chroot /mnt/machine /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin';

// The body of one call comes as an argument, the answer goes to stdout: `<status> <body>`.
const caller = `
const [method, path, body] = process.argv.slice(1);
const headers = body === '' ? {} : { 'content-type': 'application/json' };
const options = { socketPath: '${socket}', method, path, headers };
const request = require('node:http').request(options, (response) => {
  let text = '';
  response.on('data', (piece) => { text += piece; });
  response.on('end', () => console.log(response.statusCode + ' ' + text));
});
request.on('error', (error) => { console.log('0 ' + error.message); });
request.end(body);`;

export class GuestNode implements AsyncDisposable {
  private constructor(private readonly guest: Guest) {}

  /** Starts one with a pool in memory and a volume `demo`; resolves when it serves. */
  static async start(guest: Guest, options: GuestNodeOptions): Promise<GuestNode> {
    await mountMachine(guest);
    const config = [
      ...['[pool]', 'memory = "128MiB"', '[target]', `portals = ["${nodeAddress}:${nodePort}"]`],
      ...['discovery = []', 'mdns = false', `tls = "${options.tls}"`, `ktls = "${options.ktls}"`],
      ...['[runtime]', 'reactors = 1', 'buffers = "16MiB"', '[api]', `socket = "${socket}"`],
      ...['[demo]', 'volume = "demo"', 'size = "64MiB"'],
    ];
    await guest.sh(
      `cat >/mnt/machine/run/config.toml <<'end'
${config.join('\n')}
end
       ${inMachine} '${process.execPath}' '${program}' serve --config /run/config.toml \
         >/mnt/machine/run/ashlar.log 2>&1 </dev/null &
       echo $! >/tmp/ashlar.pid
       while kill -0 $(cat /tmp/ashlar.pid); do
         grep -q 'is serving' /mnt/machine/run/ashlar.log && exit 0
         sleep 0.5
       done
       cat /mnt/machine/run/ashlar.log
       exit 1`,
      { timeoutMs: 180_000 },
    );
    return new GuestNode(guest);
  }

  /** One call of the control API, which must succeed. */
  async call<T>(method: string, url: string, body?: unknown): Promise<T> {
    const payload = body === undefined ? '' : JSON.stringify(body);
    const words = [caller, method, url, payload].map(
      (word) => `'${word.replaceAll("'", `'\\''`)}'`,
    );
    const command = `${inMachine} '${process.execPath}' -e ${words.join(' ')}`;
    const answer = await this.guest.sh(command, { timeoutMs: 120_000 });
    const status = Number(answer.slice(0, 3));
    if (status < 200 || status > 299) throw new Error(`${method} ${url}: ${answer}`);
    const text = answer.slice(4).trim();
    return (text === '' ? null : JSON.parse(text)) as T;
  }

  async subnqn(): Promise<string> {
    const { items } = await this.call<{ items: Tenant[] }>('GET', '/v1/tenants');
    const found = items.find(({ name }) => name === 'default');
    if (found === undefined) throw new Error('there is no default tenant');
    return found.subnqn;
  }

  volume(name: string): Promise<Volume> {
    return this.call<Volume>('GET', `/v1/volumes/${name}`);
  }

  /** Everything that it wrote. */
  log(): Promise<string> {
    return this.guest.sh('cat /mnt/machine/run/ashlar.log');
  }

  /** An orderly end. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.guest.sh(
      `kill $(cat /tmp/ashlar.pid)
       for try in $(seq 300); do
         kill -0 $(cat /tmp/ashlar.pid) 2>/dev/null || exit 0
         sleep 0.1
       done
       exit 1`,
      { timeoutMs: 180_000 },
    );
  }
}

/** A program of this checkout's, run in the guest; what it printed. */
export async function runInMachine(guest: Guest, file: string, args: string): Promise<string> {
  await mountMachine(guest);
  return guest.sh(`${inMachine} '${path.join(here, file)}' ${args} 2>&1`, { timeoutMs: 300_000 });
}

/** This machine's file system beside the guest's own, with the guest's devices and a /run. */
export async function mountMachine(guest: Guest): Promise<void> {
  await guest.sh(
    `[ -e /mnt/machine/proc/self ] && exit 0
     mkdir -p /mnt/machine
     mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=512000,cache=loose machine /mnt/machine
     for place in proc sys dev; do mount --bind /$place /mnt/machine/$place; done
     mount -t tmpfs tmpfs /mnt/machine/run`,
  );
}
