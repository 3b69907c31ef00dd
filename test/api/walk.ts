/** One call of every operation that can succeed: a walk through all that the API can do. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { Readable } from 'node:stream';
import { ApiClient } from '../../lib/api/client.js';
import type { Job } from '../../lib/api/contract.js';
import { exportSnapshot, importVolume } from '../../lib/api/transfer_client.js';
import { newIdentity } from '../protocol/fixture.js';
import { ReservingHost } from '../protocol/reserving_host.js';
import type { ApiFixture } from './fixture.js';

const mib = 2 ** 20;
const hostnqn = 'nqn.2014-08.org.nvmexpress:uuid:00000000-0000-4000-8000-0000000000aa';

export async function walk(api: ApiFixture): Promise<void> {
  await walkPool(api);
  await walkTenants(api);
  await walkPolicies(api);
  await walkVolumes(api);
  await walkSchedules(api);
  await walkHosts(api);
  await walkStreams(api);
  await walkPortals(api);
  await walkEvents(api);
  await walkTokens(api);
  await walkJobs(api);
}

async function walkPool({ client, folder }: ApiFixture): Promise<void> {
  await client.call('getStatus', {});
  const [pool] = await client.list('listPools');
  const params = { pool: pool?.uuid ?? '' };
  await client.call('getPool', { params });
  await client.call('explainPool', { params });
  await client.call('checkPool', { params });
  await client.call('listDevices', { params });
  await client.call('getDevice', { params: { ...params, device: '0' } });
  const path = folder.file('more');
  await client.call('addDevice', { params, body: { path, sizeBytes: 64 * mib } });
  const query = { repeatable: 'true' } as const;
  await client.call('attachDevice', { params, query, body: { path } });
}

async function walkTenants({ client }: ApiFixture): Promise<void> {
  const params = { tenant: 'walker' };
  await client.call('createTenant', { body: { name: 'walker' } });
  await client.call('listTenants', {});
  await client.call('getTenant', { params });
  await client.call('changeTenant', { params, body: { quota: { volumes: 3 } } });
  await client.call('deleteTenant', { params });
}

async function walkPolicies({ client }: ApiFixture): Promise<void> {
  const params = { policy: 'bronze' };
  await client.call('createPolicy', { body: { name: 'bronze', iops: 1000, offered: true } });
  await client.call('listPolicies', { query: { name: 'RON' } });
  await client.call('getPolicy', { params });
  await client.call('changePolicy', { params, body: { burstPercent: 200, burstSeconds: 60 } });
  await client.call('deletePolicy', { params });
}

async function walkVolumes({ client }: ApiFixture): Promise<void> {
  for (const name of ['w1', 'w2']) {
    await client.call('createVolume', { body: { name, sizeBytes: mib } });
  }
  const volume = { params: { volume: 'w1' } };
  await client.call('listVolumes', { query: { name: 'W', reserved: 'false' } });
  await client.call('getVolume', volume);
  await client.call('changeVolume', { ...volume, body: { sizeBytes: 2 * mib } });
  await client.call('listVolumeStatistics', { query: { name: 'W', limit: '1' } });
  await client.call('getVolumeStatistics', volume);
  await client.call('explainVolume', volume);
  await client.call('explainTenant', { params: { tenant: 'default' } });
  await client.call('listTenantStatistics', {});
  await client.call('cloneVolume', { body: { source: 'w1', name: 'w3' } });
  const made = await client.call('createSnapshots', {
    body: { volumes: ['w1', 'w2'], name: 'noon' },
  });
  const group = made.items[0]?.groupUuid ?? '';
  const snapshot = { params: { snapshot: 'w1@noon' } };
  await client.call('listSnapshots', { query: { name: 'noo' } });
  await client.call('getSnapshot', snapshot);
  await client.call('listRanges', snapshot);
  await client.call('rollbackSnapshot', snapshot);
  await client.call('deleteSnapshot', snapshot);
  await client.call('listGroups', {});
  const { snapshots } = await client.call('getGroup', { params: { group } });
  assert.deepEqual(snapshots, ['w2@noon']);
  await client.call('deleteGroup', { params: { group } });
  for (const name of ['w1', 'w2', 'w3']) {
    await client.call('deleteVolume', { params: { volume: name } });
  }
}

async function walkSchedules({ client }: ApiFixture): Promise<void> {
  await client.call('createVolume', { body: { name: 'timed', sizeBytes: mib } });
  const body = { name: 'leap', cron: '0 3 29 2 *', volumes: ['timed'], keep: { last: 1 } };
  await client.call('createSchedule', { body });
  const params = { schedule: 'leap' };
  await client.call('listSchedules', {});
  await client.call('getSchedule', { params });
  await client.call('changeSchedule', { params, body: { enabled: false } });
  await client.call('runSchedule', { params });
  await client.call('deleteSchedule', { params });
}

async function walkHosts({ client }: ApiFixture): Promise<void> {
  const host = { params: { host: hostnqn } };
  await client.call('createHost', { body: { nqn: hostnqn } });
  await client.call('listHosts', { query: { nqn: 'NVMEXPRESS' } });
  await client.call('getHost', host);
  await client.call('explainHost', host);
  const { key } = await client.call('createHostKey', { ...host, body: {} });
  const one = { params: { ...host.params, fingerprint: key.fingerprint } };
  await client.call('listHostKeys', {});
  await client.call('getHostKey', one);
  await client.call('deleteHostKey', one);
  await client.call('createPsk', { body: { host: hostnqn } });
  await client.call('listPsks', {});
  await client.call('getPsk', host);
  await client.call('deletePsk', host);
  const grant = { params: { volume: 'timed', host: hostnqn } };
  await client.call('createGrant', { body: grant.params });
  await client.call('listGrants', { query: grant.params });
  await client.call('getGrant', grant);
  await client.call('deleteGrant', grant);
  await client.call('deleteHost', host);
}

/** With a host that writes and reserves, and an import that is cut off. */
async function walkStreams({ client, node, socket }: ApiFixture): Promise<void> {
  const body = { name: 'data', sizeBytes: mib, hosts: ['*'] };
  const { nsid, subnqn } = await client.call('createVolume', { body });
  const [portal] = node.portals.list();
  const target = { port: portal?.port ?? 0, nsid };
  const reserving = await ReservingHost.connect(target, newIdentity(subnqn));
  assert.equal(await reserving.write(), 0);
  assert.equal(await reserving.register(7n), 0);
  await client.call('listControllers', {});
  const reserved = { params: { volume: 'data' } };
  await client.call('listReservations', {});
  await client.call('getReservation', reserved);
  await client.call('clearReservations', reserved);
  await reserving[Symbol.asyncDispose]();

  await client.call('createSnapshots', { body: { volumes: ['data'], name: 'full' } });
  const pieces: Buffer[] = [];
  const { body: stream } = await exportSnapshot(client, { snapshot: 'data@full' });
  for await (const piece of stream) pieces.push(piece);
  const whole = Buffer.concat(pieces);
  const copy = { params: { volume: 'copy' } };
  const send = (bytes: Buffer) =>
    importVolume(client, { volume: 'copy' }, Readable.from([bytes], { objectMode: false }));
  await assert.rejects(send(whole.subarray(0, whole.length - 8)), { code: 'stream-corrupt' });
  await client.call('listImports', {});
  await client.call('getImport', copy);
  await client.call('abandonImport', copy);
  await send(whole);
  await cancelImport(client, socket, whole);
}

