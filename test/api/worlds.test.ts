/**
 * A tenant neither sees nor counts what is another's. Red makes every call that it can in two
 * worlds, one where blue has nothing and one where blue has a great many of everything, and more at
 * every step. What red is answered is the same, letter by letter.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import { type Operation, operations } from '../../lib/api/operations.js';
import { transfers } from '../../lib/api/transfer_names.js';
import { mib, type Step, sharedHost, World, type WorldOperation } from './worlds.js';

const all: Readonly<Record<string, Operation>> = { ...operations, ...transfers };
const nobody = (last: number) => `00000000-0000-4000-8000-00000000abc${last}`;
const own = 'nqn.2026-01.test:own';

/** What red knows of blue: names to guess, and identities that it has heard. */
type Foreign = Record<string, string>;
const unknown: Foreign = {
  volume: nobody(1),
  snapshot: nobody(2),
  group: nobody(3),
  schedule: nobody(4),
  host: 'nqn.2026-01.test:cobalt-1',
  fingerprint: 'ab12ab12ab12',
  psk: 'ab12ab12ab12',
  token: 'cobalt-1',
  job: nobody(5),
  event: nobody(6),
  tenant: 'blue',
};

/** What red makes, in an order in which each call can succeed. */
const makings: Step[] = [
  { id: 'createHost', body: { nqn: own } },
  { id: 'createHost', body: { nqn: sharedHost } },
  { id: 'createVolume', body: { name: 'ruby', sizeBytes: mib, hosts: [own, '*'] } },
  { id: 'createVolume', body: { name: 'garnet', sizeBytes: 2 * mib, reserved: true } },
  { id: 'createVolume', body: { name: 'vast', sizeBytes: 2 ** 40, reserved: true } },
  { id: 'changeVolume', params: { volume: 'garnet' }, body: { sizeBytes: 3 * mib } },
  { id: 'createSnapshots', body: { volumes: ['ruby', 'garnet'], name: 'dawn' } },
  { id: 'createSnapshots', body: { volumes: ['ruby'], name: 'noon' } },
  { id: 'createSnapshots', body: { volumes: ['ruby'], name: 'dusk' } },
  { id: 'cloneVolume', body: { source: 'ruby@noon', name: 'spinel' } },
  { id: 'createGrant', body: { volume: 'ruby@noon', host: own } },
  { id: 'createGrant', body: { volume: 'garnet', host: sharedHost } },
  {
    id: 'createSchedule',
    body: { name: 'nightly', cron: '0 3 29 2 *', volumes: ['ruby'], keep: { last: 1 } },
  },
  { id: 'changeSchedule', params: { schedule: 'nightly' }, body: { enabled: false } },
  { id: 'createHostKey', params: { host: own }, body: {} },
  { id: 'createHostKey', params: { host: own }, body: {} },
  { id: 'createHostKey', params: { host: own }, body: {} },
  ...Array.from({ length: 5 }, (): Step => ({ id: 'createPsk', body: { host: sharedHost } })),
  { id: 'createToken', body: { name: 'seer', role: 'viewer' } },
  { id: 'createToken', body: { name: 'cobalt-1', role: 'viewer' } },
  { id: 'createToken', body: { name: 'cert', role: 'viewer', subject: 'CN=ops' } },
  { id: 'rotateToken', params: { token: 'seer' }, body: { graceSeconds: 60 } },
];

/** Taken back, when everything has been read. */
const unmakings: Step[] = [
  { id: 'clearReservations', params: { volume: 'ruby' } },
  { id: 'rollbackSnapshot', params: { snapshot: 'garnet@dawn' } },
  { id: 'deleteGrant', params: { volume: 'ruby@noon', host: own } },
  { id: 'deleteSnapshot', params: { snapshot: 'ruby@dusk' } },
  { id: 'deleteSchedule', params: { schedule: 'nightly' } },
  { id: 'deletePsk', params: { host: sharedHost } },
  { id: 'deleteHost', params: { host: own } },
  { id: 'deleteToken', params: { token: 'seer' } },
  { id: 'deleteVolume', params: { volume: 'spinel' } },
];

const lists = Object.keys(operations).filter(
  (id): id is keyof typeof operations => id.startsWith('list') && all[id]?.scope !== 'node',
);

