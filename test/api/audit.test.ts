/** The audit log's files: rotation, and a disk that takes no lines. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { AuditLog } from '../../lib/audit/log.js';
import { Folder, logger } from './fixture.js';

test('audit: full files become older ones, the oldest goes, no line is cut or lost between', async () => {
  using folder = new Folder();
  const path = folder.file('deep/audit.log');
  const log = await AuditLog.open({ path, maxBytes: 100, keep: 2 }, logger);
  const lines = Array.from({ length: 30 }, (_, number) => ({ number, text: 'x'.repeat(10) }));
  await Promise.all(lines.map((line) => log.write(line)));
  await log.close();
  assert.deepEqual(fs.readdirSync(folder.file('deep')).sort(), [
    'audit.log',
    'audit.log.1',
    'audit.log.2',
  ]);
  const numbers = ['.2', '.1', ''].flatMap((ending) => {
    const text = fs.readFileSync(`${path}${ending}`, 'utf8');
    assert.ok(text.length <= 100);
    return text
      .trimEnd()
      .split('\n')
      .map((line): number => JSON.parse(line).number);
  });
  const first = numbers[0] ?? 0;
  assert.deepEqual(
    numbers,
    lines.slice(first).map(({ number }) => number),
  );
  const again = await AuditLog.open({ path, maxBytes: 100, keep: 2 }, logger);
  await again.write({ number: 30 });
  await again.close();
  assert.match(fs.readFileSync(path, 'utf8'), /"number":30/);
});

test('audit: a disk that is full: changes go on, and the daemon logs it once', async () => {
  using folder = new Folder();
  const told: unknown[] = [];
  const listening = logger.child({}, { level: 'error' });
  listening.error = ((...words: unknown[]) => told.push(words)) as typeof listening.error;
  const path = folder.file('full');
  fs.symlinkSync('/dev/full', path);
  const log = await AuditLog.open({ path, maxBytes: 100, keep: 1 }, listening);
  await log.write({ a: 1 });
  await log.write({ a: 2 });
  await log.close();
  assert.equal(told.length, 1);
});
