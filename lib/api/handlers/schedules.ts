/** What the operations on snapshot schedules do; see handlers.ts. */

import type { Node } from '../../node/types.js';
import type { ScheduleInfo } from '../../schedules/types.js';
import { nameFilter } from '../../volumes/filters.js';
import type { Schedule } from '../contract.js';
import type { Handlers } from '../server.js';
import { callOptions, page } from './inputs.js';

type ScheduleOperation = Extract<keyof Handlers, `${string}Schedule` | `${string}Schedules`>;

export function scheduleOperations(node: Node): Pick<Handlers, ScheduleOperation> {
  const { schedules } = node;
  return {
    listSchedules: async ({ query }, signal) =>
      page(
        schedules
          .list(callOptions(query, signal))
          .map(scheduleObject)
          .filter(({ name }) => nameFilter(query.name)(name)),
        query,
        (item) => `${item.tenant}/${item.name}`,
      ),
    createSchedule: async ({ body, query }, signal) =>
      scheduleObject(await schedules.create(body, callOptions(query, signal))),
    getSchedule: async ({ params, query }, signal) =>
      scheduleObject(schedules.show(params.schedule, callOptions(query, signal))),
    changeSchedule: async ({ params, query, body }, signal) =>
      scheduleObject(await schedules.change(params.schedule, body, callOptions(query, signal))),
    deleteSchedule: async ({ params, query }, signal) => {
      await schedules.delete(params.schedule, callOptions(query, signal));
      return {};
    },
    runSchedule: async ({ params, query }, signal) => {
      const run = await schedules.run(params.schedule, callOptions(query, signal));
      return { ...run, schedule: scheduleObject(run.schedule) };
    },
  };
}

function scheduleObject(schedule: ScheduleInfo): Schedule {
  return { ...schedule, keep: { ...schedule.keep } };
}
