import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { CsiError } from '../../lib/csi/errors.js';
import { OperationLocks } from '../../lib/csi/locks.js';
import { ashlarName, checkName, hostNqnOf, nodeIdOf, volumeUuid } from '../../lib/csi/names.js';

const refusal = (status: string, text: RegExp) => (error: unknown) =>
  error instanceof CsiError && error.status === status && text.test(error.message);

describe('names', () => {
  test('a name that Ashlar takes stays, every other becomes one that it takes', () => {
    assert.equal(ashlarName('pvc-0b9e'), 'pvc-0b9e');
    for (const name of ['größe', 'a/b', '-x', 'x'.repeat(128), 'ü'.repeat(64)]) {
      assert.match(ashlarName(name), /^csi-[0-9a-f]{32}$/, name);
    }
  });

  test('two names are two volumes, one name is one for ever', () => {
    assert.equal(volumeUuid('pvc-1'), '37097b2f-87d0-8bda-bdab-59724191b8b3');
    fc.assert(
      fc.property(fc.string(), fc.string(), (a, b) => {
        assert.match(volumeUuid(a), /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-/);
        assert.equal(volumeUuid(a) === volumeUuid(b), a === b);
      }),
    );
  });

  test('a name of 128 bytes is taken, of 129 not, nor an empty one or one with control characters', () => {
    assert.equal(checkName('name', 'ü'.repeat(64)).length, 64);
    assert.throws(
      () => checkName('name', 'x'.repeat(129)),
      refusal('INVALID_ARGUMENT', /129.*128/),
    );
    assert.throws(() => checkName('name', ''), refusal('INVALID_ARGUMENT', /name is missing/));
    assert.throws(() => checkName('name', 'a\nb'), refusal('INVALID_ARGUMENT', /U\+000A/));
  });

  test('a node ID is a host NQN of a UUID; another names no node', () => {
    const id = nodeIdOf('5a1a5f0e-7d0c-4f2b-9a53-6a2d7f3f4b10');
    assert.equal(hostNqnOf(id), id);
    for (const wrong of ['', 'node-1', `${id}0`, id.toUpperCase()]) {
      assert.throws(() => hostNqnOf(wrong), refusal('NOT_FOUND', /host NQN/), wrong);
    }
  });
});

describe('operation locks', () => {
  test('a second operation on an object is ABORTED at once, on another it goes on', async () => {
    const locks = new OperationLocks();
    let end = () => {};
    const first = locks.hold(['volume a', 'volume b'], 'CreateVolume', () => {
      return new Promise<string>((resolve) => {
        end = () => resolve('done');
      });
    });
    await assert.rejects(
      locks.hold(['volume c', 'volume b'], 'DeleteVolume', async () => 'never'),
      refusal('ABORTED', /DeleteVolume: CreateVolume of volume b is still under way/),
    );
    assert.equal(await locks.hold(['volume c'], 'DeleteVolume', async () => 'c'), 'c');
    end();
    assert.equal(await first, 'done');
    assert.equal(await locks.hold(['volume b'], 'DeleteVolume', async () => 'b'), 'b');
    assert.equal(locks.size, 0);
  });

  test('an operation that fails lets its object go', async () => {
    const locks = new OperationLocks();
    await assert.rejects(locks.hold(['a', 'a'], 'x', () => Promise.reject(new Error('no'))));
    assert.equal(locks.size, 0);
  });
});
