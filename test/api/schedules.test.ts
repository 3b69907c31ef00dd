/** Schedules through the API, above a real node: answers conform, refusals have their codes. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ApiFixture, departures } from './fixture.js';

let api: ApiFixture;
before(async () => {
  api = await ApiFixture.open();
  for (const name of ['a', 'b']) {
    await api.client.call('createVolume', { body: { name, sizeBytes: 2 ** 20 } });
  }
});
after(async () => {
  await api[Symbol.asyncDispose]();
});

/** Far enough away to not come while the test runs. */
const yearly = { cron: '0 3 29 2 *', volumes: ['a', 'b'], keep: { monthly: 2 } };

test('api: a schedule created, listed, shown, changed, run and deleted', async () => {
  const { client } = api;
  const created = await client.call('createSchedule', {
    body: { ...yearly, name: 'leap', timezone: 'Europe/Berlin' },
  });
  assert.deepEqual(departures('createSchedule', created), []);
  assert.deepEqual(created.keep, { last: 0, hourly: 0, daily: 0, weekly: 0, monthly: 2 });
  assert.match(created.nextRunAt ?? '', /^20\d\d-02-29T02:00:00\.000Z$/);
  assert.deepEqual(await client.list('listSchedules'), [created]);
  const params = { schedule: created.uuid };
  assert.deepEqual(await client.call('getSchedule', { params }), created);

  const changed = await client.call('changeSchedule', {
    params,
    body: { name: 'rare', enabled: false, keep: { last: 1 } },
  });
  assert.deepEqual(departures('changeSchedule', changed), []);
  assert.deepEqual(changed, {
    ...created,
    name: 'rare',
    enabled: false,
    state: 'disabled',
    nextRunAt: null,
    keep: { ...created.keep, last: 1 },
  });

  const run = await client.call('runSchedule', { params });
  assert.deepEqual(departures('runSchedule', run), []);
  assert.deepEqual(
    run.snapshots.map((reference) => reference.replace(/\d{4}-\d\d-\d\dT\d\d-\d\d$/, 'TIME')),
    ['a@leap-TIME', 'b@leap-TIME'],
  );
  const snapshots = await client.list('listSnapshots');
  assert.deepEqual(snapshots.map(({ reference }) => reference).sort(), run.snapshots);

  await client.call('deleteSchedule', { params });
  await assert.rejects(client.call('getSchedule', { params }), { code: 'not-found' });
  assert.equal((await client.list('listSnapshots')).length, 2, 'its snapshots stay');
});

test('api: schedules of the wrong form: the field and what it must be', async () => {
  const cases: [unknown, number, RegExp][] = [
    [{ ...yearly }, 400, /body: 'name'/],
    [{ ...yearly, name: 'x', cron: 5 }, 400, /body: 'cron' .*a cron expression such as/],
    [{ ...yearly, name: 'x', keep: { daily: 'many' } }, 400, /body: 'keep\.daily'/],
    [{ ...yearly, name: 'x', keep: { yearly: 1 } }, 400, /yearly/],
    [{ ...yearly, name: 'x', cron: '0 0 30 2 *' }, 400, /never comes/],
    [{ ...yearly, name: 'x', volumes: ['none'] }, 404, /volume 'none'/],
    [{ ...yearly, name: 'x', volumes: [''] }, 400, /volumes/],
  ];
  for (const [body, status, detail] of cases) {
    const answer = await api.send('POST', '/v1/schedules', body);
    assert.equal(answer.status, status, JSON.stringify(body));
    const problem: { detail: string } = JSON.parse(answer.body.toString());
    assert.match(problem.detail, detail);
  }
  assert.deepEqual(await api.client.list('listSchedules'), []);
});

test('api: many schedules come page by page', async () => {
  const { client } = api;
  const names = Array.from({ length: 5 }, (_, index) => `s${index}`);
  for (const name of names) await client.call('createSchedule', { body: { ...yearly, name } });
  const first = await client.call('listSchedules', { query: { limit: '3' } });
  const { next } = first;
  assert.ok(next !== null);
  const second = await client.call('listSchedules', { query: { limit: '3', cursor: next } });
  const listed = [...first.items, ...second.items].map(({ name }) => name);
  assert.deepEqual(listed, names);
  assert.equal(second.next, null);
});

test('api: a schedule without volumes is idle, and runs from when it has some', async () => {
  const { client } = api;
  await client.call('createVolume', { body: { name: 'joins', sizeBytes: 1 << 20 } });
  const body = { ...yearly, name: 'waiting', prefix: 'waiting', volumes: [] };
  const made = await client.call('createSchedule', { body });
  assert.deepEqual([made.state, made.nextRunAt], ['idle', null]);
  const params = { schedule: 'waiting' };
  const change = (volumes: string[]) =>
    client.call('changeSchedule', { params, body: { volumes } });
  assert.equal((await change(['joins'])).state, 'waiting');
  assert.equal((await change([])).state, 'idle');
  await client.call('deleteSchedule', { params });
  await client.call('deleteVolume', { params: { volume: 'joins' } });
});
