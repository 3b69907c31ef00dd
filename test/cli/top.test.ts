/** `ashlar top`: rates of two readings, the frame, and its keys. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { VolumeStatistics } from '../../lib/api/contract.js';
import { follow, intervalOf, TopScreen } from '../../lib/cli/top.js';
import {
  numberText,
  percentiles,
  ratesOf,
  sorted,
  type TopReading,
  type TopView,
  timeText,
  topFrame,
} from '../../lib/cli/top_frame.js';

function statistics(volume: string, over: Partial<VolumeStatistics> = {}): VolumeStatistics {
  return {
    ...{ volume, uuid: `uuid of ${volume}`, tenant: 'default', atMs: 0, reads: 0, writes: 0 },
    ...{ others: 0, flushes: 0, readBytes: 0, writtenBytes: 0, errors: 0, underWay: 0 },
    ...{ limitedCommands: 0, limitedMs: 0, readLatency: [], writeLatency: [] },
    ...over,
  };
}
const reading = (...volumes: VolumeStatistics[]): TopReading => ({
  ...{ volumes, status: null, statusAtMs: 0 },
});
const view = (over: Partial<TopView> = {}): TopView => ({
  ...{ sort: 'iops', filter: '', typing: false, paused: false },
  ...over,
});

test('rates: differences by the time between, and what waited for a limit as a share', () => {
  const before = statistics('a', { atMs: 1000, reads: 100, readBytes: 4096, limitedCommands: 5 });
  const after = statistics('a', {
    ...{ atMs: 3000, reads: 300, readBytes: 4096 + 819_200, limitedCommands: 55, underWay: 7 },
    readLatency: [
      { belowNs: 100_000, count: 150 },
      { belowNs: 1_000_000, count: 50 },
    ],
  });
  const rates = ratesOf(before, after);
  assert.deepEqual([rates.reads, rates.readBytes, rates.depth], [100, 409_600, 7]);
  assert.equal(rates.limited, 0.25);
  assert.deepEqual(rates.read, { p50: 0.1, p99: 1 });
  assert.equal(rates.write, null);
});

test('percentiles: of what came between the readings alone', () => {
  const before = [{ belowNs: 1_000_000, count: 1000 }];
  const after = [
    { belowNs: 2000, count: 99 },
    { belowNs: 1_000_000, count: 1000 },
    { belowNs: null, count: 1 },
  ];
  assert.deepEqual(percentiles(before, after), { p50: 0.002, p99: 0.002 });
  assert.equal(percentiles(after, after), null);
});

test('frame: busiest first, as wide and high as the terminal, and how many more there are', () => {
  const names = Array.from({ length: 50 }, (_, i) => `v${String(i).padStart(2, '0')}`);
  const before = reading(...names.map((name) => statistics(name)));
  const after = reading(
    ...names.map((name, i) => statistics(name, { atMs: 1000, reads: i * 10, writes: i })),
  );
  const lines = topFrame(before, after, view(), 80, 20);
  assert.ok(lines.length <= 20);
  assert.ok(lines.every((line) => [...line].length <= 80));
  const rows = lines.filter((line) => /^v\d\d/.test(line));
  assert.match(rows[0] ?? '', /^v49 +490 /);
  assert.equal(lines.at(-1), `… and ${50 - rows.length} volumes more`);
  const filtered = topFrame(before, after, view({ filter: 'V0', sort: 'name' }), null, null);
  assert.equal(filtered.filter((line) => /^v\d\d/.test(line)).length, 10);
  assert.match(topFrame(before, after, view({ filter: 'x' }), 80, 20).join(), /none has that name/);
});

test('frame: a volume that has come between the readings waits for the next one', () => {
  const rates = topFrame(reading(), reading(statistics('new')), view(), 80, 20);
  assert.doesNotMatch(rates.join('\n'), /^new/m);
});

test('sorted: by each key, equals by name', () => {
  const at = (volume: string, over: object) =>
    ratesOf(statistics(volume), statistics(volume, { atMs: 1000, ...over }));
  const slow = { writes: 1, writeLatency: [{ belowNs: 5_000_000, count: 1 }] };
  const rates = [
    at('b', { reads: 5, readBytes: 10 }),
    at('a', { reads: 5, readBytes: 90 }),
    at('c', slow),
    at('d', { underWay: 9 }),
  ];
  const order = (key: TopView['sort']) =>
    sorted(rates, key)
      .map(({ volume }) => volume)
      .join('');
  assert.equal(order('iops'), 'abcd');
  assert.equal(order('bytes'), 'abcd');
  assert.equal(order('latency'), 'cabd');
  assert.equal(order('depth'), 'dabc');
  assert.equal(order('name'), 'abcd');
});

test('numbers and times fit six letters at every size', () => {
  for (let value = 0.1; value < 1e8; value *= 1.7) assert.ok(numberText(value).length <= 7);
  for (let ms = 0.001; ms < 1e5; ms *= 1.7) assert.ok(timeText(ms).length <= 7, timeText(ms));
  assert.equal(numberText(0), '-');
  assert.equal(timeText(0.12), '120 µs');
  assert.equal(timeText(undefined), '-');
});

test('keys: sort, filter with backspace and escape, pause; q and Ctrl-C end', () => {
  const written: string[] = [];
  const shown = view();
  const terminal = { columns: 60, rows: 10, write: (text: string) => written.push(text) };
  const screen = new TopScreen(terminal, shown);
  screen.show(reading(statistics('web')), reading(statistics('web', { atMs: 1000, reads: 3 })));
  const press = (...keys: string[]) => keys.map((key) => screen.key(key));
  press('l');
  assert.equal(shown.sort, 'latency');
  press('/', 'w', 'q', '\x7f');
  assert.deepEqual([shown.filter, shown.typing], ['w', true]);
  press('\r', 'p');
  assert.deepEqual([shown.filter, shown.typing, shown.paused], ['w', false, true]);
  press('/', '\x1b');
  assert.equal(shown.filter, '');
  assert.deepEqual(press('?', 'q', '\x03'), [false, true, true]);
  for (const frame of written) {
    assert.equal(frame.split('\r\n').length, terminal.rows, 'a frame fills the screen');
  }
});

test('follow: shows the difference of each two readings until it is ended', async () => {
  const ended = new AbortController();
  const frames: string[] = [];
  const terminal = { columns: 80, rows: 12, write: (text: string) => frames.push(text) };
  const shown = view();
  let reads = 0;
  const readNow = async () => {
    reads += 1;
    if (reads === 4) ended.abort();
    return reading(statistics('web', { atMs: reads * 1000, reads: reads * reads * 10 }));
  };
  await follow(readNow, shown, new TopScreen(terminal, shown), 1, ended.signal);
  assert.match(frames[0] ?? '', /web +30 /);
  assert.match(frames[1] ?? '', /web +50 /);
});

test('intervals: 200 ms to a minute', () => {
  assert.equal(intervalOf(undefined), 1000);
  assert.equal(intervalOf('5s'), 5000);
  for (const wrong of ['100ms', '2m']) assert.throws(() => intervalOf(wrong), { code: 'usage' });
});
