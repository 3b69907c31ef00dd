/** Cursors: nobody reads them, changes them, or uses them with another list. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SealedCursors } from '../../lib/api/calls/cursors.js';
import type { OperationId } from '../../lib/api/operations.js';
import { ApiFixture } from './fixture.js';

const caller = { name: 'ops', role: 'viewer', tenant: 'red', via: 'token' } as const;
const request = (id: OperationId, query: object, tenant: string | null = 'red') => ({
  id,
  caller: { ...caller, tenant },
  input: { params: {}, query },
});

function seal(cursors: SealedCursors, next: string, of = request('listVolumes', {})): string {
  const sealed = cursors.sealed(of, { items: [], next });
  return String(Reflect.get(sealed, 'next'));
}

function open(cursors: SealedCursors, cursor: string, of = request('listVolumes', {})): unknown {
  const input = { ...of.input, query: { ...of.input.query, cursor } };
  return Reflect.get(cursors.opened({ ...of, input }, input).query, 'cursor');
}

test('cursors: opened as they were sealed, the same each time, and of few lengths', () => {
  const cursors = new SealedCursors();
  for (const next of ['a', 'red/volume/00000000000001', 'ä'.repeat(16), 'x'.repeat(32)]) {
    const sealed = seal(cursors, next);
    assert.equal(open(cursors, sealed), next);
    assert.equal(seal(cursors, next), sealed);
    assert.match(sealed, /^[\w-]+$/);
    assert.ok(!Buffer.from(sealed, 'base64url').toString('latin1').includes('volume'));
  }
  assert.equal(seal(cursors, '1').length, seal(cursors, '1000000').length);
});

test('cursors: one changed in any byte, cut, or of another process: refused', () => {
  const cursors = new SealedCursors();
  const bytes = Buffer.from(seal(cursors, 'red/ruby'), 'base64url');
  const refused = (cursor: string) =>
    assert.throws(() => open(cursors, cursor), { code: 'invalid-argument' }, cursor);
  for (const [at] of bytes.entries()) {
    const changed = Buffer.from(bytes);
    changed[at] = (changed[at] ?? 0) ^ 1;
    refused(changed.toString('base64url'));
    refused(bytes.subarray(0, at).toString('base64url'));
  }
  refused(`${bytes.toString('base64url')}=`);
  refused(seal(new SealedCursors(), 'red/ruby'));
  refused('red/ruby');
});

test('cursors: of another list, tenant, path or filter: refused; the page size may change', () => {
  const cursors = new SealedCursors();
  const of = request('listVolumes', { tenant: 'red', name: 'r', limit: '5' });
  const cursor = seal(cursors, 'red/ruby', of);
  assert.equal(
    open(cursors, cursor, request('listVolumes', { tenant: 'red', name: 'r' })),
    'red/ruby',
  );
  for (const other of [
    request('listSnapshots', { tenant: 'red', name: 'r' }),
    request('listVolumes', { tenant: 'blue', name: 'r' }),
    request('listVolumes', { tenant: 'red', name: 'r' }, 'blue'),
    request('listVolumes', { tenant: 'red', name: 'r' }, null),
    request('listVolumes', { tenant: 'red' }),
    request('listVolumes', { tenant: 'red', name: 'r', host: 'r' }),
    { ...of, input: { ...of.input, params: { pool: 'x' } } },
  ]) {
    assert.throws(() => open(cursors, cursor, other), { code: 'invalid-argument' });
  }
});

test('cursors: over the API a page goes on by its cursor, and by none of another list', async () => {
  await using api = await ApiFixture.open();
  const { client } = api;
  for (const name of ['a', 'b', 'c']) {
    await client.call('createVolume', { body: { name, sizeBytes: 2 ** 20 } });
  }
  const { next } = await client.call('listVolumes', { query: { limit: '1' } });
  const cursor = next ?? '';
  const second = await client.call('listVolumes', { query: { limit: '2', cursor } });
  assert.deepEqual(
    second.items.map(({ name }) => name),
    ['b', 'c'],
  );
  const other = client.call('listVolumes', { query: { name: 'a', cursor } });
  await assert.rejects(other, /start again without it, with the same filters for every page/);
  await assert.rejects(client.call('listSnapshots', { query: { cursor } }), {
    code: 'invalid-argument',
  });
  const tags = await Promise.all(
    [0, 1].map(() => api.raw({ method: 'GET', path: '/v1/volumes?limit=1' })),
  );
  assert.equal(tags[0]?.headers.etag, tags[1]?.headers.etag, 'an entity tag is for more than once');
});

test('cursors: of a list with a secret that lasts: good in the next process, and of it alone', () => {
  const listEvents = new Uint8Array(32).fill(7);
  const of = request('listEvents', { severity: 'error' });
  const before = seal(new SealedCursors({ listEvents }), '17', of);
  const after = new SealedCursors({ listEvents });
  assert.equal(open(after, before, of), '17');
  const refused = (cursors: SealedCursors, cursor: string, as = of) =>
    assert.throws(() => open(cursors, cursor, as), { code: 'invalid-argument' });
  refused(after, before, request('listEvents', { severity: 'error' }, 'blue'));
  refused(after, before, request('listJobs', { severity: 'error' }));
  refused(new SealedCursors({ listEvents: null }), before);
  refused(after, seal(new SealedCursors({ listEvents }), 'x'), request('listVolumes', {}));
});
