/** Exports and imports as a person pipes them, between two daemons. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import { after, before, test } from 'node:test';
import { connectHost } from '../../lib/host/index.js';
import { Daemon, type Exit, program } from '../rig/daemon.js';

const hostnqn = 'nqn.2026-01.test:host';
const mib = 1 << 20;

let source: Daemon;
let target: Daemon;
before(async () => {
  [source, target] = await Promise.all([
    Daemon.start({ poolFile: 'pool.ashlar', demoSize: null }),
    Daemon.start({ poolFile: 'pool.ashlar', demoSize: null }),
  ]);
});
after(async () => {
  await Promise.all([source[Symbol.asyncDispose](), target[Symbol.asyncDispose]()]);
});

interface Run extends Exit {
  out: Buffer;
  err: string;
}

/** A command that has been started; its stdin is a pipe. */
class Command {
  readonly child: ChildProcess;
  readonly done: Promise<Run>;

  constructor(daemon: Daemon, line: string) {
    const args = [program, ...line.split(' '), '--socket', daemon.socket];
    this.child = spawn(process.execPath, args, { stdio: 'pipe' });
    const out: Buffer[] = [];
    let err = '';
    this.child.stdout?.on('data', (piece: Buffer) => out.push(piece));
    this.child.stderr?.on('data', (piece: Buffer) => {
      err += piece.toString();
    });
    // One that ends early leaves what is written to it.
    this.child.stdin?.on('error', () => undefined);
    this.done = new Promise((resolve) => {
      this.child.once('close', (code, signal) =>
        resolve({ code, signal, out: Buffer.concat(out), err }),
      );
    });
  }
}

/** Runs a command to its end with a stdin. */
function run(daemon: Daemon, line: string, input: Buffer = Buffer.alloc(0)): Promise<Run> {
  const command = new Command(daemon, line);
  command.child.stdin?.end(input);
  return command.done;
}

async function succeeds(daemon: Daemon, line: string, input?: Buffer): Promise<Run> {
  const result = await run(daemon, line, input);
  assert.equal(result.code, 0, `${line}: ${result.err}`);
  return result;
}

/** Its exit code and the one line that it says. */
async function fails(daemon: Daemon, line: string, input?: Buffer): Promise<string> {
  const { code, out, err } = await run(daemon, line, input);
  assert.equal(out.length, 0, line);
  assert.match(err, /^ashlar: [^\n]+\n$/, line);
  return `${code} ${err.slice('ashlar: '.length).trimEnd()}`;
}

/** As a shell's pipe: `first | second`. */
async function piped(first: [Daemon, string], second: [Daemon, string]): Promise<[Run, Run]> {
  const [from, to] = [new Command(...first), new Command(...second)];
  if (from.child.stdout !== null && to.child.stdin !== null) from.child.stdout.pipe(to.child.stdin);
  return Promise.all([from.done, to.done]);
}

async function withHost<R>(
  daemon: Daemon,
  volume: string,
  work: (namespace: {
    write(at: bigint, data: Buffer): Promise<void>;
    all(): Promise<Buffer>;
  }) => R,
): Promise<Awaited<R>> {
  await daemon.call('POST', '/v1/grants', { volume, host: hostnqn, access: 'read-write' });
  const { nsid, sizeBytes } = await daemon.volume(volume);
  const host = await connectHost({
    address: '127.0.0.1',
    port: daemon.port,
    subnqn: await daemon.subnqn(),
    hostnqn,
    hostid: new Uint8Array(16).fill(7),
    ioQueues: 1,
  });
  try {
    const namespace = await host.namespace(nsid);
    return await work({
      write: (at, data) => namespace.write(at, data),
      all: async () => Buffer.from(await namespace.read(0n, sizeBytes)),
    });
  } finally {
    await host.close();
    await daemon.call('DELETE', `/v1/grants/${volume}/${encodeURIComponent(hostnqn)}`);
  }
}

const contents = (daemon: Daemon, volume: string) =>
  withHost(daemon, volume, (namespace) => namespace.all());

