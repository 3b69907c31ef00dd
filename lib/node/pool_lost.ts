/** Says in a check's report which volumes and snapshots are concerned, by name. */
import { layerNames } from '../catalog/describe.js';
import type { CatalogRecord, CheckReport, LostRange } from '../native.js';

/**
 * The report, with the names of what lost something.
 *
 * @param catalog read only when something is lost; may tell less than all.
 */
export async function withNames(
  report: CheckReport,
  catalog: () => Promise<readonly CatalogRecord[]>,
): Promise<CheckReport> {
  if (report.problems.every(({ lost }) => lost === null)) return report;
  const names = layerNames(await catalog());
  const problems = report.problems.map((problem) => ({
    ...problem,
    what: problem.what + (problem.lost === null ? '' : concerned(problem.lost, names)),
  }));
  return { ...report, problems };
}

function concerned(lost: LostRange, names: ReadonlyMap<string, string>): string {
  const name = (layer: Uint8Array): string | null =>
    names.get(Buffer.from(layer).toString('hex')) ?? null;
  const own = name(lost.layer);
  const readers = lost.readers.flatMap((reader) => name(reader) ?? []);
  const parts: string[] = [];
  if (own !== null) parts.push(`it is ${own}`);
  if (readers.length > 0) parts.push(`what it holds there is read by ${readers.join(', ')}`);
  return parts.length === 0 ? '' : ` (${parts.join('; ')})`;
}
