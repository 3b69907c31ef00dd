/**
 * The daemon on a network of its own: two network namespaces with a cable between them. In one it
 * serves, in the other a resolver of the tests' own asks.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { Workspace } from '../rig/daemon.js';
import { SeededRandom, seedOfRun } from '../rig/random.js';

// As it is installed: the thread's program has to be found there, too.
const program = path.join(process.cwd(), 'dist/program/main.js');
const listener = path.join(process.cwd(), '.build/test/mdns/listener_main.js');

interface DnsRecord {
  name: string;
  type: string;
  ttl: number;
  data: unknown;
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

/** Two namespaces; the daemon's has 10.99.0.1 and fd99::1, the resolver's 10.99.0.2. */
class Network implements Disposable {
  readonly daemon = `ashlar-d${process.pid}`;
  readonly resolver = `ashlar-r${process.pid}`;

  constructor() {
    for (const name of [this.daemon, this.resolver]) ip('netns', 'add', name);
    this.cable(0);
    for (const name of [this.daemon, this.resolver]) ip('-n', name, 'link', 'set', 'lo', 'up');
    ip('-n', this.daemon, 'addr', 'add', 'fd99::1/64', 'dev', 'cable0', 'nodad');
  }

  /** One more, in a network of its own. */
  cable(index: number): void {
    const name = `cable${index}`;
    ip(
      '-n',
      this.daemon,
      'link',
      'add',
      name,
      'type',
      'veth',
      'peer',
      name,
      'netns',
      this.resolver,
    );
    for (const [end, where] of [this.daemon, this.resolver].entries()) {
      ip('-n', where, 'addr', 'add', `10.99.${index}.${end + 1}/24`, 'dev', name);
      ip('-n', where, 'link', 'set', name, 'up');
    }
  }

  run(namespace: string, script: string, args: readonly string[]): ChildProcess {
    const command = ['netns', 'exec', namespace, process.execPath, script, ...args];
    return spawn('ip', command, { stdio: ['pipe', 'pipe', 'pipe'] });
  }

  [Symbol.dispose](): void {
    for (const name of [this.daemon, this.resolver]) ip('netns', 'delete', name);
  }
}

/** Answers of the daemon as they come, in one of the networks. */
class Resolver implements Disposable {
  readonly #child: ChildProcess;
  #packets: DnsRecord[][] = [];
  #wake: () => void = () => {};

