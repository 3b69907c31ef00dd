/** Catalog records as people who debug see them, and the names of layers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pack } from 'msgpackr';
import { recordKey } from '../../lib/catalog/catalog.js';
import { describeRecord, hiddenValue, layerNames } from '../../lib/catalog/describe.js';
import type { CatalogRecord } from '../../lib/native.js';

const record = (kind: number, id: bigint, fields: unknown): CatalogRecord => ({
  key: recordKey(kind, id),
  value: new Uint8Array(pack(fields)),
});
const layer = (byte: number): Uint8Array => Buffer.alloc(16, byte);
const hexOf = (byte: number): string => Buffer.from(layer(byte)).toString('hex');

test('a record of a known kind: its fields, also those that nobody knows', () => {
  const described = describeRecord(record(1, 3n, { v: 1, name: 'acme', later: [1, 2] }));
  assert.equal(described.kind, 'tenant');
  assert.equal(described.id, 3n);
  assert.deepEqual(described.fields, { v: 1, name: 'acme', later: [1, 2] });
  assert.equal(described.problem, null);
});

test('a secret field: hidden', () => {
  const kinds = [{ kind: 9, name: 'key', secretFields: ['secret'] }];
  const { fields } = describeRecord(record(9, 1n, { v: 1, name: 'k', secret: 'hunter2' }), kinds);
  assert.deepEqual(fields, { v: 1, name: 'k', secret: hiddenValue });
});

test('an unknown kind: no fields, as what a newer version wrote may be secret', () => {
  const described = describeRecord(record(200, 1n, { v: 1, secret: 'hunter2' }));
  assert.equal(described.kind, 'kind 200');
  assert.equal(described.fields, null);
  assert.match(described.problem ?? '', /this version does not know/);
});

test('what is no MessagePack map: said, not thrown', () => {
  assert.equal(describeRecord(record(1, 1n, [1, 2])).problem, 'it is not a map');
  const broken = { key: recordKey(1, 1n), value: Uint8Array.of(0xc1, 0xd9) };
  assert.equal(describeRecord(broken).problem, 'it is not MessagePack');
});

test('names of layers: volumes by tenant, snapshots by volume, also of a deleted volume', () => {
  const names = layerNames([
    record(1, 1n, { v: 1, name: 'default' }),
    record(3, 4n, { v: 1, name: 'web', tenant: 1n, layer: layer(7) }),
    record(5, 5n, { v: 1, name: 'noon', tenant: 1n, volume: 4n, volumeName: 'w', layer: layer(8) }),
    record(5, 6n, {
      v: 1,
      name: 'old',
      tenant: 1n,
      volume: 99n,
      volumeName: 'db',
      layer: layer(9),
    }),
  ]);
  assert.equal(names.get(hexOf(7)), "volume 'web' of tenant 'default'");
  assert.equal(names.get(hexOf(8)), "snapshot 'noon' of volume 'web' of tenant 'default'");
  assert.equal(names.get(hexOf(9)), "snapshot 'old' of volume 'db' of tenant 'default'");
  assert.equal(names.size, 3);
});
