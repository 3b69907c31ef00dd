/** Who does the records of TLS, as the node decides when it starts, and what people see of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Status } from '../../lib/api/contract.js';
import { decideRecords, recordsText } from '../../lib/target/tls_records.js';
import { Daemon, runProgram } from '../rig/daemon.js';

const kernel = (problem: string | null) => ({ tlsKernelProblem: () => problem });
const silent = {
  tlsKernelProblem: (): never => {
    throw new Error('the kernel was asked');
  },
};

test('records: a kernel that can: the kernel, and the log says so in a word', () => {
  const decision = decideRecords(kernel(null), 'required', 'auto');
  assert.deepEqual(decision, { records: 'kernel', problem: null });
  assert.equal(recordsText(decision), 'TLS records: kernel');
});

test('records: a kernel that cannot: the process, and why', () => {
  const decision = decideRecords(kernel('no module'), 'allowed', 'auto');
  assert.deepEqual(decision, { records: 'process', problem: 'no module' });
  assert.equal(recordsText(decision), 'TLS records: process (no module)');
});

test('records: target.ktls off, or no TLS at all: the kernel is not even asked', () => {
  const off = { records: 'process', problem: 'target.ktls is off' };
  assert.deepEqual(decideRecords(silent, 'required', 'off'), off);
  assert.deepEqual(decideRecords(silent, 'none', 'auto'), { records: 'process', problem: null });
});

test('records: status and log of a daemon name the same one, and the reason', async () => {
  for (const ktls of ['auto', 'off'] as const) {
    await using daemon = await Daemon.start({
      poolFile: null,
      demoSize: null,
      tls: 'allowed',
      ktls,
    });
    const { tls } = await daemon.call<Status>('GET', '/v1/status');
    assert.equal(tls.mode, 'allowed');
    assert.equal(tls.records === 'kernel', tls.problem === null);
    if (ktls === 'off') assert.equal(tls.problem, 'target.ktls is off');
    const { out } = await runProgram(['status', '--socket', daemon.socket]);
    const why = tls.problem === null ? '' : ` (${tls.problem})`;
    const line = out.split('\n').find((each) => each.startsWith('TLS'));
    assert.equal(line, `TLS       allowed, records by the ${tls.records}${why}`);
    assert.ok(daemon.log.includes(`TLS records: ${tls.records}`), daemon.log);
  }
});
