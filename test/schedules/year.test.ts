/**
 * A year of schedules in Europe/Berlin, with downtimes, suspensions, full pools and clocks set
 * back, against a reference that goes through it minute by minute and shares no code with them.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AshlarError } from '../../lib/errors.js';
import type { Retention } from '../../lib/schedules/retention.js';
import { SeededRandom, seedOfRun } from '../rig/random.js';
import { every, type Fields, keptByHand, plannedInstants } from './calendar.js';
import { Simulation } from './simulated.js';

const minuteMs = 60_000;
const dayMs = 86_400_000;
const zone = 'Europe/Berlin';
const startMs = Date.UTC(2026, 0, 1, 0, 0, 30);
const endMs = Date.UTC(2027, 0, 1);

interface Plan {
  name: string;
  cron: string;
  fields: Fields;
  keep: Retention;
}

const always = { weekdays: every.weekday, daysOfMonth: every.day };
const nothing: Retention = { last: 0, hourly: 0, daily: 0, weekly: 0, monthly: 0 };
const plans: readonly Plan[] = [
  {
    name: 'hourly',
    cron: '0 * * * *',
    fields: { ...always, minutes: [0], hours: every.hour, fixed: false },
    keep: { ...nothing, hourly: 24, last: 3 },
  },
  {
    name: 'daily',
    cron: '30 2 * * *',
    fields: { ...always, minutes: [30], hours: [2], fixed: true },
    keep: { ...nothing, daily: 7, weekly: 4, monthly: 12 },
  },
  {
    name: 'weekly',
    cron: '0 3 * * MON',
    fields: { ...always, minutes: [0], hours: [3], weekdays: [1], fixed: true },
    keep: { ...nothing, weekly: 5 },
  },
];

/** What happens to the machine, from one instant to another, one after the other. */
interface Disaster {
  kind: (typeof disasterKinds)[number];
  fromMs: number;
  toMs: number;
}

const disasterKinds = ['down', 'suspended', 'full', 'pool-failed', 'clock-back'] as const;
const halfHourMs = 30 * minuteMs;
/** Disasters begin and end ten minutes past and before the hour, away from planned instants. */
const firstMs = startMs + dayMs + 10 * minuteMs;

function disasters(random: SeededRandom): Disaster[] {
  const found: Disaster[] = [];
  for (let at = firstMs; at < endMs - 30 * dayMs; ) {
    const kind = random.pick(disasterKinds) ?? 'down';
    const long = random.below(4) === 0 && kind !== 'clock-back';
    const lastsMs = (1 + random.below(long ? 20 * 48 : 40)) * halfHourMs;
    found.push({ kind, fromMs: at, toMs: at + lastsMs });
    at += lastsMs + (1 + random.below(10 * 48)) * halfHourMs;
  }
  return found;
}

/** Planned instants that are run, in order, as a person would reckon. */
function runsOf(planned: readonly number[], all: readonly Disaster[]): number[] {
  const dropped = new Set<number>();
  for (const { kind, fromMs, toMs } of all) {
    if (kind === 'clock-back') continue; // What it passes again has had its run.
    const within = planned.filter((each) => each > fromMs && each < toMs);
    // A full pool costs every run; else the newest is made up for.
    for (const each of kind === 'full' ? within : within.slice(0, -1)) dropped.add(each);
  }
  return planned.filter((each) => !dropped.has(each));
}

async function strike(simulation: Simulation, disaster: Disaster): Promise<void> {
  const { clock, snapshots } = simulation;
  const { kind, fromMs, toMs } = disaster;
  await simulation.passTo(fromMs);
  switch (kind) {
    case 'down':
      await simulation.down();
      await simulation.passTo(toMs);
      return simulation.up();
    case 'suspended':
      clock.jumpTo(toMs);
      break;
    case 'full':
      snapshots.failure = new AshlarError('no-space', 'the pool is full');
      await simulation.passTo(toMs);
      snapshots.failure = null;
      break;
    case 'pool-failed':
      snapshots.failure = new AshlarError('pool-failed', 'the pool has failed');
      await simulation.passTo(toMs);
      await simulation.down();
      snapshots.failure = null;
      return simulation.up();
    case 'clock-back':
      await simulation.passTo(toMs);
      clock.jumpTo(fromMs);
  }
  // The clock is looked at within a minute.
  await simulation.passTo(clock.nowMs() + 2 * minuteMs);
}

function nameOf(plan: Plan, instantMs: number): string {
  return `${plan.name}-${new Date(instantMs).toISOString().slice(0, 16).replace(':', '-')}`;
}

describe('schedules: a year', () => {
  const seed = seedOfRun();
  it(`seed ${seed}: every run and every deletion as reckoned by hand`, async (context) => {
    const all = disasters(new SeededRandom(seed));
    const simulation = await Simulation.open(startMs, ['a', 'b']);
    const runs = new Map<string, number[]>();
    for (const plan of plans) {
      const { name, cron, keep, fields } = plan;
      await simulation.service.create({ name, cron, timezone: zone, volumes: ['a', 'b'], keep });
      runs.set(name, runsOf(plannedInstants(fields, zone, startMs + 30_000, endMs), all));
    }
    for (const disaster of all) {
      await strike(simulation, disaster);
      // A clock that was set back has to reach the present again before it can be judged.
      await simulation.passTo(disaster.toMs + 5 * minuteMs);
      assertKept(simulation, runs, disaster.toMs, `after ${JSON.stringify(disaster)}`);
    }
    await simulation.passTo(endMs - minuteMs);
    assertKept(simulation, runs, endMs, 'at the end of the year');
    const made = simulation.snapshots.log.map(({ name }) => name).sort();
    const expected = plans.flatMap((plan) =>
      (runs.get(plan.name) ?? []).map((instantMs) => nameOf(plan, instantMs)),
    );
    assert.deepEqual(made, expected.sort(), 'each run once, and no other');
    assert.ok(simulation.clock.wakeUps < 366 * 24 * 60 * 1.1, 'at most one wake-up a minute');
    const kinds = new Map<string, number>();
    for (const { kind } of all) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    context.diagnostic(
      `${made.length} runs, ${simulation.snapshots.creations - made.length} failed, ` +
        `${all.length} disasters (${[...kinds].join(' ')}), ${simulation.clock.wakeUps} wake-ups`,
    );
  });
});

/** What there is now: of both volumes, what the rules keep of the runs so far. */
function assertKept(
  simulation: Simulation,
  runs: ReadonlyMap<string, readonly number[]>,
  untilMs: number,
  when: string,
): void {
  const expected = plans.flatMap((plan) => {
    const past = (runs.get(plan.name) ?? []).filter((instantMs) => instantMs < untilMs);
    const kept = [...keptByHand(past, plan.keep, zone)].map((each) => nameOf(plan, each));
    return [...kept, ...kept];
  });
  assert.deepEqual(simulation.names(), expected.sort(), when);
}
