import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { WatermarkWatch } from '../../lib/node/watermarks.js';

describe('watermarks', () => {
  it('space promised to reserved volumes counts as used', () => {
    const watch = new WatermarkWatch();
    const look = (freeChunks: bigint, reservedChunks: bigint) =>
      watch.look({ totalChunks: 100n, freeChunks, reservedChunks });
    assert.equal(look(50n, 0n), null);
    assert.deepEqual(look(50n, 35n), { percent: 80, direction: 'above' });
    assert.equal(look(50n, 35n), null);
    assert.deepEqual(look(50n, 48n), { percent: 95, direction: 'above' });
    assert.deepEqual(look(50n, 0n), { percent: 95, direction: 'below' });
  });

  it('a pool that hovers about a mark tells it once', () => {
    const watch = new WatermarkWatch();
    const look = (freeChunks: bigint) =>
      watch.look({ totalChunks: 100n, freeChunks, reservedChunks: 0n });
    assert.deepEqual(look(20n), { percent: 80, direction: 'above' });
    assert.equal(look(21n), null);
    assert.equal(look(19n), null);
    assert.deepEqual(look(23n), { percent: 80, direction: 'below' });
  });
});
