/** Paths of the console's pages: the server answers them, the app shows them. */

/** Sections; each also has pages below it, such as /volumes/NAME. */
export const sections = [
  'volumes',
  'snapshots',
  'schedules',
  'policies',
  'hosts',
  'keys',
  'portals',
  'pool',
  'jobs',
  'events',
  'tenants',
  'tokens',
] as const;

export type Section = (typeof sections)[number];
