/** Moments as people write them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { momentMs } from '../../lib/cli/moments.js';

// 03:30 by this machine's clock, wherever it is.
const now = new Date(2026, 10, 29, 3, 30, 0).getTime();
const at = (text: string) => momentMs(text, '--since', now);
const local = (...parts: [number, number, number, number, number, number?]) =>
  new Date(...parts).getTime();

test('moments: how long ago, a time of day, a date, a date and time, an instant', () => {
  assert.equal(at('2h'), now - 2 * 3_600_000);
  assert.equal(at('90s'), now - 90_000);
  assert.equal(at('1d'), now - 86_400_000);
  assert.equal(at('03:00'), local(2026, 10, 29, 3, 0));
  assert.equal(at('03:30:30'), local(2026, 10, 28, 3, 30, 30), 'the last one there was');
  assert.equal(at('23:59'), local(2026, 10, 28, 23, 59));
  assert.equal(at('2026-11-29'), local(2026, 10, 29, 0, 0));
  assert.equal(at('2026-11-29 02:15'), local(2026, 10, 29, 2, 15));
  assert.equal(at('2026-11-29T02:15:05'), local(2026, 10, 29, 2, 15, 5));
  assert.equal(at('2026-11-29T02:15:00Z'), Date.UTC(2026, 10, 29, 2, 15));
  assert.equal(at('2026-11-29 02:15:00.5+01:00'), Date.UTC(2026, 10, 29, 1, 15, 0, 500));
});

test('moments: what is none is refused, with the forms there are', () => {
  for (const text of ['', 'yesterday', '24:00', '03:60', '2026-11-31', '2026-13-01', '5', '-2h']) {
    assert.throws(() => at(text), { code: 'usage', message: /--since '.*'.*such as '2h'/ }, text);
  }
  assert.throws(() => at('5 parsecs'), { code: 'usage', message: /is not a duration/ });
});
