/** The commands of snapshot schedules; see program.ts. */
import type { Command } from 'commander';
import { addCommand, addGroup, wholeNumber } from './command.js';

export function addSchedules(program: Command): void {
  const schedule = addGroup(program, 'schedule', 'Snapshots by the clock, and how many are kept.');
  addCreate(schedule);
  addCommand(schedule, {
    usage: 'list',
    description: 'List schedules: the next run, the last one, and how it went.',
    tenant: true,
    list: 'listSchedules',
    examples: [['ashlar schedule list', 'also those that are disabled or have no volumes']],
    build: (command) =>
      command.action(async (options) => (await import('./schedule.js')).listSchedules(options)),
  });
  addCommand(schedule, {
    usage: 'show <schedule>',
    description: 'Show one schedule, by name or UUID.',
    tenant: true,
    watch: true,
    examples: [['ashlar schedule show nightly', 'everything known about it']],
    build: (command) =>
      command.action(async (name, options) =>
        (await import('./schedule.js')).showSchedule(name, options),
      ),
  });
  addChange(schedule);
  for (const verb of ['enable', 'disable'] as const) {
    addCommand(schedule, {
      usage: `${verb} <schedule>`,
      description:
        verb === 'enable'
          ? 'Let a schedule run again; what it would have made meanwhile is not made up for.'
          : 'Let a schedule make and delete nothing until it is enabled.',
      tenant: true,
      examples: [[`ashlar schedule ${verb} nightly`, 'its snapshots stay as they are']],
      build: (command) =>
        command.action(async (name, options) =>
          (await import('./schedule.js')).enableSchedule(name, verb === 'enable', options),
        ),
    });
  }
  addCommand(schedule, {
    usage: 'run <schedule>',
    description: 'Take its snapshots now, named by this minute, and delete what it keeps no more.',
    tenant: true,
    examples: [['ashlar schedule run nightly', 'before an upgrade; the next run comes as planned']],
    build: (command) =>
      command.action(async (name, options) =>
        (await import('./schedule.js')).runSchedule(name, options),
      ),
  });
  addCommand(schedule, {
    usage: 'delete <schedule>',
    description: 'Delete a schedule. The snapshots that it made stay.',
    tenant: true,
    examples: [['ashlar schedule delete nightly', 'delete its snapshots one by one if need be']],
    build: (command) =>
      command
        .option('--if-exists', 'succeed when it is gone already')
        .action(async (name, options) =>
          (await import('./schedule.js')).deleteSchedule(name, options),
        ),
  });
}

function addCreate(schedule: Command): void {
  addCommand(schedule, {
    usage: 'create <name>',
    description:
      'Take snapshots of volumes by the clock, all of one instant, and delete old ones that no ' +
      '--keep rule keeps. Only snapshots that the schedule made are ever deleted.',
    tenant: true,
    examples: [
      [
        "ashlar schedule create nightly --cron '0 2 * * *' --volume a --volume b --keep-daily 7",
        'every night at 02:00 UTC; a missed run is made up for once',
      ],
      [
        'ashlar schedule create d --cron @daily --timezone Europe/Berlin --volume a --keep-last 9',
        "at midnight by that zone's clock, summer and winter",
      ],
    ],
    build: (command) =>
      addKeep(addPlan(command))
        .option('--prefix <prefix>', "of its snapshots' names (default: its name)")
        .option('--disabled', 'do not run it until it is enabled')
        .option('--if-missing', 'succeed when the same schedule exists already')
        .action(async (name, options) =>
          (await import('./schedule.js')).createSchedule(name, options),
        ),
  });
}

function addChange(schedule: Command): void {
  addCommand(schedule, {
    usage: 'change <schedule>',
    description: 'Change when a schedule runs, its volumes or what it keeps, from the next run on.',
    tenant: true,
    examples: [
      ['ashlar schedule change nightly --keep-daily 14', 'the other counts stay'],
      ['ashlar schedule change nightly --volume data --volume mail', 'these volumes, no others'],
    ],
    build: (command) =>
      addKeep(addPlan(command))
        .option('--name <name>', 'another name')
        .option('--prefix <prefix>', "another beginning of its snapshots' names")
        .action(async (name, options) =>
          (await import('./schedule.js')).changeSchedule(name, options),
        ),
  });
}

function addPlan(command: Command): Command {
  return command
    .option('--cron <expression>', "minute, hour, day, month, weekday, e.g. '0 2 * * *'; @daily")
    .option('--timezone <zone>', 'IANA name of the time zone (default: UTC)')
    .option('--volume <volume...>', 'volumes, by name or UUID; up to 64');
}

function addKeep(command: Command): Command {
  const count = wholeNumber(0, 10_000);
  return command
    .option('--keep-last <count>', 'keep the newest so many', count)
    .option('--keep-hourly <count>', 'keep one of each of the last hours that have one', count)
    .option('--keep-daily <count>', 'likewise of days', count)
    .option('--keep-weekly <count>', 'likewise of weeks', count)
    .option('--keep-monthly <count>', 'likewise of months', count);
}
