/** Events over restarts: what is kept, of whom, and what a bad file or disk does to it. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pino } from 'pino';
import { eventKinds } from '../../lib/events/kinds.js';
import { EventFile } from '../../lib/node/event_file.js';
import {
  EventLog,
  type EventOwner,
  eventsKept,
  eventsKeptOfTenant,
} from '../../lib/node/event_log.js';
import type { Node, NodeEvent } from '../../lib/node/types.js';
import { SeededRandom, seedOfRun } from '../rig/random.js';
import { gib, open, PoolFolder } from './bench.js';

const silent = pino({ level: 'silent' });
const uuid = (digit: number) => `00000000-0000-4000-8000-00000000000${digit}`;
const red: EventOwner = { id: 2n, uuid: uuid(2), name: 'red' };
const blue: EventOwner = { id: 3n, uuid: uuid(3), name: 'blue' };
const owners = new Map([red, blue].map((owner) => [owner.uuid, owner]));

/** A logger, and what it said. */
function listening() {
  const told: string[] = [];
  const logger = pino({ level: 'warn' }, { write: (line: string) => told.push(line) });
  return { told, logger };
}

/** An event log above a file, as after a start. */
async function logAt(path: string, logger = silent): Promise<EventLog> {
  const { file, events } = await EventFile.read(path, logger);
  const log = new EventLog(logger, file);
  log.restore(events, (of) => owners.get(of) ?? null);
  log.started();
  return log;
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(setImmediate);
}

const told = (log: EventLog, owner?: EventOwner): string[] =>
  [...log.kept.newestFirst(owner?.id)].map(({ item }) => item.message).reverse();

const say = (log: EventLog, message: string, owner: EventOwner | null = null): void =>
  log.add('info', 'volume-created', message, null, {}, owner);

test('events: after a restart they are as they were, by number and id, and go on', async () => {
  using folder = new PoolFolder();
  const path = join(folder.folder, 'deep', 'events.log');
  const first = await logAt(path);
  say(first, 'of the node');
  say(first, 'of red', red);
  const was = first.after(0);
  await first.close();
  assert.equal(fs.statSync(path).mode & 0o777, 0o600);
  const second = await logAt(path);
  assert.deepEqual(second.after(0), was);
  say(second, 'later', red);
  assert.deepEqual(told(second, red), ['of red', 'later']);
  assert.deepEqual(told(second, blue), []);
  assert.equal(second.after(0).at(-1)?.sequence, 3);
  await second.close();
});

test('events: a last line that a crash cut off is dropped, the others stay, and it goes on', async () => {
  using folder = new PoolFolder();
  const path = join(folder.folder, 'events.log');
  const first = await logAt(path);
  for (const message of ['one', 'two', 'three']) say(first, message);
  await first.close();
  const whole = fs.readFileSync(path);
  const start = whole.lastIndexOf('\n', whole.length - 2) + 1;
  for (const length of [start + 1, whole.length - 20, whole.length - 1]) {
    fs.writeFileSync(path, whole.subarray(0, length));
    const { told: warned, logger } = listening();
    const second = await logAt(path, logger);
    assert.deepEqual(told(second), ['one', 'two'], `cut at ${length}`);
    say(second, 'four');
    await second.close();
    assert.deepEqual(warned, []);
    const third = await logAt(path);
    assert.deepEqual(told(third), ['one', 'two', 'four']);
    await third.close();
  }
});

test('events: lines that are none are left out with one warning, the others are read', async () => {
  using folder = new PoolFolder();
  const path = join(folder.folder, 'events.log');
  const first = await logAt(path);
  for (const message of ['one', 'two']) say(first, message);
  await first.close();
  const [head, one = '', two = ''] = fs.readFileSync(path, 'utf8').split('\n');
  const later = two.replace('volume-created', 'of-a-later-version');
  fs.writeFileSync(path, [head, one, '{"sequence":7}', '\0\0', later, one, two, ''].join('\n'));
  const { told: warned, logger } = listening();
  const second = await logAt(path, logger);
  assert.deepEqual(told(second), ['one', 'two'], 'each once');
  await second.close();
  assert.equal(warned.length, 1);
  assert.match(warned[0] ?? '', /3 lines of .* are no events of this version/);
});

test('events: a file that is none is put aside with a warning, and a new one begins', async () => {
  using folder = new PoolFolder();
  const path = join(folder.folder, 'events.log');
  for (const [content, why] of [
    ['somebody else’s\n', /does not begin as a file of events/],
    ['{"ashlar":"events","format":2}\n', /format 2 is not known/],
    [null, /EISDIR/],
  ] as const) {
    if (content === null) fs.mkdirSync(path);
    else fs.writeFileSync(path, content);
    const { told: warned, logger } = listening();
    const log = await logAt(path, logger);
    assert.deepEqual(told(log), []);
    say(log, 'new');
    await log.close();
    assert.match(warned.join(), why);
    assert.equal(warned.length, 1);
    if (content !== null) assert.equal(fs.readFileSync(`${path}.unreadable`, 'utf8'), content);
    const next = await logAt(path);
    assert.deepEqual(told(next), ['new']);
    await next.close();
    fs.rmSync(path);
    fs.rmSync(`${path}.unreadable`, { recursive: true });
  }
});

