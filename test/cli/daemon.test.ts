/** Commands with a real daemon: what a person sees, word for word, and what scripts rely on. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { Daemon, type Exit, program, runProgram, Workspace } from '../rig/daemon.js';

const hostnqn = 'nqn.2014-08.org.nvmexpress:uuid:00000000-0000-4000-8000-000000000001';

let daemon: Daemon;
before(async () => {
  daemon = await Daemon.start({ poolFile: 'pool.ashlar', demoSize: null });
});
after(async () => {
  await daemon[Symbol.asyncDispose]();
});

type Run = Exit & { out: string; err: string };

/** Runs a command line against the daemon. */
function ashlar(line: string): Promise<Run> {
  return runProgram([...line.split(' '), '--socket', daemon.socket]);
}

/** Output with what differs from run to run replaced by words. */
function masked(text: string): string {
  return text
    .replaceAll(daemon.workspace.path, 'DIR')
    .replaceAll(/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, 'UUID')
    .replaceAll(/\b[0-9a-f]{32}\b/g, 'NGUID')
    .replaceAll(/^(Namespace +|.*, namespace )\d+/gm, '$1N')
    .replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, 'TIME')
    .replaceAll(new RegExp(`\\b${daemon.port}\\b`, 'g'), 'PORT');
}

/** What a command prints, masked; it must succeed in silence on stderr. */
async function shows(line: string): Promise<string[]> {
  const { code, out, err } = await ashlar(line);
  assert.equal(err, '', line);
  assert.equal(code, 0, line);
  return masked(out).trimEnd().split('\n');
}

/** The rows of a table whose widths depend on what is masked: one space between cells. */
async function cells(line: string): Promise<string[]> {
  return (await shows(line)).map((row) => row.trim().replaceAll(/ +/g, ' '));
}

/** The one line of an error, masked, behind its exit code. */
async function fails(line: string): Promise<string> {
  const { code, out, err } = await ashlar(line);
  assert.equal(out, '', line);
  assert.match(err, /^ashlar: [^\n]+\n$/, 'one line');
  return `${code} ${masked(err).slice('ashlar: '.length).trimEnd()}`;
}

test('volume: created, listed, shown, grown, renamed, deleted: as a person sees it', async () => {
  assert.deepEqual(await shows('volume list'), [
    'No volumes. Create one: ashlar volume create NAME --size 10GiB',
  ]);
  assert.deepEqual(await shows(`volume create web --size 1.5TiB --host ${hostnqn}`), [
    "Created volume 'web': 1.5TiB, 4096-byte blocks, namespace N.",
    'Granted to nqn.2014-08.org.nvmexpress:uuid:UUID.',
  ]);
  assert.deepEqual(await shows('volume create db --size 10GiB --block-size 512'), [
    "Created volume 'db': 10GiB, 512-byte blocks, namespace N.",
    'No host may use it yet: ashlar grant add db HOSTNQN',
  ]);
  assert.deepEqual(await shows('volume list'), [
    'NAME     SIZE  WRITTEN  OWN  SNAPS  BLOCK  NSID  CONNS  HOSTS',
    'db     10 GiB      0 B  0 B      0    512     2      0  none',
    'web   1.5 TiB      0 B  0 B      0   4096     1      0  nqn.2014-08.org.nvmexpress:uuid:UUID',
  ]);
  assert.deepEqual(await shows('volume show web'), [
    'Name         web',
    'Tenant       default',
    'Size         1.5TiB (1649267441664 bytes)',
    'Block size   4096 bytes',
    'Written      0 B',
    'Pool space   0 B of its own',
    'Snapshots    0',
    'UUID         UUID',
    'NGUID        NGUID',
    'Namespace    N of nqn.2026-01.dev.ashlar:UUID',
    'ANA group    1',
    'Created      TIME',
    'Connections  0',
    'Hosts',
    '  nqn.2014-08.org.nvmexpress:uuid:UUID, read-write, since TIME',
  ]);
  assert.deepEqual(await shows('volume resize web --size 2TiB'), [
    "Volume 'web' is now 2TiB; connected hosts see the new size.",
  ]);
  assert.deepEqual(await shows('volume rename web www'), ["Volume 'web' is now 'www'."]);
  assert.deepEqual(await shows('volume delete www --yes'), ["Deleted volume 'www'."]);
  assert.deepEqual(await shows('volume delete db --yes'), ["Deleted volume 'db'."]);
  assert.match(await fails('volume show www'), /^3 volume 'www'/);
});

