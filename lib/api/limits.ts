/**
 * Limits of fields, as plain numbers: the schemas of the contract have them, and so have the forms
 * of the console, which is to hold no schema library.
 */

/** Commands or bytes a second, as native code counts them; 2^40. */
export const maxRate = 2 ** 40;
/** How fast a burst may be, in percent of a rate; 100: no burst. */
export const burstPercentRange = [100, 10_000] as const;
/** How long a burst may last; 0: no burst. */
export const burstSecondsRange = [0, 3600] as const;
export const weightRange = [1, 10_000] as const;
/** Of one rule of a schedule. */
export const maxKeptSnapshots = 10_000;
/** Of one schedule, whose snapshots are of one instant. */
export const maxScheduleVolumes = 64;
export const maxPort = 65_535;
export const maxNqnLength = 223;
/** Names of volumes, snapshots, tenants, policies, schedules and tokens. */
export const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