/** A red life. @param foreign what it knows of blue. */
async function live(world: World, foreign: Foreign, meanwhile: () => Promise<void>): Promise<void> {
  const step = async (each: Step) => {
    const answer = await world.step(each);
    await meanwhile();
    return answer;
  };
  for (const each of makings) await step(each);
  const ids = await makeWithIds(world, step);
  for (const role of ['admin', 'viewer'] as const) {
    for (const id of lists) {
      const params = id === 'listRanges' ? { params: { snapshot: 'ruby@noon' } } : {};
      await world.step({ id, role, ...params });
      await world.pages(id, { role, ...params });
    }
    for (const each of readings(ids)) await world.step({ ...each, role });
  }
  for (const each of prying(foreign)) await world.step(each);
  for (const each of unmakings) await step(each);
  await step({ id: 'deleteHostKey', params: { host: sharedHost, ...ids } });
  await step({ id: 'deleteGroup', params: ids });
  await step({ id: 'cancelJob', params: ids });
  await step({ id: 'deleteJob', params: ids });
  // Of the node, and refused.
  for (const id of Object.keys(all)) {
    if (!world.called.has(id)) await step({ id: id as WorldOperation, params: nodeParams });
  }
  await world.pages('listEvents');
}

const nodeParams = {
  tenant: 'red',
  pool: 'memory',
  device: '0',
  portal: '1',
  referral: '192.0.2.7',
  policy: 'offered',
};

/** What has an identity of its own: a host that is there, a half import, an export, a run. */
async function makeWithIds(
  world: World,
  step: (each: Step) => Promise<Awaited<ReturnType<World['step']>>>,
): Promise<Record<string, string>> {
  const connected = await world.connect('red', 'ruby');
  assert.equal(await connected.write(), 0);
  assert.equal(await connected.register(7n), 0);
  await world.connect('red', 'ruby');
  await step({ id: 'runSchedule', params: { schedule: 'nightly' } });
  const whole = await step({ id: 'exportSnapshot', params: { snapshot: 'ruby@noon' } });
  const half = whole.body.subarray(0, whole.body.length - 8);
  for (const volume of ['half', 'given-up']) {
    await step({ id: 'importVolume', params: { volume }, body: half });
  }
  await step({ id: 'abandonImport', params: { volume: 'given-up' } });
  await step({ id: 'importVolume', params: { volume: 'opal' }, body: whole.body });
  const last = async (id: WorldOperation, query = {}) => {
    const { document } = await world.step({ id, query });
    const { items } = document as { items: Record<string, string>[] };
    return items.at(0) ?? {};
  };
  const { key } = (await step({ id: 'createHostKey', params: { host: sharedHost }, body: {} }))
    .document as { key: { fingerprint: string } };
  return {
    group: (await last('listGroups')).uuid ?? '',
    event: (await last('listEvents')).id ?? '',
    job: (await last('listJobs', { state: 'succeeded' })).id ?? '',
    fingerprint: key.fingerprint,
    psk: (await last('listPsks')).id ?? '',
  };
}

function readings(ids: Record<string, string>): Step[] {
  return [
    { id: 'getSelf' },
    { id: 'getPolicy', params: { policy: 'offered' } },
    { id: 'getVolumeStatistics', params: { volume: 'ruby' } },
    { id: 'explainVolume', params: { volume: 'ruby' } },
    { id: 'explainHost', params: { host: own } },
    { id: 'explainHost', params: { host: sharedHost } },
    { id: 'explainTenant', params: { tenant: 'red' } },
    { id: 'getTenant', params: { tenant: 'red' } },
    { id: 'getVolume', params: { volume: 'ruby' } },
    { id: 'getSnapshot', params: { snapshot: 'ruby@noon' } },
    { id: 'getGroup', params: ids },
    { id: 'getSchedule', params: { schedule: 'nightly' } },
    { id: 'getImport', params: { volume: 'half' } },
    { id: 'getHost', params: { host: own } },
    { id: 'getHostKey', params: { host: sharedHost, ...ids } },
    { id: 'getPsk', params: { host: sharedHost } },
    { id: 'getPsk', params: { host: sharedHost }, query: { id: ids.psk ?? '' } },
    { id: 'getGrant', params: { volume: 'ruby', host: '*' } },
    { id: 'getReservation', params: { volume: 'ruby' } },
    { id: 'getPortal', params: { portal: '1' } },
    { id: 'getEvent', params: ids },
    { id: 'getJob', params: ids },
    { id: 'getToken', params: { token: 'seer' } },
  ];
}