function noise(bytes: number, seed: number): Buffer {
  const data = Buffer.alloc(bytes);
  let state = seed;
  for (let at = 0; at < bytes; at += 4) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    data.writeUInt32LE(state, at);
  }
  return data;
}

test('a backup and an incremental one through pipes: equal, one line each, ranges told', async () => {
  await succeeds(source, 'volume create a --size 64MiB');
  await withHost(source, 'a', (namespace) => namespace.write(0n, noise(12 * mib, 1)));
  await succeeds(source, 'snapshot create a@sun');
  await withHost(source, 'a', (namespace) => namespace.write(BigInt(20 * mib), noise(mib, 2)));
  await succeeds(source, 'snapshot create a@mon');

  const diff = await succeeds(source, 'snapshot diff a@mon --since a@sun');
  assert.deepEqual(diff.out.toString().split('\n'), [
    '20971520\t1048576\tdata',
    '1 range: 1048576 bytes of data (1 MiB), 0 bytes of zeroes',
    '',
  ]);
  const json = await succeeds(source, 'snapshot diff a@mon --since a@sun --from 21MiB --json');
  assert.equal(json.out.toString(), '');

  const [out, into] = await piped([source, 'volume export a@sun'], [target, 'volume import b']);
  assert.equal(out.code, 0, out.err);
  assert.match(out.err, /^Exported 'a@sun': 12 MiB of data in 12 MiB, [^\n]+\.\n$/);
  assert.equal(into.code, 0, into.err);
  assert.match(into.out.toString(), /^Imported 'b@sun' \(full\): 12 MiB of data from 12 MiB, /);
  assert.equal(into.err, '');
  const [quietOut, quietInto] = await piped(
    [source, 'volume export a@mon --since a@sun --quiet'],
    [target, 'volume import b --quiet'],
  );
  assert.deepEqual([quietOut.code, quietOut.err], [0, '']);
  assert.deepEqual([quietInto.code, quietInto.err, quietInto.out.length], [0, '', 0]);
  assert.ok((await contents(target, 'b')).equals(await contents(source, 'a')));
});

test('to a file and from one: it appears whole or not at all, and is never written over', async () => {
  const file = source.workspace.file('sun.ashx');
  await succeeds(source, `volume export a@sun --output ${file}`);
  const bytes = fs.readFileSync(file);
  assert.match(await fails(source, `volume export a@sun --output ${file}`), /^4 .*exists already/);
  assert.match(
    await fails(source, `volume export a@nix --output ${file}.2`),
    /^3 snapshot 'a@nix'/,
  );
  assert.deepEqual(
    fs.readdirSync(source.workspace.path).filter((name) => /ashx/.test(name)),
    ['sun.ashx'],
  );
  const { out } = await succeeds(target, 'volume import fromfile --json --size 128MiB', bytes);
  const result = JSON.parse(out.toString()) as Record<string, unknown>;
  assert.equal(result['snapshot'], 'fromfile@sun');
  assert.equal(result['sizeBytes'], 128 * mib);
  assert.equal(result['dataBytes'], 12 * mib);
});

test('refusals: one line, the exit code, and no volume is made', async () => {
  const difference = (await succeeds(source, 'volume export a@mon --since a@sun')).out;
  assert.match(await fails(source, 'volume export a'), /^2 .*ashlar snapshot create a@NAME/);
  assert.match(await fails(target, 'volume import x', difference), /^3 volume 'x' does not exist/);
  assert.match(await fails(target, 'volume import x', Buffer.from('no stream')), /^1 .*damaged/);
  assert.match(await fails(target, 'volume import x'), /^1 .*empty/);
  assert.match(await fails(target, 'volume import b', difference), /^4 .*imported already/);
  assert.match(await fails(target, 'volume import b --abandon'), /^3 .*no unfinished import/);
  const many = Buffer.concat([Buffer.from('no stream'.repeat(100)), noise(40 * mib, 3)]);
  assert.match(await fails(target, 'volume import x', many), /^1 .*not an export stream/);
  const volumes = JSON.parse((await succeeds(target, 'volume list --json')).out.toString()) as {
    name: string;
  }[];
  assert.deepEqual(volumes.map(({ name }) => name).sort(), ['b', 'fromfile']);
});

