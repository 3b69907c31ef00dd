import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  applyReservation,
  decodeReservation,
  encodeReservationStatus,
  holds,
  maxRegistrants,
  noReservations,
  type ReservationCommand,
  type Reservations,
  type ReservationType,
  ruleFor,
} from '../../lib/target/reservations.js';
import { statuses } from '../../lib/target/statuses.js';

const [a, b, c] = ['a', 'b', 'c'].map((digit) => digit.repeat(32)) as [string, string, string];
const types = [1, 2, 3, 4, 5, 6] as const;

const register = (newKey: bigint): ReservationCommand => {
  const ptpl = 'keep';
  const currentKey = 0n;
  return {
    kind: 'register',
    action: 'register',
    ignoreExistingKey: false,
    ptpl,
    currentKey,
    newKey,
  };
};
const unregister = (currentKey: bigint, ignoreExistingKey = false): ReservationCommand => {
  const action = 'unregister';
  return { kind: 'register', action, ignoreExistingKey, ptpl: 'keep', currentKey, newKey: 0n };
};
const replace = (
  currentKey: bigint,
  newKey: bigint,
  ignoreExistingKey = false,
): ReservationCommand => {
  const action = 'replace';
  return { kind: 'register', action, ignoreExistingKey, ptpl: 'keep', currentKey, newKey };
};
const acquire = (type: ReservationType, currentKey: bigint): ReservationCommand => {
  return { kind: 'acquire', action: 'acquire', type, currentKey, preemptKey: 0n };
};
const preempt = (
  type: ReservationType,
  currentKey: bigint,
  preemptKey: bigint,
): ReservationCommand => {
  return { kind: 'acquire', action: 'preempt', type, currentKey, preemptKey };
};
const release = (type: number, currentKey: bigint): ReservationCommand => {
  return { kind: 'release', action: 'release', type, currentKey };
};
const clear = (currentKey: bigint): ReservationCommand => {
  return { kind: 'release', action: 'clear', type: 0, currentKey };
};

/** Applies commands that must all succeed. */
function after(...steps: [string, ReservationCommand][]): Reservations {
  return steps.reduce((state, [host, command]) => {
    const outcome = applyReservation(state, host, command);
    assert.equal(outcome.status, statuses.success);
    return outcome.state;
  }, noReservations);
}
const held = (type: ReservationType): Reservations =>
  after([a, register(1n)], [b, register(2n)], [a, acquire(type, 1n)]);

describe('reservations: what is left to a host', () => {
  const w = 'writes-refused';
  const rw = 'reads-and-writes-refused';
  // [holder, another registrant, a host that is not registered]
  const expected = {
    1: ['none', w, w],
    2: ['none', rw, rw],
    3: ['none', 'none', w],
    4: ['none', 'none', rw],
    5: ['none', 'none', w],
    6: ['none', 'none', rw],
  } as const;
  for (const type of types) {
    it(`type ${type}: holder, registrant, stranger: ${expected[type].join(', ')}`, () => {
      assert.deepEqual(
        [a, b, c].map((host) => ruleFor(held(type), host)),
        expected[type],
      );
    });
  }
});