/** A sender that stops in the middle, and whose import is then cancelled. */
async function cancelImport(client: ApiClient, socket: string, whole: Buffer): Promise<void> {
  await using sender = new ApiClient({ socket });
  const stalled = async function* (): AsyncGenerator<Buffer, void, void> {
    yield whole.subarray(0, whole.length / 2);
    await new Promise(() => undefined);
  };
  const body = Readable.from(stalled(), { objectMode: false });
  const sent = importVolume(sender, { volume: 'halted' }, body);
  const rejected = assert.rejects(sent, (error: Error & { code?: string }) =>
    ['cancelled', 'connection-lost'].includes(error.code ?? ''),
  );
  const query = { kind: 'import', state: 'running' } as const;
  let job: Job | undefined;
  while (job === undefined) [job] = (await client.call('listJobs', { query })).items;
  const params = { job: job.id };
  assert.equal((await client.call('cancelJob', { params })).state, 'cancelled');
  await rejected;
  await assert.rejects(client.call('cancelJob', { params }), { code: 'conflict' });
}

async function walkPortals({ client }: ApiFixture): Promise<void> {
  const port = await freePort();
  const { endpoint } = await client.call('createPortal', { body: { address: '127.0.0.1', port } });
  const params = { portal: endpoint };
  await client.call('listPortals', {});
  await client.call('getPortal', { params });
  await client.call('drainPortal', { params });
  await client.call('resumePortal', { params });
  await client.call('listAna', {});
  await client.call('setAna', { params, body: { state: 'non-optimized' } });
  await client.call('deletePortal', { params });
  const referral = { params: { referral: '192.0.2.7' } };
  await client.call('createReferral', { body: { address: '192.0.2.7' } });
  await client.call('listReferrals', {});
  await client.call('getReferral', referral);
  await client.call('deleteReferral', referral);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function walkEvents({ client }: ApiFixture): Promise<void> {
  const { items } = await client.call('listEvents', { query: { kind: 'volume-created' } });
  const [event] = items;
  assert.equal(event?.tenant, 'default');
  assert.deepEqual(await client.call('getEvent', { params: { event: event?.id ?? '' } }), event);
}

async function walkTokens({ client }: ApiFixture): Promise<void> {
  await client.call('getSelf', {});
  const link = await client.call('createSignIn', {});
  assert.deepEqual(link.consoles, []);
  await client.call('createSession', { body: { secret: link.secret } });
  await client.call('deleteSession', {});
  const params = { token: 'walker' };
  const { secret } = await client.call('createToken', { body: { name: 'walker', role: 'viewer' } });
  assert.match(secret ?? '', /^ashlar_/);
  await client.call('listTokens', {});
  await client.call('getToken', { params });
  await client.call('rotateToken', { params, body: { graceSeconds: 60 } });
  await client.call('deleteToken', { params });
}

async function walkJobs({ client }: ApiFixture): Promise<void> {
  const { id } = await client.call('startPoolCheck', { params: { pool: 'memory' } });
  const ended = await client.call('getJob', { params: { job: id }, query: { waitSeconds: '50' } });
  assert.equal(ended.state, 'succeeded');
  await client.call('listJobs', {});
  await client.call('deleteJob', { params: { job: id } });
}
