/** What the OpenAPI document says in sentences. */

export const introduction = [
  'Bodies are JSON, or MessagePack with `Content-Type` and `Accept: application/msgpack`.',
  'Sizes are whole bytes, times ISO 8601 in UTC; nothing is left out of an answer, `null` stands',
  'for "none". A list comes as `{ items, next }`; `next` is given back as `cursor`.',
  'Every error is a problem document (RFC 9457), whose `code` is what programs look at.',
].join(' ');

interface Tag {
  name: string;
  description: string;
}

/** In the order of the pages; a path belongs to the first whose word it begins with. */
const groups: readonly (readonly [name: string, words: readonly string[], description: string])[] =
  [
    ['Node', ['status', 'controllers'], 'The node at one glance, and who is connected.'],
    ['Pools', ['pools'], 'The space that volumes share, and the devices under it.'],
    ['Tenants', ['tenants'], 'Who owns volumes; each has a subsystem of its own.'],
    ['Policies', ['policies'], 'How much hosts may do a second.'],
    ['Volumes', ['volumes', 'clones'], 'Thin volumes, served as NVMe namespaces.'],
    ['Snapshots', ['snapshots', 'groups'], 'What a volume was at one instant.'],
    ['Schedules', ['schedules'], 'Snapshots by the clock.'],
    ['Imports', ['imports'], 'Streams that are half applied.'],
    ['Hosts', ['hosts', 'host-keys', 'psks'], 'Who may connect, and how they prove it.'],
    ['Grants', ['grants', 'reservations'], 'Who may use what, and who has reserved it.'],
    ['Portals', ['portals', 'ana', 'referrals'], 'Where hosts connect.'],
    ['Statistics', ['statistics'], 'What hosts do.'],
    ['Events', ['events'], 'What happened.'],
    ['Jobs', ['jobs'], 'Long work, with progress and cancel.'],
    ['Tokens', ['tokens', 'self', 'sign-ins', 'sessions'], 'Who may call, and what each may.'],
  ];

export const tags: readonly Tag[] = groups.map(([name, , description]) => ({ name, description }));

/** @throws RangeError for a path that no tag has. */
export function tagOf(path: string): string {
  const word = path.split('/')[2] ?? '';
  const found = groups.find(([, words]) => words.includes(word));
  if (found === undefined) throw new RangeError(`no tag for the path '${path}'`);
  return found[0];
}