describe('reservations: every type by every command of its holder and of others', () => {
  for (const type of types) {
    const all = type >= 5;
    const told = type >= 3;
    it(`type ${type}: acquired again by its holder: succeeds; by others: conflict`, () => {
      const state = held(type);
      assert.equal(applyReservation(state, a, acquire(type, 1n)).status, statuses.success);
      const other = applyReservation(state, b, acquire(type, 2n));
      assert.equal(other.status, all ? statuses.success : statuses.reservationConflict);
      const stranger = applyReservation(state, c, acquire(type, 2n));
      assert.equal(stranger.status, statuses.reservationConflict);
      const otherType = type === 6 ? 1 : ((type + 1) as ReservationType);
      const changed = applyReservation(state, a, acquire(otherType, 1n));
      assert.equal(changed.status, statuses.reservationConflict);
    });
    it(`type ${type}: released by its holder: gone${told ? ', others are told' : ''}`, () => {
      const outcome = applyReservation(held(type), a, release(type, 1n));
      assert.equal(outcome.state.held, null);
      assert.deepEqual(outcome.notifications, told ? [{ type: 2, host: b }] : []);
    });
    it(`type ${type}: released by another registrant: ${all ? 'gone' : 'stays'}`, () => {
      const outcome = applyReservation(held(type), b, release(type, 2n));
      assert.equal(outcome.status, statuses.success);
      assert.equal(outcome.state.held === null, all);
    });
    it(`type ${type}: released as another type: Invalid Field`, () => {
      const outcome = applyReservation(held(type), a, release((type % 6) + 1, 1n));
      assert.equal(outcome.status, statuses.invalidField);
    });
    it(`type ${type}: cleared by any registrant: nothing left, the others are told`, () => {
      const { state, notifications } = applyReservation(held(type), b, clear(2n));
      assert.equal(state.held, null);
      assert.equal(state.registrants.size, 0);
      assert.deepEqual(notifications, [{ type: 3, host: a }]);
    });
    it(`type ${type}: its acquirer unregisters: ${all ? 'stays with the other' : 'gone'}`, () => {
      const { state, notifications } = applyReservation(held(type), a, unregister(1n));
      assert.equal(state.held === null, !all);
      assert.equal(holds(state, b), all);
      const released = type === 3 || type === 4;
      assert.deepEqual(notifications, released ? [{ type: 2, host: b }] : []);
    });
    it(`type ${type}: preempted by key: ${all ? 'registration only' : 'changes hands'}`, () => {
      const { state, notifications } = applyReservation(held(type), b, preempt(type, 2n, 1n));
      assert.deepEqual([...state.registrants.keys()], [b]);
      assert.deepEqual(state.held, { type, holder: all ? null : b });
      assert.deepEqual(notifications, [{ type: 1, host: a }]);
    });
    it(`type ${type}: preempted by key 0: ${all ? 'everyone else goes' : 'Invalid Field'}`, () => {
      const { status, state } = applyReservation(held(type), b, preempt(1, 2n, 0n));
      assert.equal(status, all ? statuses.success : statuses.invalidField);
      if (all) assert.deepEqual(state.held, { type: 1, holder: b });
    });
  }
});

describe('reservations: registrations', () => {
  it('another key by Register: conflict; the same key: succeeds', () => {
    const state = after([a, register(1n)]);
    assert.equal(applyReservation(state, a, register(2n)).status, statuses.reservationConflict);
    assert.equal(applyReservation(state, a, register(1n)).status, statuses.success);
  });
  it('replace: needs the current key, unless IEKEY says otherwise', () => {
    const state = after([a, register(1n)]);
    const wrong = applyReservation(state, a, replace(9n, 3n));
    assert.equal(wrong.status, statuses.reservationConflict);
    assert.equal(applyReservation(state, a, replace(1n, 3n)).state.registrants.get(a), 3n);
    assert.equal(applyReservation(state, a, replace(9n, 3n, true)).state.registrants.get(a), 3n);
    assert.equal(applyReservation(state, b, replace(9n, 3n, true)).state.registrants.get(b), 3n);
  });
  it('the last registrant that fits is taken, one more is refused', () => {
    let state = noReservations;
    for (let n = 0; n < maxRegistrants; n += 1) {
      state = applyReservation(state, n.toString(16).padStart(32, '0'), register(1n)).state;
    }
    assert.equal(state.registrants.size, maxRegistrants);
    assert.equal(applyReservation(state, a, register(1n)).status, statuses.reservationConflict);
  });
  it('a holder that preempts itself changes the type, and the others are told', () => {
    const { state, notifications } = applyReservation(held(3), a, preempt(1, 1n, 1n));
    assert.deepEqual(state.held, { type: 1, holder: a });
    assert.deepEqual(notifications, [{ type: 2, host: b }]);
  });
});

