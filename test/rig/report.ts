/** The figures of a suite, for test/RELIABILITY.md; the same form as test/native/report.h. */
import fs from 'node:fs';
import path from 'node:path';

export interface SuiteReport {
  /** One word or a few; also the name of the file. */
  suite: string;
  /** P1 … P13 that it defends. */
  promises: string[];
  /** Whole numbers, in the order in which they are to be read. */
  counts: Record<string, number>;
  seconds: number;
  /** What replays it; empty when nothing in it is random. */
  seed: string;
}

/** Leaves the figures in the folder that ASHLAR_REPORT_DIR names; without it, does nothing. */
export function writeReport(report: SuiteReport): void {
  const folder = process.env['ASHLAR_REPORT_DIR'];
  if (folder === undefined) return;
  const file = path.join(folder, `${report.suite}.json`);
  fs.writeFileSync(`${file}.writing`, `${JSON.stringify(report)}\n`);
  fs.renameSync(`${file}.writing`, file);
}