/** Bodies that would change something of blue's, if there were a way. */
const foreignBodies = (foreign: Foreign): Partial<Record<WorldOperation, object>> => ({
  changeVolume: { name: 'mine' },
  changeSchedule: { enabled: false },
  createHostKey: {},
  rotateToken: {},
  changeTenant: { name: 'mine' },
  cloneVolume: { source: foreign.volume, name: 'mine' },
  createSnapshots: { volumes: [foreign.volume], name: 'mine' },
  createGrant: { volume: foreign.snapshot, host: own },
  createPsk: { host: foreign.host },
  createSchedule: { name: 's', cron: '@daily', volumes: [foreign.volume], keep: { last: 1 } },
});

/** Every operation, with what is blue's in its path, query and body. */
function prying(foreign: Foreign): Step[] {
  const bodies = foreignBodies(foreign);
  return Object.entries(all).flatMap(([name, { path: url, scope }]): Step[] => {
    const id = name as WorldOperation;
    const params: Record<string, string> = {};
    for (const [, param = ''] of url.matchAll(/:([a-z]+)/gi)) {
      if (scope !== 'tenant' || foreign[param] === undefined) return [];
      params[param] = foreign[param];
    }
    const body = bodies[id];
    if (Object.keys(params).length === 0 && body === undefined && !id.startsWith('list')) return [];
    const call = { id, params, ...(body === undefined ? {} : { body }) };
    const queries = [{}, { tenant: 'blue' }, { tenant: 'red' }];
    const host = foreign.host ?? '';
    if (id === 'listVolumes') queries.push({ host } as never, { name: 'cobalt' } as never);
    if (id === 'listEvents') queries.push({ subject: foreign.volume } as never);
    if (id === 'listSnapshots') queries.push({ volume: foreign.volume } as never);
    return queries.map((query) => ({ ...call, query }));
  });
}

const worlds: { quiet: World; busy: World }[] = [];

before(async () => {
  await using quiet = await World.open();
  await live(quiet, unknown, async () => undefined);
  await using busy = await World.open();
  const foreign = await busy.wave();
  await busy.flood();
  await live(busy, foreign, async () => {
    await busy.wave();
  });
  worlds.push({ quiet, busy });
});

test('two worlds that differ in what blue has: red is answered the same', () => {
  const [{ quiet, busy } = assert.fail('no worlds')] = worlds;
  assert.ok(quiet.transcript.length > 300, `${quiet.transcript.length} answers`);
  for (const [index, line] of quiet.transcript.entries()) {
    assert.equal(busy.transcript[index], line, `answer ${index}`);
  }
  assert.equal(busy.transcript.length, quiet.transcript.length);
});

test('two worlds: every operation was called, and each of a tenant’s succeeded once', () => {
  const [{ quiet } = assert.fail('no worlds')] = worlds;
  assert.deepEqual([...quiet.called].sort(), Object.keys(all).sort());
  const succeeded = new Set(
    quiet.transcript.map((line) => / 2\d\d /.test(line) && line.split(' ')[0]),
  );
  const never = Object.entries(all).filter(([id, { scope, method }]) => {
    const may = scope === 'tenant' || scope === 'self' || (scope === 'shared' && method === 'GET');
    return may && !succeeded.has(id);
  });
  assert.deepEqual(
    never.map(([id]) => id),
    // Sessions begin with what the control socket gives out, which tenants do not reach.
    ['cancelJob', 'createSession'],
  );
});

test('limits of the node: whoever says one has words without numbers for tenants', () => {
  const ofNode = ['portals.ts', 'referrals.ts', 'tenants.ts', 'discovery_subsystem.ts'];
  const root = path.join(process.cwd(), 'lib');
  const files = fs.readdirSync(root, { recursive: true, encoding: 'utf8' });
  let found = 0;
  for (const file of files.filter((name) => name.endsWith('.ts'))) {
    if (ofNode.includes(path.basename(file))) continue;
    const text = fs.readFileSync(path.join(root, file), 'utf8');
    for (const { index, 0: match } of text.matchAll(/`the node (?:has|knows) \$\{[^`]*`,/g)) {
      found += 1;
      const after = text.slice(index + match.length).trimStart();
      assert.ok(after.startsWith('{ toTenants:'), `lib/${file}: ${match}`);
    }
  }
  assert.ok(found >= 6, `${found} limits`);
});