test('volume: bad input: one line that says what and which limit; nothing is made', async () => {
  await shows('volume create one --size 1GiB');
  assert.match(await fails('volume create one --size 1GiB'), /^4 .*'one'/);
  assert.match(await fails('volume create zero --size 0'), /^2 volume 'zero' cannot have 0 bytes/);
  assert.match(await fails('volume create big --size 65TiB'), /^6 .*65TiB .* 64TiB/);
  assert.match(await fails('volume create huge --size 99999999PiB'), /^6 .*64TiB/);
  assert.match(await fails('volume create odd --size 5000'), /^2 .*next size is 8192/);
  assert.match(await fails('volume create a/b --size 1GiB'), /^2 volume name 'a\/b'/);
  assert.match(await fails('volume create x --size 1GiB --host nobody'), /^2 host NQN 'nobody'/);
  assert.match(await fails('volume resize one --size 512MiB'), /^2 /);
  assert.match(await fails('volume delete other --yes'), /^3 /);
  assert.match(await fails('volume delete one'), /^2 .*--yes/);
  const { out } = await ashlar('volume list --json');
  const volumes: { name: string }[] = JSON.parse(out);
  assert.deepEqual(
    volumes.map(({ name }) => name),
    ['one'],
  );
  await shows('volume delete one --yes');
});

test('volume: a repeat with --if-missing and --if-exists: success', async () => {
  await shows('volume create twice --size 1GiB');
  await shows('volume create twice --size 1GiB --if-missing');
  await shows('volume delete twice --yes');
  await shows('volume delete twice --yes --if-exists');
});

test('snapshot: taken, listed, shown, rolled back to, cloned, deleted: as a person sees it', async () => {
  assert.deepEqual(await shows('snapshot list'), [
    'No snapshots. Take one: ashlar snapshot create VOLUME@NAME',
  ]);
  await shows('volume create data --size 1GiB');
  await shows('volume create log --size 2GiB');
  assert.deepEqual(await shows('snapshot create data@mon'), [
    "Created snapshot 'data@mon': 0 B of data.",
  ]);
  assert.deepEqual(await shows('snapshot create data@noon log@noon'), [
    "Created 2 snapshots of one instant: 'data@noon', 'log@noon'.",
  ]);
  assert.deepEqual(await cells('snapshot list'), [
    'SNAPSHOT SIZE WRITTEN FREES CONNS TAKEN VOLUME',
    'data@mon 1 GiB 0 B 0 B 0 TIME there',
    'data@noon 1 GiB 0 B 0 B 0 TIME there',
    'log@noon 2 GiB 0 B 0 B 0 TIME there',
  ]);
  const page = await shows('snapshot list --limit 2');
  assert.equal(page.length, 4);
  const after = /^There are more: give --after (\S+)$/.exec(page[3] ?? '')?.[1] ?? '';
  assert.deepEqual((await cells(`snapshot list --limit 2 --after ${after}`)).slice(1), [
    'log@noon 2 GiB 0 B 0 B 0 TIME there',
  ]);
  assert.deepEqual(await shows('grant add data@mon *'), [
    "Any host may read snapshot 'data@mon' (read-only).",
  ]);
  assert.deepEqual(await shows('snapshot show data@mon'), [
    'Snapshot     data@mon',
    'Tenant       default',
    'Volume       data',
    'Taken        TIME',
    'Size         1GiB (1073741824 bytes)',
    'Block size   4096 bytes',
    'Written      0 B',
    'Pool space   0 B of its own',
    'Shared       0 B of the written with older snapshots',
    'Frees        0 B when deleted now',
    'UUID         UUID',
    'NGUID        NGUID',
    'Namespace    N of nqn.2026-01.dev.ashlar:UUID',
    'Connections  0',
    'Hosts',
    '  * (any host), read-only, since TIME',
  ]);
  assert.deepEqual(await cells('grant list'), [
    'VOLUME TENANT HOST ACCESS SINCE',
    'data@mon default * (any) read-only TIME',
  ]);
  assert.deepEqual(await shows('grant remove data@mon *'), [
    "Snapshot 'data@mon' is taken away from '*'.",
  ]);
  assert.deepEqual(await shows('snapshot rollback data@mon --yes'), [
    "Volume 'data' is back at 'data@mon'.",
  ]);
  assert.deepEqual(await shows('volume clone data@mon copy --size 3GiB'), [
    "Cloned 'data@mon' as volume 'copy': 3GiB, namespace N.",
    'No host may use it yet: ashlar grant add copy HOSTNQN',
  ]);
  assert.match(
    (await shows('status'))[4] ?? '',
    /^Serving {3}3 volumes and 3 snapshots of 1 tenant/,
  );
  await shows('volume delete data --yes');
  assert.deepEqual((await cells('snapshot list data')).slice(1), [
    'data@mon 1 GiB 0 B 0 B 0 TIME deleted',
    'data@noon 1 GiB 0 B 0 B 0 TIME deleted',
  ]);
  for (const reference of ['data@mon', 'data@noon', 'log@noon']) {
    assert.deepEqual(await shows(`snapshot delete ${reference} --yes`), [
      `Deleted snapshot '${reference}'.`,
    ]);
  }
  await shows('snapshot delete data@mon --yes --if-exists');
  for (const name of ['log', 'copy']) await shows(`volume delete ${name} --yes`);
});

