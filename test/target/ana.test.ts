/** ANA states through one portal: what hosts see of what was set. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isUsable, PortalAna } from '../../lib/target/ana.js';
import { maxAnaGroups } from '../../lib/target/limits.js';

describe('ANA states of a portal', () => {
  it('a new one: every group optimized, nothing ever changed', () => {
    const ana = new PortalAna();
    assert.deepEqual([ana.stateOf(1), ana.stateOf(maxAnaGroups)], ['optimized', 'optimized']);
    assert.deepEqual([ana.groups, ana.changeCount, ana.drained], [[], 0n, false]);
  });

  it('set: that group alone, and counted only when hosts see another state', () => {
    const ana = new PortalAna();
    assert.deepEqual(ana.set(2, 'non-optimized'), [2]);
    assert.deepEqual(ana.set(2, 'non-optimized'), []);
    assert.deepEqual(ana.set(3, 'optimized'), []);
    assert.deepEqual(ana.groups, [2]);
    assert.deepEqual([ana.changeCount, ana.changeCountOf(2), ana.changeCountOf(3)], [1n, 1n, 0n]);
    assert.deepEqual(ana.set(2, 'optimized'), [2]);
    assert.deepEqual([ana.groups, ana.changeCount], [[], 2n]);
  });

  it('drained: no group can be used, as one change; what is set meanwhile comes with the end', () => {
    const ana = new PortalAna();
    ana.set(2, 'non-optimized');
    ana.set(3, 'persistent-loss');
    ana.set(4, 'inaccessible');
    const before = ana.changeCount;
    const changed = ana.setDrained(true);
    assert.equal(changed.length, maxAnaGroups - 2, 'all but the two that could not be used');
    assert.equal(ana.changeCount, before + 1n);
    assert.equal(ana.groups.length, maxAnaGroups);
    assert.deepEqual(
      [1, 2, 3, 4].map((group) => ana.stateOf(group)),
      ['inaccessible', 'inaccessible', 'persistent-loss', 'inaccessible'],
    );
    assert.deepEqual(ana.set(1, 'non-optimized'), []);
    assert.deepEqual(ana.set(2, 'optimized'), []);
    assert.deepEqual(ana.setDrained(true), []);
    ana.setDrained(false);
    assert.deepEqual(
      [1, 2, 3, 4].map((group) => ana.stateOf(group)),
      ['non-optimized', 'optimized', 'persistent-loss', 'inaccessible'],
    );
  });

  it('usable: what a host may send I/O to', () => {
    const states = ['optimized', 'non-optimized', 'inaccessible', 'persistent-loss', 'change'];
    assert.deepEqual(
      states.filter((state) => isUsable(state as 'change')),
      ['optimized', 'non-optimized'],
    );
  });
});
