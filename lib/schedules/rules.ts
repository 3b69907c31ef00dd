/** What a schedule may be. Each refusal names the value and the limit. */
import { AshlarError } from '../errors.js';
import { snapshotSuffixLength } from './plan.js';
import { type Retention, retentionRules } from './retention.js';

/** Schedules of a node. */
export const maxSchedules = 1024;

/** As many as one group of snapshots takes. */
export const maxScheduleVolumes = 64;

/** The most that one rule keeps: a year of hours. */
export const maxKept = 10_000;

/** What a snapshot's name of 63 letters leaves for the prefix. */
const maxPrefixLength = 63 - snapshotSuffixLength;
const prefixForm = new RegExp(`^[A-Za-z0-9][A-Za-z0-9._-]{0,${maxPrefixLength - 1}}$`);

/** @throws AshlarError invalid-argument. */
export function checkPrefix(prefix: string): void {
  if (prefixForm.test(prefix)) return;
  throw new AshlarError(
    'invalid-argument',
    `prefix '${prefix.slice(0, 80)}' is not 1 to ${maxPrefixLength} letters, digits, '.', '_' or ` +
      "'-', beginning with a letter or digit; a time follows it in the names of snapshots",
  );
}

/** @throws AshlarError invalid-argument. */
export function checkKeep(keep: Retention): void {
  for (const rule of retentionRules) {
    const count = keep[rule];
    if (Number.isInteger(count) && count >= 0 && count <= maxKept) continue;
    throw new AshlarError(
      'invalid-argument',
      `keep ${rule}: ${count} is not a whole number from 0 to ${maxKept}`,
    );
  }
  if (retentionRules.some((rule) => keep[rule] > 0)) return;
  throw new AshlarError(
    'invalid-argument',
    'a schedule that keeps no snapshot makes none; give at least one of keep ' +
      `${retentionRules.join(', ')}, for example 7 daily ones`,
  );
}

/** None is enough: it waits for volumes then. @throws AshlarError limit-exceeded. */
export function checkVolumeCount(count: number): void {
  if (count > maxScheduleVolumes) {
    throw new AshlarError(
      'limit-exceeded',
      `${count} volumes are over the limit of ${maxScheduleVolumes} in one schedule, as their ` +
        'snapshots are of one instant; make several schedules',
    );
  }
}
