/** What the judges of all things are held to. */
import assert from 'node:assert/strict';
import type { Judged } from '../../lib/conditions/types.js';

/** Exactly these, worst first; healthy without a warning; and what is wrong has a next step. */
export function assertJudged(
  { conditions, healthy }: Judged<string>,
  expected: readonly (readonly [kind: string, severity: string])[],
): void {
  assert.deepEqual(
    conditions.map(({ kind, severity }) => [kind, severity]),
    expected,
  );
  assert.equal(
    healthy,
    expected.every(([, severity]) => severity === 'info'),
  );
  for (const { severity, nextStep } of conditions) {
    assert.ok(severity === 'info' || nextStep !== null, 'what is wrong has a next step');
  }
}
