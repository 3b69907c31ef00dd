/**
 * kill -9 while snapshots and clones are made, deleted, rolled back to and merged: each call
 * happened whole or not at all, and no snapshot, clone or volume holds anything but what it must.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { connectHost } from '../../lib/host/index.js';
import { Daemon, runProgram, type Volume } from '../rig/daemon.js';
import { SeededRandom, seedOfRun } from '../rig/random.js';
import { writeReport } from '../rig/report.js';

const kills = 20 * Number(process.env['ASHLAR_SOAK'] ?? 1);
const seed = seedOfRun();
const random = new SeededRandom(seed);
const blockBytes = 4096;
const blocks = 256;
const sizeBytes = blocks * blockBytes;
const started = performance.now();

/** By block the stamp that it holds, 0 for zeroes. */
type Content = number[];

interface Snapshot {
  name: string;
  nsid: number | null;
  grants: unknown[];
}

/** The call that was cut off: the state is the one before it or the one after. */
interface Pending {
  what: string;
  /** Makes the state that of after the call. */
  apply(): void;
  /** Has it happened? null: only the contents tell. */
  happened(snapshots: Set<string>, volumes: Set<string>): boolean | null;
}

let daemon: Daemon;
let subnqn = '';
let work: Content = new Array<number>(blocks).fill(0);
const snapshots = new Map<string, Content>();
const clones = new Map<string, Content>();
let pending: Pending | null = null;
let stamps = 0;
let names = 0;
let calls = 0;

before(async () => {
  daemon = await Daemon.start({ poolFile: 'pool', poolSize: '256MiB', demoSize: null });
  const made = await daemon.call<Volume>('POST', '/v1/volumes', {
    name: 'work',
    sizeBytes,
    hosts: ['*'],
  });
  subnqn = made.subnqn;
});
after(() => daemon[Symbol.asyncDispose]());

function connect() {
  return connectHost({
    address: '127.0.0.1',
    port: daemon.port,
    subnqn,
    hostnqn: 'nqn.2014-08.org.nvmexpress:uuid:6d9c2f6e-3333-4f6e-9b3e-0d9a6f1c2b3c',
  });
}

/** Makes one call, remembering what it would change until it is answered. */
async function call(change: Pending, work: () => Promise<unknown>): Promise<void> {
  pending = change;
  await work();
  change.apply();
  pending = null;
  calls += 1;
}

function snapshot(): Promise<void> {
  const name = `s${++names}`;
  const change: Pending = {
    what: `create ${name}`,
    apply: () => snapshots.set(name, [...work]),
    happened: (found) => found.has(name),
  };
  return call(change, () => daemon.call('POST', '/v1/snapshots', { volumes: ['work'], name }));
}

function removeSnapshot(name: string): Promise<void> {
  const change: Pending = {
    what: `delete ${name}`,
    apply: () => snapshots.delete(name),
    happened: (found) => !found.has(name),
  };
  return call(change, () => daemon.call('DELETE', `/v1/snapshots/work@${name}?force=true`));
}

function rollBack(name: string, content: Content): Promise<void> {
  const change: Pending = {
    what: `rollback to ${name}`,
    apply: () => {
      work = [...content];
    },
    happened: () => null,
  };
  const url = `/v1/snapshots/work@${name}/rollback?force=true`;
  return call(change, () => daemon.call('POST', url));
}

function clone(from: string, content: Content): Promise<void> {
  const name = `c${++names}`;
  const change: Pending = {
    what: `clone ${from} as ${name}`,
    apply: () => clones.set(name, [...content]),
    happened: (_, found) => found.has(name),
  };
  const body = { source: `work@${from}`, name, hosts: ['*'] };
  return call(change, () => daemon.call('POST', '/v1/clones', body));
}

function removeClone(name: string): Promise<void> {
  const change: Pending = {
    what: `delete ${name}`,
    apply: () => clones.delete(name),
    happened: (_, found) => !found.has(name),
  };
  return call(change, () => daemon.call('DELETE', `/v1/volumes/${name}?force=true`));
}

function blockOf(slba: number, value: number): Buffer {
  const data = Buffer.alloc(blockBytes);
  for (let word = 0; value !== 0 && word < blockBytes; word += 8) {
    data.writeUInt32LE(value, word);
    data.writeUInt32LE(slba, word + 4);
  }
  return data;
}

