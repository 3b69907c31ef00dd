/** Cases of one fact that differs, and the one finding that follows from it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Finding, Level } from '../../lib/doctor/doctor.js';
import type { TargetFacts } from '../../lib/doctor/facts.js';
import { fineTarget, pinned } from './fine.js';

/** What is not as it should be. */
export function complaints(findings: readonly Finding[]): string[] {
  return findings
    .filter(({ level }) => level !== 'ok')
    .map(({ level, check, found }) => `${level} ${check}: ${found}`);
}

/** A case: the fact that differs, and what is said of it; the fix as the reader would paste it. */
export type Case<T> = [
  name: string,
  breakIt: (facts: T) => void,
  level: Level,
  check: string,
  found: RegExp,
  fix: RegExp | null,
];

export function judged<T>(
  cases: readonly Case<T>[],
  fine: () => Promise<T>,
  judge: (facts: T) => Finding[],
) {
  for (const [name, breakIt, level, check, found, fix] of cases) {
    test(name, async () => {
      const facts = await fine();
      breakIt(facts);
      const findings = judge(facts);
      const said = findings.filter((finding) => finding.level !== 'ok');
      assert.deepEqual(
        said.map((finding) => `${finding.level} ${finding.check}`),
        [`${level} ${check}`],
        complaints(findings).join('\n'),
      );
      const [finding] = said;
      assert.match(finding?.found ?? '', found);
      if (fix === null) assert.deepEqual(finding?.fix, []);
      else assert.match(finding?.fix.join('\n') ?? '', fix);
    });
  }
}

/** All is well there, reactors pinned beside the network card. */
export const target = async (): Promise<TargetFacts> => pinned(await fineTarget(), [0, 1]);

/** Nobody serves, and no service is installed. */
export const withoutDaemon = (facts: TargetFacts): void => {
  facts.daemon.state = 'none';
  facts.daemon.status = null;
  facts.system.service = { systemd: true, installed: false, enabled: false };
  facts.process.whose = 'shell';
};

/** The one portal of these facts. */
export function ownPortal(facts: TargetFacts): TargetFacts['network']['portals'][number] {
  const [portal] = facts.network.portals;
  return portal ?? assert.fail('there is one');
}
