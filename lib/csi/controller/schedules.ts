/** Which snapshot schedule a volume is in. */
import type { Schedule, Volume } from '../../api/contract.js';
import { CsiError } from '../errors.js';
import { codeOf, type Endpoint } from './endpoint.js';
import type { Found } from './endpoints.js';

/**
 * Somebody else changed the schedule as often as that. Calls of one controller take turns, and of
 * those of several one comes through each time, so it is the number of controllers that counts.
 */
const maxAttempts = 32;

/** The schedules that a volume is in. */
export async function schedulesOf(
  { endpoint, item }: Found<Volume>,
  signal: AbortSignal,
): Promise<Schedule[]> {
  const all = await endpoint.list('listSchedules', { tenant: item.tenant }, signal);
  return all.filter(({ volumes }) => volumes.includes(item.name));
}

/**
 * Puts a volume into one schedule, and takes it out of all others; '' takes it out of all.
 *
 * @throws CsiError INVALID_ARGUMENT when there is none of that name, RESOURCE_EXHAUSTED when it
 * takes no more volumes, ABORTED when others change it all the time.
 */
export async function joinSchedule(
  found: Found<Volume>,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  const { endpoint, item } = found;
  if (name !== '') {
    await change(endpoint, item.tenant, name, signal, (volumes) =>
      volumes.includes(item.name) ? volumes : [...volumes, item.name],
    );
  }
  for (const schedule of await schedulesOf(found, signal)) {
    if (schedule.name === name) continue;
    await change(endpoint, item.tenant, schedule.uuid, signal, (volumes) =>
      volumes.filter((volume) => volume !== item.name),
    );
  }
}

type Change = (volumes: readonly string[]) => readonly string[];

/** Whoever waits for his turn asks nothing; it ends soon, as each request has its own limit. */
function change(...[endpoint, tenant, ...rest]: Parameters<typeof changeNow>): Promise<void> {
  return endpoint.inTurn(`schedules of ${tenant}`, () => changeNow(endpoint, tenant, ...rest));
}

async function changeNow(
  endpoint: Endpoint,
  tenant: string,
  name: string,
  signal: AbortSignal,
  changed: Change,
): Promise<void> {
  const input = { params: { schedule: name }, query: { tenant } };
  for (let attempt = 0; attempt < maxAttempts; attempt += 1) {
    const { output, etag } = await endpoint.tagged('getSchedule', input, { signal });
    const volumes = changed(output.volumes);
    if (volumes === output.volumes || volumes.length === output.volumes.length) return;
    try {
      const ifMatch = etag ?? undefined;
      await endpoint.call(
        'changeSchedule',
        { ...input, body: { volumes: [...volumes] } },
        { signal, ifMatch },
      );
      return;
    } catch (thrown) {
      if (codeOf(thrown) !== 'precondition-failed') throw thrown;
    }
  }
  throw new CsiError(
    'ABORTED',
    `schedule '${name}' of tenant '${tenant}' was changed by others ${maxAttempts} times at the ` +
      'same moment; call again',
  );
}