/** Writes a few blocks, and then makes a call or two, until the daemon is gone. */
async function change(isOver: () => boolean): Promise<void> {
  const { nsid } = await daemon.volume('work');
  await using host = await connect();
  const disk = await host.namespace(nsid);
  while (!isOver()) {
    for (let i = random.below(24); i > 0; i -= 1) {
      const slba = random.below(blocks);
      const value = random.below(5) === 0 ? 0 : ++stamps;
      const next = [...work];
      next[slba] = value;
      const write: Pending = {
        what: `write ${value} to LBA ${slba}`,
        apply: () => {
          work = next;
        },
        happened: () => null,
      };
      const offset = BigInt(slba * blockBytes);
      await call(write, () =>
        value === 0
          ? disk.deallocate([{ offset, length: BigInt(blockBytes) }])
          : disk.write(offset, blockOf(slba, value)),
      );
    }
    const dice = random.below(10);
    const some = random.pick([...snapshots]);
    const other = random.pick([...clones.keys()]);
    if (some === undefined || (dice < 4 && snapshots.size < 8)) await snapshot();
    else if (dice < 7) await removeSnapshot(some[0]);
    else if (dice < 8) await rollBack(...some);
    else if (other !== undefined && (clones.size > 3 || dice === 8)) await removeClone(other);
    else await clone(...some);
  }
}

async function holds(nsid: number, name: string, content: Content): Promise<boolean> {
  await using host = await connect();
  const disk = await host.namespace(nsid);
  const found = Buffer.from(await disk.read(0n, sizeBytes));
  const expected = Buffer.concat(content.map((value, slba) => blockOf(slba, value)));
  if (found.equals(expected)) return true;
  const wrong = content.findIndex(
    (value, slba) =>
      !found
        .subarray(slba * blockBytes)
        .subarray(0, blockBytes)
        .equals(blockOf(slba, value)),
  );
  const value = found.readUInt32LE(wrong * blockBytes);
  console.log(`${name}: LBA ${wrong} holds ${value}, not ${content[wrong]}`);
  return false;
}

/** Compares all there is with what is known, and settles what was pending. */
async function verify(round: number): Promise<void> {
  const list = async <T>(url: string) => (await daemon.call<{ items: T[] }>('GET', url)).items;
  const where = `round ${round}, cut off: ${pending?.what ?? 'nothing'}`;
  const found = await list<Snapshot>('/v1/snapshots');
  const volumes = await list<Volume>('/v1/volumes');
  const happened = pending?.happened(
    new Set(found.map(({ name }) => name)),
    new Set(volumes.map(({ name }) => name)),
  );
  if (happened === true) pending?.apply();
  assert.deepEqual(found.map(({ name }) => name).sort(), [...snapshots.keys()].sort(), where);
  const named = volumes.map(({ name }) => name).sort();
  assert.deepEqual(named, [...clones.keys(), 'work'].sort(), where);
  const { nsid } = await daemon.volume('work');
  if (!(await holds(nsid, `${where}: work`, work))) {
    assert.equal(happened, null, `${where}: the volume is not what it was`);
    pending?.apply();
    assert.ok(await holds(nsid, `${where}: work`, work), 'neither before the call nor after it');
  }
  pending = null;
  for (const { name, nsid } of volumes) {
    const content = clones.get(name);
    if (content !== undefined) assert.ok(await holds(nsid, `${where}: clone ${name}`, content));
  }
  for (const { name, grants } of found) {
    const volume = `work@${name}`;
    if (grants.length === 0) await daemon.call('POST', '/v1/grants', { volume, host: '*' });
    const { nsid } = await daemon.call<Snapshot>('GET', `/v1/snapshots/${volume}`);
    assert.ok(nsid !== null);
    assert.ok(await holds(nsid, `${where}: snapshot ${name}`, snapshots.get(name) ?? []));
  }
}

test(`${kills} kills around snapshots, clones, rollback and merges (seed ${seed}): whole or not at all`, async () => {
  for (let round = 0; round < kills; round += 1) {
    let over = false;
    const worker = change(() => over).catch((error: unknown) => {
      if (!over) throw error;
    });
    await Promise.race([delay(20 + random.below(400)), worker]);
    over = true;
    await daemon.kill();
    await worker;
    const check = await runProgram([
      ...['pool', 'check', daemon.workspace.file('pool'), '--json'],
      ...['--socket', daemon.socket],
    ]);
    assert.equal(check.code, 0, `round ${round}: ${check.out}${check.err}`);
    await daemon.start();
    await verify(round);
  }
  writeReport({
    suite: 'kill snapshots',
    promises: ['P1', 'P2', 'P4', 'P11'],
    counts: { kills, 'calls acknowledged': calls },
    seconds: (performance.now() - started) / 1000,
    seed: String(seed),
  });
});
