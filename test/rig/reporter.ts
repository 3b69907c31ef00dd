/**
 * A node:test reporter for the rig: one JSON line per test that ended.
 *
 * A suite (`describe`) is not a test; neither is a test's parent counted for what its children did.
 */
interface Ended {
  type: string;
  data: {
    name: string;
    nesting: number;
    file?: string;
    line?: number;
    skip?: string | boolean;
    todo?: string | boolean;
    details?: { type?: string; duration_ms?: number; error?: { message?: string } };
  };
}

/** One line of a report. */
export interface TestLine {
  outcome: 'passed' | 'failed' | 'skipped';
  name: string;
  /** Why it failed, or why it was skipped. */
  reason: string;
  durationMs: number;
}

export default async function* report(events: AsyncIterable<Ended>): AsyncGenerator<string> {
  for await (const { type, data } of events) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data.details?.type === 'suite') {
      // A suite fails when a test in it does, which is counted there, or when its own set-up
      // does, which is counted nowhere else.
      if (type === 'test:pass' || /subtests? failed/.test(data.details.error?.message ?? '')) {
        continue;
      }
    }
    const skip = data.skip ?? data.todo;
    const skipped = skip !== undefined && skip !== false;
    const line: TestLine = {
      outcome: skipped ? 'skipped' : type === 'test:pass' ? 'passed' : 'failed',
      name: data.name,
      reason: skipped ? String(skip) : (data.details?.error?.message ?? ''),
      durationMs: data.details?.duration_ms ?? 0,
    };
    yield `${JSON.stringify(line)}\n`;
  }
}
