import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  formatDurationMs,
  formatSize,
  formatSizeShort,
  parseDurationMs,
  parseSize,
} from '../../lib/config/units.js';
import { AshlarError } from '../../lib/errors.js';

const kib = 1024n;

test('sizes: good writings: exact bytes', () => {
  const table: [string, bigint][] = [
    ['0', 0n],
    ['4096', 4096n],
    ['4096B', 4096n],
    ['10GiB', 10n * kib ** 3n],
    ['10 gib', 10n * kib ** 3n],
    ['1.5TiB', (3n * kib ** 4n) / 2n],
    ['10GB', 10_000_000_000n],
    ['500kB', 500_000n],
    ['0.5KiB', 512n],
    ['1.000KiB', 1024n],
    ['16384PiB', 2n ** 64n],
    ['18446744073709551615', 2n ** 64n - 1n],
  ];
  for (const [text, bytes] of table) assert.equal(parseSize(text), bytes, text);
});

test('sizes: bad writings: an error that names the value and shows good ones', () => {
  const bad = ['', 'abc', '-1', '1e3', '10XB', '0x10', '1,5GiB', '10GiB10', 'NaN', '٣GiB', '.5GiB'];
  for (const text of bad) {
    assert.throws(
      () => parseSize(text, '--size'),
      (error: unknown) => {
        assert.ok(error instanceof AshlarError);
        assert.equal(error.code, 'invalid-argument');
        assert.ok(error.message.includes(`--size '${text}'`), error.message);
        assert.match(error.message, /10GiB/);
        return true;
      },
      text,
    );
  }
});

test('sizes: a lone letter: both meanings are offered', () => {
  assert.throws(() => parseSize('1.5G'), /write '1\.5GiB' \(powers of 1,024\) or '1\.5GB'/);
  assert.throws(() => parseSize('3k'), /write '3KiB' \(powers of 1,024\) or '3kB'/);
});

test('sizes: a fraction of a byte: refused', () => {
  assert.throws(() => parseSize('0.3B'), /not a whole number of bytes/);
  assert.throws(() => parseSize('1.0001KiB'), /not a whole number of bytes/);
});

test('sizes: very long text: refused quickly and shown cut', () => {
  assert.throws(
    () => parseSize('9'.repeat(100_000)),
    (error: Error) => error.message.length < 200,
  );
});

test('sizes: any number of bytes printed and parsed: the same number', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n }), (bytes) => {
      assert.equal(parseSize(formatSize(bytes)), bytes);
    }),
  );
  const scales = fc.constantFrom(1n, kib, kib ** 2n, kib ** 3n, kib ** 4n);
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 10_000n }), scales, (count, scale) => {
      assert.equal(parseSize(formatSize(count * scale)), count * scale);
    }),
  );
});

test('sizes: printed exactly: the largest unit that loses nothing', () => {
  const table: [bigint, string][] = [
    [0n, '0'],
    [1n, '1B'],
    [4096n, '4KiB'],
    [64n << 30n, '64GiB'],
    [1536n << 30n, '1.5TiB'],
    [10_000_000_000n, '9765625KiB'],
    [(1n << 30n) + 1n, '1073741825B'],
  ];
  for (const [bytes, text] of table) assert.equal(formatSize(bytes), text);
});

test('sizes: printed for tables: rounded, at most four digits', () => {
  const table: [bigint, string][] = [
    [0n, '0 B'],
    [1023n, '1023 B'],
    [1024n, '1 KiB'],
    [1536n, '1.5 KiB'],
    [(1n << 40n) - 1n, '1 TiB'],
    [13_207_024_435n, '12.3 GiB'],
    [123n << 30n, '123 GiB'],
  ];
  for (const [bytes, text] of table) assert.equal(formatSizeShort(bytes), text);
});

test('durations: good and bad writings', () => {
  assert.equal(parseDurationMs('250ms'), 250);
  assert.equal(parseDurationMs('1.5s'), 1500);
  assert.equal(parseDurationMs('2m'), 120_000);
  for (const text of ['', '10', 's', '-1s', '1 day', '1e9s']) {
    assert.throws(() => parseDurationMs(text), /is not a duration; write for example/, text);
  }
});

test('durations: printed with two units at most', () => {
  assert.equal(formatDurationMs(12), '12 ms');
  assert.equal(formatDurationMs(1234), '1.2 s');
  assert.equal(formatDurationMs(60_000), '1 min');
  assert.equal(formatDurationMs(200_000), '3 min 20 s');
  assert.equal(formatDurationMs(2 * 86_400_000 + 4 * 3_600_000 + 5000), '2 d 4 h');
});