test('snapshot: bad input: one line that says what; nothing is made', async () => {
  await shows('volume create data --size 2GiB');
  await shows('snapshot create data@mon');
  assert.match(await fails('snapshot create data'), /^2 'data' is not VOLUME@NAME/);
  assert.match(await fails('snapshot create data@a x@b'), /^2 .* not 'a' and 'b'/);
  assert.match(await fails('snapshot create none@mon'), /^3 volume 'none'/);
  assert.match(await fails('snapshot create data@mon'), /^4 snapshot 'data@mon' exists already/);
  assert.match(await fails('snapshot create data@a/b'), /^2 snapshot name 'a\/b'/);
  assert.match(await fails('snapshot create data@x none@x'), /^3 volume 'none'/);
  assert.match(await fails('snapshot show data@tue'), /^3 snapshot 'data@tue'/);
  assert.match(await fails('snapshot list none'), /^3 volume 'none' does not exist/);
  assert.match(await fails('snapshot list --limit 0'), /^2 .*1 to 1000/);
  assert.match(await fails('snapshot list --after x'), /^2 /);
  assert.match(await fails('snapshot delete data@mon'), /^2 .*frees 0 B.*--yes/);
  assert.match(await fails('snapshot rollback data@mon'), /^2 .*lose what was written.*--yes/);
  assert.match(await fails('volume clone data@mon data'), /^4 volume 'data' exists already/);
  assert.match(
    await fails('volume clone data@mon small --size 1GiB'),
    /^2 clone 'small' of 1GiB is smaller than snapshot 'data@mon' of 2GiB/,
  );
  assert.match(await fails('volume clone data@tue x'), /^3 /);
  assert.match(await fails('volume resize data --size 1GiB'), /^2 .*--shrink/);
  assert.match(await fails('volume reserve data'), /^6 .*bytes are missing|^6 .* are missing/);
  await shows('snapshot delete data@mon --yes');
  await shows('volume delete data --yes');
});

test('grant and host: given, listed, taken', async () => {
  await shows('volume create v --size 1GiB');
  assert.deepEqual(await shows('grant add v *'), ["Any host may use volume 'v' (read-write)."]);
  assert.deepEqual(await shows(`grant add v ${hostnqn} --read-only`), [
    "Host 'nqn.2014-08.org.nvmexpress:uuid:UUID' may use volume 'v' (read-only).",
  ]);
  assert.deepEqual(await cells('grant list'), [
    'VOLUME TENANT HOST ACCESS SINCE',
    'v default * (any) read-write TIME',
    'v default nqn.2014-08.org.nvmexpress:uuid:UUID read-only TIME',
  ]);
  assert.deepEqual(await cells('host list'), [
    'HOST NQN TENANT CONNS VOLUMES',
    'nqn.2014-08.org.nvmexpress:uuid:UUID default 0 v',
  ]);
  assert.deepEqual(await shows('grant remove v *'), ["Volume 'v' is taken away from '*'."]);
  assert.match(await fails('grant remove v *'), /^3 /);
  assert.match(await fails(`grant add v ${hostnqn}`), /^4 /);
  assert.match(await fails(`grant add nothing ${hostnqn}`), /^3 /);
  await shows(`host remove ${hostnqn}`);
  assert.deepEqual(await shows('host list'), [
    'No hosts. Let one use a volume: ashlar grant add VOLUME HOSTNQN',
  ]);
  await shows('volume delete v --yes');
});