describe('reservations: on the wire', () => {
  it('report: header and one entry per controller of a registrant', () => {
    const page = Buffer.from(
      encodeReservationStatus(held(2), (host) => (host === a ? [7, 9] : [])),
    );
    assert.equal(page.length, 64 + 3 * 64);
    assert.equal(page.readUInt32LE(0), 2);
    assert.deepEqual([page[4], page.readUInt16LE(5), page[9]], [2, 3, 0]);
    assert.deepEqual([page.readUInt16LE(64), page[66], page.readBigUInt64LE(72)], [7, 1, 1n]);
    assert.equal(page.subarray(80, 96).toString('hex'), a);
    assert.deepEqual([page.readUInt16LE(192), page[194]], [0xffff, 0]);
  });
  it('commands: reserved actions, types and CPTPL: Invalid Field; short data: its length', () => {
    const data = new Uint8Array(16);
    const status = (opcode: number, cdw10: number) => decodeReservation(opcode, cdw10, data);
    for (const [opcode, cdw10] of [
      [0x0d, 3],
      [0x0d, 0x4000_0000],
      [0x11, 3 | (1 << 8)],
      [0x11, 0],
      [0x11, 7 << 8],
      [0x11, 8 | (1 << 8)],
      [0x15, 2],
      [0x15, 8],
    ] as const) {
      assert.equal(status(opcode, cdw10), statuses.invalidField);
    }
    assert.equal(decodeReservation(0x0d, 0, data.subarray(1)), statuses.dataSglLengthInvalid);
    assert.equal(decodeReservation(0x15, 0, null), statuses.dataSglLengthInvalid);
  });
});

describe('reservations: properties', () => {
  const key = fc.constantFrom(0n, 1n, 2n, 3n);
  const type = fc.constantFrom(...types);
  const command: fc.Arbitrary<ReservationCommand> = fc.oneof(
    fc.record({
      kind: fc.constant('register' as const),
      action: fc.constantFrom('register' as const, 'unregister' as const, 'replace' as const),
      ignoreExistingKey: fc.boolean(),
      ptpl: fc.constantFrom('keep' as const, 'off' as const, 'on' as const),
      currentKey: key,
      newKey: key,
    }),
    fc.record({
      kind: fc.constant('acquire' as const),
      action: fc.constantFrom('acquire' as const, 'preempt' as const, 'preempt-and-abort' as const),
      type,
      currentKey: key,
      preemptKey: key,
    }),
    fc.record({
      kind: fc.constant('release' as const),
      action: fc.constantFrom('release' as const, 'clear' as const),
      type,
      currentKey: key,
    }),
  );
  it('any commands: a holder is registered, strangers change nothing, refusals neither', () => {
    const steps = fc.array(fc.tuple(fc.constantFrom(a, b, c), command), { maxLength: 60 });
    fc.assert(
      fc.property(steps, (commands) => {
        let state = noReservations;
        for (const [host, next] of commands) {
          const before = state;
          const outcome = applyReservation(before, host, next);
          state = outcome.state;
          if (outcome.status !== statuses.success) assert.equal(state, before);
          if (!before.registrants.has(host) && next.kind !== 'register') {
            assert.equal(outcome.status, statuses.reservationConflict);
          }
          if (state.held !== null) {
            assert.ok([...state.registrants.keys()].some((other) => holds(state, other)));
            assert.equal(state.held.holder === null, state.held.type >= 5);
          }
          for (const { host: told, type: kind } of outcome.notifications) {
            assert.notEqual(told, host);
            assert.ok(before.registrants.has(told));
            // Those told of a preempted registration, and only they, lose it.
            assert.equal(state.registrants.has(told), kind === 2);
          }
        }
      }),
      { numRuns: 500, verbose: 1 },
    );
  });
});