test('the reader of an export leaves: one line and exit code 8, and the daemon goes on', async () => {
  const command = new Command(source, 'volume export a@sun');
  command.child.stdout?.once('data', () => command.child.stdout?.destroy());
  const { code, err } = await command.done;
  assert.equal(code, 8);
  assert.match(err, /^ashlar: the export of 'a@sun' stopped after [^\n]+ has gone\n$/);
  await succeeds(source, 'snapshot create a@later');
  await succeeds(source, 'snapshot delete a@later --yes');
});

test('the daemon killed half way through an import: it goes on from there', async () => {
  const bytes = (await succeeds(source, 'volume export a@mon')).out;
  const command = new Command(target, 'volume import c');
  command.child.stdin?.write(bytes.subarray(0, bytes.length / 2));
  for (;;) {
    const { body } = await target.api<{ items: { volume: string }[] }>('GET', '/v1/imports');
    if (body.items.some(({ volume }) => volume === 'c')) break;
  }
  await target.kill();
  const { code, err } = await command.done;
  assert.equal(code, 8, err);
  await target.start();
  const { out } = await succeeds(target, 'volume imports');
  assert.match(out.toString(), /c +a@mon +full +.* +64 MiB +cut off/);
  assert.match(await fails(target, 'volume import c', bytes.subarray(0, -40)), /^1 .*--abandon/);
  const { items } = await target.call<{ items: { appliedBytes: number }[] }>('GET', '/v1/imports');
  const from = items[0]?.appliedBytes ?? 0;
  assert.ok(from > 0);
  const [, into] = await piped(
    [source, `volume export a@mon --from ${from}`],
    [target, 'volume import c'],
  );
  assert.equal(into.code, 0, into.err);
  assert.match(into.out.toString(), /continued at/);
  assert.ok((await contents(target, 'c')).equals(await contents(source, 'a')));
  assert.equal(
    (await succeeds(target, 'volume imports')).out.toString(),
    'No imports are unfinished.\n',
  );
  assert.match((await succeeds(target, 'pool check')).out.toString(), /^Clean/);
});

test('given up: the volume is gone', async () => {
  const bytes = (await succeeds(source, 'volume export a@sun')).out;
  assert.match(await fails(target, 'volume import d', bytes.subarray(0, 3 * mib)), /interrupted/);
  const { out } = await succeeds(target, 'volume import d --abandon');
  assert.equal(out.toString(), "Gave up the import to volume 'd'.\n");
  assert.match(await fails(target, 'volume show d'), /^3 /);
});

test('Ctrl-C: an export leaves no half file; an import says how it goes on', async () => {
  await succeeds(source, 'volume create cut --size 64MiB');
  await withHost(source, 'cut', (namespace) => namespace.write(0n, noise(32 * mib, 9)));
  await succeeds(source, 'snapshot create cut@x');
  const file = source.workspace.file('cut.ashx');
  const exporting = new Command(source, `volume export cut@x --output ${file}`);
  const watcher = fs.watch(source.workspace.path, (_event, name) => {
    // Once: the second one ends it at once, and in no order.
    if (name !== 'cut.ashx.partial') return;
    watcher.close();
    exporting.child.kill('SIGINT');
  });
  const ended = await exporting.done;
  assert.deepEqual([ended.code, ended.err.includes("the export of 'cut@x' was ended")], [1, true]);
  assert.deepEqual([fs.existsSync(file), fs.existsSync(`${file}.partial`)], [false, false]);
  const { out: stream } = await succeeds(source, 'volume export cut@x');
  const importing = new Command(target, 'volume import cut');
  importing.child.stdin?.write(stream.subarray(0, 8 * mib));
  const begun = async (): Promise<boolean> =>
    (await run(target, 'volume imports --json')).out.includes('"cut"');
  while (!(await begun()));
  importing.child.kill('SIGINT');
  const { code, err } = await importing.done;
  assert.match(err, /was cut off; the same stream goes on with it, and 'ashlar volume import cut/);
  assert.equal(code, 1);
  await succeeds(target, 'volume import cut --abandon');
});
