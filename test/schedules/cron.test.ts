/** Cron expressions: planned instants against a calendar of our own, and every refusal. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AshlarError } from '../../lib/errors.js';
import { checkCron, cronPlan } from '../../lib/schedules/cron.js';
import { checkTimezone } from '../../lib/schedules/zone.js';
import { every, type Fields, plannedInstants } from './calendar.js';

const now = Date.UTC(2026, 10, 25, 12, 0, 30);
const hourMs = 3_600_000;

function refusal(expression: string): string {
  try {
    checkCron(expression, 'Europe/Berlin', now);
  } catch (thrown) {
    assert.ok(thrown instanceof AshlarError);
    assert.equal(thrown.code, 'invalid-argument');
    return thrown.message;
  }
  return 'accepted';
}

const always = { weekdays: every.weekday, daysOfMonth: every.day };
const plans: [string, Fields][] = [
  ['0 * * * *', { ...always, minutes: [0], hours: every.hour, fixed: false }],
  ['*/20 * * * *', { ...always, minutes: [0, 20, 40], hours: every.hour, fixed: false }],
  ['30 2 * * *', { ...always, minutes: [30], hours: [2], fixed: true }],
  ['15,45 1,2 * * *', { ...always, minutes: [15, 45], hours: [1, 2], fixed: true }],
  ['0 0 * * *', { ...always, minutes: [0], hours: [0], fixed: true }],
  ['0 3 * * 1', { ...always, minutes: [0], hours: [3], weekdays: [1], fixed: true }],
  ['0 2 1,31 * *', { ...always, minutes: [0], hours: [2], daysOfMonth: [1, 31], fixed: true }],
];

/** With gaps of an hour, of half an hour, at midnight, and none. */
const zones = ['UTC', 'Europe/Berlin', 'Australia/Lord_Howe', 'Africa/Cairo', 'America/New_York'];

describe('cron', () => {
  // Days around each change of the clocks of these zones in 2026, and some without.
  const windows = [
    [Date.UTC(2026, 2, 6), Date.UTC(2026, 3, 7)],
    [Date.UTC(2026, 3, 22), Date.UTC(2026, 3, 26)],
    [Date.UTC(2026, 9, 2), Date.UTC(2026, 10, 3)],
  ] as const;
  for (const [expression, fields] of plans) {
    it(`'${expression}' in ${zones.length} zones: forwards and backwards as the calendar says`, () => {
      for (const zone of zones) {
        const plan = cronPlan(expression, zone);
        for (const [from, to] of windows) {
          const expected = plannedInstants(fields, zone, from, to);
          assert.ok(expected.length > 0 || to - from < 120 * hourMs);
          assert.deepEqual(forwards(plan.next, from, to), expected, `${zone} forwards`);
          assert.deepEqual(backwards(plan.latest, from, to), expected, `${zone} backwards`);
        }
      }
    });
  }

  it('latest: an instant is its own latest; a millisecond earlier it is the one before', () => {
    const plan = cronPlan('0 * * * *', 'UTC');
    const hour = Date.UTC(2026, 10, 25, 12);
    assert.equal(plan.latest(hour), hour);
    assert.equal(plan.latest(hour - 1), hour - hourMs);
    assert.equal(plan.latest(hour + 59_999), hour);
    assert.equal(plan.next(hour), hour + hourMs);
    assert.equal(plan.next(hour - 1), hour);
  });

  it('possible expressions: accepted, with names, lists, steps and nicknames', () => {
    for (const expression of [
      '* * * * *',
      '*/5 8-18 * * mon-fri',
      '0 0 29 2 *',
      '0 0 L * *',
      '0 0 * JAN,jul SUN',
      '  0   0 * * 7 ',
      '@daily',
      '@Hourly',
    ]) {
      assert.equal(refusal(expression), 'accepted', expression);
    }
  });

  it('what never comes: refused, saying why', () => {
    for (const expression of ['0 0 30 2 *', '0 0 31 2,4,6,9,11 *', '0 0 31 4 *']) {
      const [, , day, month] = expression.split(' ');
      const why = refusal(expression);
      assert.ok(why.includes(`never comes: no month of '${month}' has a day '${day}'`), why);
    }
  });

  it('more often than once a minute: refused', () => {
    assert.match(refusal('*/10 * * * * *'), /6 fields, .* once a minute .* is the most/);
    assert.match(refusal('0 0 0 1 1 * 2027'), /7 fields/);
  });

  it('wrong fields: the refusal names the field, its value and what is possible', () => {
    const cases: [string, RegExp][] = [
      ['60 * * * *', /minute '60' is not possible; possible are 0 to 59/],
      ['0 24 * * *', /hour '24' is not possible; possible are 0 to 23/],
      ['0 0 0 * *', /day of month '0' is not possible; possible are 1 to 31/],
      ['0 0 * 13 *', /month '13' is not possible; possible are 1 to 12 or JAN to DEC/],
      ['0 0 * * 8', /day of week '8' is not possible; possible are 0 to 7/],
      ['0 0 * * FUNDAY', /day of week 'FUNDAY'/],
      ['5-1 * * * *', /minute '5-1'/],
      ['*/0 * * * *', /minute '\*\/0'/],
      ['1,,2 * * * *', /minute '1,,2'/],
      ['? * * * *', /minute '\?' is not possible; write '\*'/],
      ['-1 * * * *', /minute '-1'/],
      ['1.5 * * * *', /minute '1\.5'/],
      ['', /0 fields instead of five/],
      ['* * * *', /4 fields instead of five/],
      ['@reboot', /'@reboot' is not known; give one of @hourly/],
      ['x'.repeat(201), /longer than 200/],
    ];
    for (const [expression, message] of cases) assert.match(refusal(expression), message);
  });

  it('time zones: IANA names; the refusal says where they are listed', () => {
    for (const name of ['UTC', 'Europe/Berlin', 'Asia/Kathmandu']) checkTimezone(name);
    for (const name of ['', 'Nowhere/X', '+01:00', 'Berlin', 'Europe/Berlin ']) {
      assert.throws(() => checkTimezone(name), {
        code: 'invalid-argument',
        message: new RegExp(`time zone '${name.replace('+', '\\+')}' is not known`),
      });
    }
  });
});

function forwards(next: (after: number) => number | null, from: number, to: number): number[] {
  const found: number[] = [];
  for (let at = next(from - 1); at !== null && at < to; at = next(at)) found.push(at);
  return found;
}

function backwards(latest: (until: number) => number | null, from: number, to: number): number[] {
  const found: number[] = [];
  for (let at = latest(to - 1); at !== null && at >= from; at = latest(at - 1)) found.unshift(at);
  return found;
}
