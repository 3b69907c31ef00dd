import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';

const program = fileURLToPath(new URL('./ending_main.js', import.meta.url));

test('process: exits under load with pool, target and host open', () => {
  const result = spawnSync(process.execPath, [program, 'exit'], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  assert.equal(result.signal, null);
  assert.equal(result.status, 0, result.stderr);
  assert.equal(result.stderr, '');
});

test('worker: terminated under load with pool, target and host open: no thread is left', async () => {
  const threads = () => readdirSync('/proc/self/task').length;
  const before = threads();
  for (let i = 0; i < 3; i++) {
    const worker = new Worker(program, { workerData: 'wait' });
    await once(worker, 'message');
    await worker.terminate();
  }
  while (threads() > before) await new Promise((resolve) => setTimeout(resolve, 5));
});