test('events: a disk that is full for a while: told of once, and what it missed comes later', async () => {
  using folder = new PoolFolder();
  const path = join(folder.folder, 'events.log');
  // What is written anew is written beside it first, and there the disk is full, once.
  fs.symlinkSync('/dev/full', `${path}.new`);
  const { told: warned, logger } = listening();
  const log = await logAt(path, logger);
  for (let count = 0; count < 50; count += 1) say(log, `event ${count}`, red);
  await until(() => warned.length > 0);
  assert.match(warned[0] ?? '', /ENOSPC.*the events cannot be written to/);
  await log.close();
  const again = await logAt(path);
  assert.deepEqual(again.after(0), log.after(0));
  await again.close();
  assert.equal(warned.length, 1);
});

test('events: a disk that takes nothing at all: one line in the log, and events in memory', async () => {
  using folder = new PoolFolder();
  const file = join(folder.folder, 'file');
  fs.writeFileSync(file, '');
  const { told: warned, logger } = listening();
  const log = await logAt(join(file, 'events.log'), logger);
  for (let count = 0; count < 50; count += 1) {
    say(log, `event ${count}`, red);
    if (count % 10 === 0) await new Promise(setImmediate);
  }
  await log.close();
  assert.equal(told(log, red).length, 50);
  const errors = warned.filter((line) => line.includes('"level":50'));
  assert.equal(errors.length, 1, warned.join());
});

test('events: the file stays within what is kept, and a noisy tenant costs others nothing', async () => {
  using folder = new PoolFolder();
  const path = join(folder.folder, 'events.log');
  const first = await logAt(path);
  for (let count = 0; count < 5; count += 1) say(first, `red ${count}`, red);
  let most = 0;
  for (let count = 0; count < 20_000; count += 1) {
    say(first, `blue ${count} ${'x'.repeat(200)}`, blue);
    say(first, `node ${count} ${'x'.repeat(200)}`);
    if (count % 500 === 0) {
      await new Promise(setImmediate);
      most = Math.max(most, fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0);
    }
  }
  await first.close();
  const second = await logAt(path);
  assert.deepEqual(told(second, red), ['red 0', 'red 1', 'red 2', 'red 3', 'red 4']);
  assert.equal(told(second, blue).length, eventsKeptOfTenant);
  assert.equal(told(second).length, eventsKept + eventsKeptOfTenant + 5);
  assert.deepEqual(second.after(0), first.after(0));
  await second.close();
  assert.ok(most < 4 << 20, `${most} bytes`);
});

const seed = seedOfRun();
test(`events: a file that was cut, changed or repeated anywhere: never in the way (${seed})`, async () => {
  using folder = new PoolFolder();
  const path = join(folder.folder, 'events.log');
  const random = new SeededRandom(seed);
  const first = await logAt(path);
  for (let count = 0; count < 20; count += 1) say(first, `event ${count}`, count % 3 ? red : null);
  await first.close();
  const ids = new Set(first.after(0).map(({ id }) => id));
  const whole = fs.readFileSync(path);
  for (let round = 0; round < 150; round += 1) {
    const bytes = Buffer.from(whole);
    const at = random.below(bytes.length);
    const piece = bytes.subarray(at, at + 1 + random.below(400));
    const damaged = [
      () => bytes.subarray(0, at),
      () => bytes.fill(0, at),
      () => Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at)]),
      () => {
        for (const [offset] of piece.entries()) piece[offset] = random.below(256);
        return bytes;
      },
    ];
    fs.writeFileSync(path, random.pick(damaged)?.() ?? bytes);
    const second = await logAt(path);
    const found = second.after(0);
    for (const [index, { sequence }] of found.entries()) {
      assert.ok(sequence > (found[index - 1]?.sequence ?? 0), 'ascending, each once');
    }
    // A change within an id or a number makes another event of it; the others are as they were.
    const strangers = found.filter(({ id }) => !ids.has(id));
    assert.ok(strangers.length <= 2, strangers.map(({ id }) => id).join());
    say(second, 'after');
    await second.close();
    const third = await logAt(path);
    assert.equal(told(third).at(-1), 'after');
    assert.deepEqual(third.after(0), second.after(0));
    await third.close();
  }
});

// ---- With a node --------------------------------------------------------------------------------

const eventsOf = (node: Node, tenant?: string): NodeEvent[] =>
  node.eventList.page({ ...(tenant === undefined ? {} : { tenant }), limit: 1000 }).items;
const kindsOf = (node: Node, tenant?: string): string[] =>
  eventsOf(node, tenant).map(({ kind }) => kind);

