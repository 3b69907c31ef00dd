/** What forms are told: every field that is wrong, and limits that are those of the daemon. */
import assert from 'node:assert/strict';
import http from 'node:http';
import { test } from 'node:test';
import { maxScheduleVolumes, namePattern } from '../../lib/api/limits.js';
import * as schedules from '../../lib/schedules/rules.js';
import { isName } from '../../lib/volumes/rules.js';
import { ApiFixture } from './fixture.js';

function post(socketPath: string, path: string, body: object): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    const request = http.request({ socketPath, path, method: 'POST', headers }, (response) => {
      let text = '';
      response.on('data', (piece) => {
        text += String(piece);
      });
      response.on('end', () => resolve(JSON.parse(text)));
    });
    request.on('error', reject);
    request.end(JSON.stringify(body));
  });
}

test('problem: each field of a body that is wrong has its pointer and what is wrong', async () => {
  await using api = await ApiFixture.open();
  const body = { name: 'blue', quota: { volumes: 0, iops: 'many' } };
  const problem = (await post(api.socket, '/v1/tenants', body)) as object;
  const wanted = 'must be a whole number of at least 1, or null';
  assert.deepEqual(Reflect.get(problem, 'errors'), [
    { pointer: '#/quota/volumes', detail: `${wanted}, not 0` },
    { pointer: '#/quota/iops', detail: `${wanted}, not 'many'` },
  ]);
  const other = (await post(api.socket, '/v1/tenants', { name: 'a b' })) as object;
  assert.equal(Reflect.get(other, 'code'), 'invalid-argument');
  assert.equal('errors' in other, false);
});

test('limits: what forms check is what the daemon checks', () => {
  assert.equal(maxScheduleVolumes, schedules.maxScheduleVolumes);
  for (const name of [
    'a',
    'a.b_c-D9',
    '',
    '.a',
    '-a',
    'a b',
    'ä',
    'a'.repeat(63),
    'a'.repeat(64),
  ]) {
    assert.equal(namePattern.test(name), isName(name), name);
  }
});
