/** The end of a change, and attempts to listen, by a clock that the test turns. */
import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';
import { longestDelayMs, Retries } from '../../lib/portals/retries.js';
import { longestChangeMs, Transitions } from '../../lib/portals/transitions.js';
import { anaTransitionSeconds } from '../../lib/target/limits.js';

class Clock implements Disposable {
  constructor() {
    mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  }

  /** Lets time pass, and what it woke come to an end. */
  async pass(ms: number): Promise<void> {
    mock.timers.tick(ms);
    await new Promise((resolve) => setImmediate(resolve));
  }

  [Symbol.dispose](): void {
    mock.timers.reset();
  }
}

describe('transitions', () => {
  it('a change: ends once, before the time that hosts are told', async () => {
    using clock = new Clock();
    const ended: string[] = [];
    const transitions = new Transitions((portalId, group) => ended.push(`${portalId}/${group}`));
    assert.ok(longestChangeMs < anaTransitionSeconds * 1000);
    transitions.begin(3, 7);
    assert.equal(transitions.endsAt(3, 7)?.getTime(), Date.now() + longestChangeMs);
    assert.deepEqual(transitions.groupsOf(3), [7]);
    await clock.pass(longestChangeMs - 1);
    assert.deepEqual(ended, []);
    await clock.pass(1);
    assert.deepEqual(ended, ['3/7']);
    assert.equal(transitions.endsAt(3, 7), null);
    await clock.pass(longestChangeMs * 2);
    assert.deepEqual(ended, ['3/7']);
  });

  it('begun again while it is under way: ends no later, as hosts count from its beginning', async () => {
    using clock = new Clock();
    let ended = 0;
    const transitions = new Transitions(() => {
      ended += 1;
    });
    transitions.begin(1, 1);
    await clock.pass(longestChangeMs - 1);
    transitions.begin(1, 1);
    await clock.pass(1);
    assert.equal(ended, 1);
    transitions.begin(1, 1);
    await clock.pass(longestChangeMs);
    assert.equal(ended, 2, 'a later change is one of its own');
  });

  it('stopped or closed: does not end any more, and others do', async () => {
    using clock = new Clock();
    const ended: number[] = [];
    const transitions = new Transitions((_portalId, group) => ended.push(group));
    transitions.begin(1, 1);
    transitions.begin(1, 2);
    transitions.stop(1, 1);
    await clock.pass(longestChangeMs);
    assert.deepEqual(ended, [2]);
    transitions.begin(1, 3);
    transitions.close();
    await clock.pass(longestChangeMs);
    assert.deepEqual(ended, [2]);
  });
});

describe('retries', () => {
  it('growing distances up to five seconds, until it listens', async () => {
    using clock = new Clock();
    const begun = Date.now();
    const at: number[] = [];
    let listens = false;
    const retries = new Retries(async () => {
      at.push(Date.now() - begun);
      return listens;
    });
    retries.start(1);
    for (let step = 0; step < 500; step += 1) await clock.pass(50);
    const distances = at.map((ms, index) => ms - (at[index - 1] ?? 0));
    assert.deepEqual(distances, [250, 500, 1000, 2000, 4000, 5000, 5000, 5000]);
    listens = true;
    await clock.pass(longestDelayMs);
    const attempts = at.length;
    await clock.pass(longestDelayMs * 4);
    assert.equal(at.length, attempts);
  });

  it('stopped while an attempt is under way: none follows', async () => {
    using clock = new Clock();
    let answer: (done: boolean) => void = () => undefined;
    let attempts = 0;
    const retries = new Retries(() => {
      attempts += 1;
      return new Promise((resolve) => {
        answer = resolve;
      });
    });
    retries.start(1);
    await clock.pass(1000);
    assert.equal(attempts, 1);
    retries.stop(1);
    answer(false);
    await clock.pass(longestDelayMs * 2);
    assert.equal(attempts, 1);
  });

  it('closed: waits for the attempt under way, and starts no other', async () => {
    using clock = new Clock();
    let answer: (done: boolean) => void = () => undefined;
    const retries = new Retries(
      () =>
        new Promise((resolve) => {
          answer = resolve;
        }),
    );
    retries.start(1);
    await clock.pass(1000);
    let closed = false;
    const closing = retries.close().then(() => {
      closed = true;
    });
    await clock.pass(0);
    assert.equal(closed, false);
    answer(false);
    await closing;
    retries.start(2);
    await clock.pass(longestDelayMs);
    assert.equal(closed, true);
  });
});