test('events: a tenant made later sees none of a deleted one, though it has its record id', async () => {
  using folder = new PoolFolder();
  const over = { pool: folder.pool, eventFile: join(folder.folder, 'events.log') };
  const first = await open(over);
  await first.tenants.create('red');
  await first.tenants.create('gone');
  await first.volumes.create({ name: 'v', sizeBytes: gib }, { tenant: 'gone' });
  await first.volumes.delete('v', { tenant: 'gone' });
  const seen = eventsOf(first, 'gone');
  assert.ok(seen.length >= 3);
  await first.tenants.delete('gone');
  await first.volumes.create({ name: 'w', sizeBytes: gib }, { tenant: 'red' });
  await first.close();
  await using second = await open(over);
  await second.tenants.create('gone');
  assert.deepEqual(kindsOf(second, 'gone'), ['tenant-created']);
  for (const { id } of seen) {
    assert.throws(() => second.eventList.show(id, { tenant: 'gone' }), { code: 'not-found' });
    assert.equal(second.eventList.show(id).id, id, 'the node has it');
  }
  assert.deepEqual(kindsOf(second, 'red'), ['volume-created', 'tenant-created']);
});

test('events: the start says whether the run before ended in order', async () => {
  using folder = new PoolFolder();
  const eventFile = join(folder.folder, 'events.log');
  const over = { pool: folder.pool, eventFile };
  const started = (node: Node) => eventsOf(node).find(({ kind }) => kind === 'node-started');
  const first = await open(over);
  assert.equal(started(first)?.severity, 'info');
  await first.close();
  const second = await open(over);
  assert.equal(started(second)?.severity, 'info');
  const written = () => fs.readFileSync(eventFile, 'utf8');
  await until(() => written().split('node-started').length === 3);
  // As a kill leaves it.
  const killed = fs.readFileSync(eventFile);
  await second.close();
  fs.writeFileSync(eventFile, killed);
  await using third = await open(over);
  assert.equal(started(third)?.severity, 'warning');
  assert.match(started(third)?.message ?? '', /did not end in order/);
});

test('events: starts that fail alike leave one event, and nothing that was before goes', async () => {
  using folder = new PoolFolder();
  const over = { pool: folder.pool, eventFile: join(folder.folder, 'events.log') };
  const first = await open(over);
  await first.close();
  await using other = await open();
  const port = other.portals.list()[0]?.port ?? 0;
  const portals = [{ address: '127.0.0.1', port, discoveryOnly: false }];
  for (let attempt = 0; attempt < 3; attempt += 1) {
    await assert.rejects(open({ ...over, portals }), { code: 'address-in-use' });
  }
  await using last = await open(over);
  const [failed, ...others] = eventsOf(last).filter(({ kind }) => kind === 'start-failed');
  assert.deepEqual(others, []);
  assert.match(failed?.message ?? '', /^the start failed: /);
  const [started] = eventsOf(last).filter(({ kind }) => kind === 'node-started');
  assert.equal(started?.severity, 'info');
});

test('events: of a time, of a kind', async () => {
  await using node = await open();
  await node.volumes.create({ name: 'v', sizeBytes: gib });
  const now = Date.now();
  const page = (filter: object) => node.eventList.page(filter).items;
  assert.deepEqual(page({ sinceMs: now + 1 }), []);
  assert.deepEqual(page({ untilMs: now - 3_600_000 }), []);
  assert.ok(page({ sinceMs: now - 3_600_000, untilMs: now + 1000 }).length > 2);
  assert.equal(page({ kind: 'volume-created' }).length, 1);
});

test('events: policies made again as they are: told of once', async () => {
  await using node = await open();
  for (let count = 0; count < 2; count += 1) {
    await node.policies.create('gold', { iops: 100n }, { repeatable: true });
  }
  assert.equal(kindsOf(node).filter((kind) => kind === 'policy-created').length, 1);
});

// ---- The table of kinds -------------------------------------------------------------------------

test('events: docs/observability.md has every kind, in order, with what to do', () => {
  const text = fs.readFileSync(join(process.cwd(), 'docs/observability.md'), 'utf8');
  const section = /^## Events\n(.*?)^## /ms.exec(text)?.[1] ?? '';
  const rows = [...section.matchAll(/^\| `([a-z-]+)` \| ([^|]+) \| ([^|]+) \|$/gm)];
  assert.deepEqual(
    rows.map(([, kind]) => kind),
    [...eventKinds],
  );
});

test('events: every kind is told by some line of lib/', () => {
  const root = join(process.cwd(), 'lib');
  const files = fs
    .readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.startsWith('events/'));
  const text = files.map((name) => fs.readFileSync(join(root, name), 'utf8')).join();
  // Of those that are put together from what they are of.
  const parts = /^(?:volume|snapshot)-(?:granted|revoked)$|^pool-(?:created|opened)$/;
  const silentKinds = eventKinds.filter((kind) => !text.includes(`'${kind}'`) && !parts.test(kind));
  assert.deepEqual(silentKinds, []);
});