  constructor(network: Network, address: string) {
    this.#child = network.run(network.resolver, listener, [address]);
    assert.ok(this.#child.stdout !== null);
    this.#child.stderr?.pipe(process.stderr);
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      const packet: DnsRecord[] = JSON.parse(line);
      this.#packets.push(packet);
      this.#wake();
    });
  }

  send(bytes: Uint8Array): void {
    this.#child.stdin?.write(`${Buffer.from(bytes).toString('base64')}\n`);
  }

  /** From now on only what comes from now on counts. */
  forget(): void {
    this.#packets = [];
  }

  /** The first packet that `fits`; fails after a minute. */
  async packet(fits: (records: DnsRecord[]) => boolean): Promise<DnsRecord[]> {
    const deadline = Date.now() + 60_000;
    for (;;) {
      const found = this.#packets.find(fits);
      if (found !== undefined) return found;
      const left = deadline - Date.now();
      if (left <= 0) assert.fail(`no such answer; there were ${JSON.stringify(this.#packets)}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }
}

class Serving implements Disposable {
  readonly child: ChildProcess;
  readonly ended: Promise<unknown[]>;
  log = '';

  constructor(network: Network, workspace: Workspace, portal: string) {
    this.child = network.run(network.daemon, program, [
      ...['serve', '--memory', '64MiB', '--reactors', '1', '--json'],
      ...['--portal', portal, '--socket', workspace.file(`${portal}.sock`)],
    ]);
    this.ended = once(this.child, 'close');
    this.child.stderr?.on('data', (piece: Buffer) => {
      this.log += piece.toString();
    });
  }

  async stop(): Promise<unknown[]> {
    this.child.kill('SIGTERM');
    return this.ended;
  }

  [Symbol.dispose](): void {
    this.child.kill('SIGKILL');
  }
}

const type = '_nvme-disc._tcp.local';
const ofType = (records: DnsRecord[], kind: string) => records.filter((each) => each.type === kind);
const answersPtr = (records: DnsRecord[]) =>
  records.some((each) => each.type === 'PTR' && each.name === type && each.ttl > 0);

const probe = `ashlar-p${process.pid}`;
const permitted = spawnSync('ip', ['netns', 'add', probe]).status === 0;
if (permitted) ip('netns', 'delete', probe);
const skip = permitted ? false : 'network namespaces need root and the program ip';

describe('mDNS', { skip }, () => {
  let workspace: Workspace;
  let network: Network;
  before(() => {
    workspace = new Workspace();
    network = new Network();
  });
  after(() => {
    network[Symbol.dispose]();
    workspace[Symbol.dispose]();
  });

  test('discovery on an address: found with its port, NQN and addresses; goodbye at the end', async () => {
    using resolver = new Resolver(network, '10.99.0.2');
    using serving = new Serving(network, workspace, '10.99.0.1:4420');
    const records = await resolver.packet(
      (each) => answersPtr(each) && ofType(each, 'SRV').length > 0,
    );
    const [instance] = ofType(records, 'PTR').filter(({ name }) => name === type);
    const [srv] = ofType(records, 'SRV');
    const [txt] = ofType(records, 'TXT');
    assert.match(String(instance?.data), /^Ashlar on .*\._nvme-disc\._tcp\.local$/);
    assert.equal(srv?.name, instance?.data);
    assert.equal(txt?.name, instance?.data);
    const target = srv?.data as { port: number; target: string };
    assert.equal(target.port, 8009);
    const texts = txt?.data as string[];
    assert.equal(texts[0], 'p=tcp');
    assert.match(texts[1] ?? '', /^nqn=nqn\.2026-01\.dev\.ashlar:discovery:[0-9a-f-]{36}$/);
    assert.equal(texts.length, 2);
    const addresses = records.filter((each) => each.type === 'A' || each.type === 'AAAA');
    assert.deepEqual(
      addresses.map(({ name, data }) => [name, data]),
      [[target.target, '10.99.0.1']],
    );
    const isGoodbye = (each: DnsRecord) => each.type === 'PTR' && each.ttl === 0;
    const goodbye = resolver.packet((each) => each.some(isGoodbye));
    assert.deepEqual(await serving.stop(), [0, null]);
    assert.equal((await goodbye).find(isGoodbye)?.data, instance?.data);
  });

  test('every address, both families: all are told; a new network is taken in', async () => {
    using resolver = new Resolver(network, '10.99.0.2');
    using serving = new Serving(network, workspace, '[::]:4420');
    const records = await resolver.packet(
      (each) => answersPtr(each) && ofType(each, 'A').length > 0,
    );
    const six = ofType(records, 'AAAA').map(({ data }) => String(data));
    assert.deepEqual(
      ofType(records, 'A').map(({ data }) => data),
      ['10.99.0.1'],
    );
    assert.ok(six.includes('fd99::1') && six.some((each) => each.startsWith('fe80')), `${six}`);
    network.cable(1);
    // A socket hears both networks: which address is told is what counts.
    using second = new Resolver(network, '10.99.1.2');
    const tells = (each: DnsRecord[]) => ofType(each, 'A').some(({ data }) => data === '10.99.1.1');
    await second.packet((each) => answersPtr(each) && tells(each));
    assert.deepEqual(await serving.stop(), [0, null]);
  });

  test('datagrams of anything: the daemon goes on, and is still found', async () => {
    const seed = seedOfRun();
    const random = new SeededRandom(seed);
    using resolver = new Resolver(network, '10.99.0.2');
    using serving = new Serving(network, workspace, '10.99.0.1:4420');
    await resolver.packet(answersPtr);
    for (let count = 0; count < 500; count += 1) {
      const bytes = Buffer.alloc(1 + random.below(600)).map(() => random.below(256));
      // Half of them begin like a response with a few records.
      if (count % 2 === 0) Buffer.from('000084000000000200000000', 'hex').copy(bytes);
      resolver.send(bytes);
    }
    resolver.forget();
    await resolver.packet(answersPtr);
    assert.deepEqual(await serving.stop(), [0, null]);
    assert.doesNotMatch(serving.log, /mdns-failed/, `seed ${seed}`);
  });
});