test('status, portals and connect-info: how to reach the daemon', async () => {
  const status = await shows('status');
  assert.equal(status[0], 'State     serving');
  assert.match(status[3] ?? '', /^Pool {6}DIR\/pool\.ashlar: .* of 256 MiB used, 0 B provisioned$/);
  assert.deepEqual(status.slice(4, 6), [
    'Serving   0 volumes of 1 tenant to 0 controllers',
    'Portal    127.0.0.1:PORT',
  ]);
  assert.deepEqual(await cells('portal list'), [
    'ID ENDPOINT SERVES TLS ORIGIN STATE CONTROLLERS ANA',
    '1 127.0.0.1:PORT all none configured listening 0 optimized',
  ]);
  assert.deepEqual(await shows('connect-info'), [
    'nvme discover -t tcp -a 127.0.0.1 -s PORT',
    'nvme connect -t tcp -a 127.0.0.1 -s PORT -n nqn.2026-01.dev.ashlar:UUID',
  ]);
  assert.deepEqual(await shows('controller list'), [
    'No host is connected. How to connect one: ashlar connect-info',
  ]);
});

test('pool status and check of a file that the daemon holds: through the daemon', async () => {
  const file = daemon.workspace.file('pool.ashlar');
  assert.deepEqual(await shows(`pool status ${file}`), await shows('pool status'));
  assert.match((await shows(`pool check ${file}`))[0] ?? '', /^Clean: DIR\/pool\.ashlar \(/);
  const elsewhere = await runProgram(['pool', 'check', file, '--socket', '/nowhere']);
  assert.equal(elsewhere.code, 4);
  assert.match(elsewhere.err, /^ashlar: [^\n]*pool\.ashlar[^\n]*\n$/);
});

test('pool device: added, listed, and in the status', async () => {
  const more = daemon.workspace.file('more.ashlar');
  assert.match(
    await fails(`pool device add ${more}`),
    /^2 '.*more.ashlar' does not exist; .*--size/,
  );
  assert.deepEqual(await shows(`pool device add ${more} --size 64MiB`), [
    'Added device DIR/more.ashlar: 64MiB, in use from now on.',
  ]);
  assert.match(await fails(`pool device add ${more}`), /^4 .* is a device of the pool already/);
  const devices = await cells('pool device list');
  assert.equal(devices[0], 'INDEX PATH STATE SIZE FREE ERRORS UUID');
  assert.match(devices[1] ?? '', /^0 DIR\/pool\.ashlar online 256 MiB /);
  assert.match(devices[2] ?? '', /^1 DIR\/more\.ashlar online 64 MiB .* 0 read, 0 write UUID$/);
  assert.ok((await cells('pool status')).includes(devices[2] ?? ''));
  assert.match(await fails(`pool device attach ${more}`), /^4 /);
});

test('serve: the socket of a living daemon: refused with its process, exit code 4', async () => {
  const { code, out, err } = await runProgram(['serve', '--socket', daemon.socket]);
  assert.equal(code, 4);
  assert.equal(out, '');
  assert.match(err, new RegExp(`^ashlar: a daemon already answers at .*: process ${daemon.pid}, `));
});

test('serve: a pool that a living daemon holds: refused, exit code 4', async () => {
  const args = ['--pool', daemon.workspace.file('pool.ashlar'), '--portal', '127.0.0.1:0'];
  const socket = daemon.workspace.file('other.sock');
  const { code, err } = await runProgram(['serve', ...args, '--no-discovery', '--socket', socket]);
  assert.equal(code, 4);
  assert.match(lastLine(err), /^ashlar: [^\n]*pool\.ashlar/);
  assert.equal(fs.existsSync(socket), false);
});

test('serve: a port in use on the first run: refused, and nothing is left behind', async () => {
  using workspace = new Workspace();
  const taken = net.createServer();
  taken.listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const address = taken.address();
  assert.ok(typeof address === 'object' && address !== null);
  const portal = `127.0.0.1:${address.port}`;
  const pool = workspace.file('sub/pool.ashlar');
  const socket = workspace.file('sub/s');
  const args = ['--pool', pool, '--portal', portal, '--no-discovery', '--socket', socket];
  const { code, err } = await runProgram(['serve', ...args]);
  taken.close();
  assert.equal(code, 4);
  assert.match(
    lastLine(err),
    new RegExp(`^ashlar: port ${address.port} of 127\\.0\\.0\\.1 is in use`),
  );
  assert.deepEqual(fs.readdirSync(workspace.path), []);
});

test('serve: a port in use with a pool that is there: refused, and the pool is as before', async () => {
  const portal = `127.0.0.1:${daemon.port}`;
  using workspace = new Workspace();
  const pool = workspace.file('p');
  const created = await runProgram(['pool', 'create', pool, '--size', '64MiB']);
  assert.equal(created.code, 0, created.err);
  const args = ['--pool', pool, '--portal', portal, '--no-discovery'];
  const { code, err } = await runProgram(['serve', ...args, '--socket', workspace.file('s')]);
  assert.equal(code, 4);
  assert.match(lastLine(err), new RegExp(`^ashlar: .*${daemon.port}`));
  const check = await runProgram(['pool', 'check', pool]);
  assert.equal(check.code, 0, check.err);
});

function lastLine(text: string): string {
  return text.trimEnd().split('\n').at(-1) ?? '';
}

/** Starts `ashlar serve`, waits for its first words on stdout, and gives both. */
async function serving(args: readonly string[]): Promise<{
  text: () => string;
  stop: (signal: NodeJS.Signals) => Promise<number | null>;
}> {
  const child = spawn(process.execPath, [program, 'serve', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let err = '';
  child.stderr.on('data', (piece: Buffer) => {
    err += piece.toString();
  });
  const ended = once(child, 'close');
  await new Promise<void>((resolve, reject) => {
    child.stdout.on('data', (piece: Buffer) => {
      out += piece.toString();
      if (out.includes('Ctrl-C') || out.startsWith('{')) resolve();
    });
    child.once('close', () => reject(new Error(`serve ended: ${err}`)));
  });
  const stop = async (signal: NodeJS.Signals): Promise<number | null> => {
    child.kill(signal);
    const [code]: (number | null)[] = await ended;
    return code ?? null;
  };
  return { text: () => out, stop };
}

test('serve: when ready: what it made, the nvme lines, the socket; SIGTERM: exit code 0', async () => {
  using workspace = new Workspace();
  const socket = workspace.file('s');
  const pool = workspace.file('pool.ashlar');
  const args = ['--pool', pool, '--size', '64MiB', '--portal', '127.0.0.1:0', '--no-discovery'];
  const daemonOfOwn = await serving([...args, '--demo', '--socket', socket]);
  const text = daemonOfOwn.text().replaceAll(workspace.path, 'DIR');
  assert.match(text, /^Ashlar \d+\.\d+\.\d+ is serving\.$/m);
  assert.match(text, /^ {2}pool {5}DIR\/pool\.ashlar \(64MiB, sparse, just created\)$/m);
  assert.match(text, /^ {2}made {5}volume 'demo' of 10GiB, for any host$/m);
  assert.match(text, /^ {2}control {2}DIR\/s$/m);
  assert.match(text, /^ {2}nvme discover -t tcp -a 127\.0\.0\.1 -s \d+$/m);
  assert.match(text, /^ {2}nvme connect -t tcp -a 127\.0\.0\.1 -s \d+ -n nqn\.2026-01\./m);
  assert.equal(await daemonOfOwn.stop('SIGTERM'), 0);
  assert.equal(fs.existsSync(socket), false, 'the socket is gone');
  const status = await runProgram(['pool', 'status', pool, '--json']);
  const { replayedRecords }: { replayedRecords: number } = JSON.parse(status.out);
  assert.equal(replayedRecords, 0, 'the end made a checkpoint');
});

test('serve --json: one JSON line when ready; SIGINT: exit code 0', async () => {
  using workspace = new Workspace();
  const args = ['--memory', '64MiB', '--portal', '127.0.0.1:0', '--no-discovery', '--json'];
  const daemonOfOwn = await serving([...args, '--socket', workspace.file('s')]);
  const ready: { event: string; portals: { port: number }[] } = JSON.parse(daemonOfOwn.text());
  assert.equal(ready.event, 'ready');
  assert.ok((ready.portals[0]?.port ?? 0) > 0);
  assert.equal(await daemonOfOwn.stop('SIGINT'), 0);
});
