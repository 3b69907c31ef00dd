/** `ashlar schedule …` with a real daemon: what a person sees, and what scripts rely on. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Daemon, runProgram } from '../rig/daemon.js';

let daemon: Daemon;
before(async () => {
  daemon = await Daemon.start({ poolFile: 'pool.ashlar', demoSize: null });
  for (const name of ['data', 'log']) {
    await ashlar(['volume', 'create', name, '--size', '1GiB']);
  }
});
after(async () => {
  await daemon[Symbol.asyncDispose]();
});

function ashlar(args: readonly string[]) {
  return runProgram([...args, '--socket', daemon.socket]);
}

/** What a command prints, with times and UUIDs replaced by words; it must succeed. */
async function shows(...args: string[]): Promise<string[]> {
  const { code, out, err } = await ashlar(args);
  assert.equal(err, '', args.join(' '));
  assert.equal(code, 0, args.join(' '));
  return out
    .replaceAll(/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, 'UUID')
    .replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, 'TIME')
    .replaceAll(/\d{4}-\d\d-\d\dT\d\d-\d\d/g, 'MINUTE')
    .trimEnd()
    .split('\n')
    .map((line) => line.trim().replaceAll(/ +/g, ' '));
}

/** The one line of an error behind its exit code. */
async function fails(...args: string[]): Promise<string> {
  const { code, out, err } = await ashlar(args);
  assert.equal(out, '', args.join(' '));
  assert.match(err, /^ashlar: [^\n]+\n$/, 'one line');
  return `${code} ${err.slice('ashlar: '.length).trimEnd()}`;
}

const plan = ['--cron', '0 3 29 2 *', '--volume', 'data', '--volume', 'log', '--keep-daily', '7'];

test('schedule: created, listed, shown, run, disabled, deleted: as a person sees it', async () => {
  assert.deepEqual(await shows('schedule', 'list'), [
    "No schedules. Create one: ashlar schedule create NAME --cron '0 2 * * *' --volume VOLUME " +
      '--keep-daily 7',
  ]);
  assert.deepEqual(await shows('schedule', 'create', 'leap', ...plan, '--keep-weekly', '4'), [
    "Created schedule 'leap': 2 volumes, keeps 7 daily, 4 weekly.",
    'First run: TIME.',
  ]);
  assert.deepEqual(await shows('schedule', 'list'), [
    'NAME CRON ZONE VOLUMES KEEPS SNAPS NEXT RUN LAST RUN RESULT',
    'leap 0 3 29 2 * UTC data, log 7 daily, 4 weekly 0 TIME never',
  ]);
  assert.deepEqual(await shows('schedule', 'run', 'leap'), [
    "Schedule 'leap' took 'data@leap-MINUTE', 'log@leap-MINUTE'. It has 2 snapshots now.",
  ]);
  assert.deepEqual(await shows('schedule', 'change', 'leap', '--keep-weekly', '0'), [
    "Changed schedule 'leap'; next run: TIME. It keeps 7 daily.",
  ]);
  assert.deepEqual(await shows('schedule', 'disable', 'leap'), [
    "Disabled schedule 'leap'; its 2 snapshots stay.",
  ]);
  assert.deepEqual(await shows('schedule', 'show', 'leap'), [
    'Name leap',
    'Tenant default',
    'Cron 0 3 29 2 * (UTC)',
    'Volumes data, log',
    'Keeps 7 daily',
    'Snapshots 2, called leap-YYYY-MM-DDTHH-MM (UTC)',
    'Next run disabled',
    'Last run never',
    'Result none yet',
    'UUID UUID',
    'Created TIME',
  ]);
  assert.deepEqual(await shows('schedule', 'enable', 'leap'), [
    "Enabled schedule 'leap'; next run: TIME.",
  ]);
  assert.deepEqual(await shows('schedule', 'delete', 'leap'), [
    "Deleted schedule 'leap'. The snapshots that it made stay.",
  ]);
  await shows('schedule', 'delete', 'leap', '--if-exists');
  const { out } = await ashlar(['snapshot', 'list', '--json']);
  const snapshots: unknown[] = JSON.parse(out);
  assert.equal(snapshots.length, 2);
});

test('schedule: its last volume deleted: the list says that it never runs', async () => {
  await shows('volume', 'create', 'only', '--size', '1GiB');
  await shows(
    'schedule',
    'create',
    'lonely',
    '--cron',
    '@yearly',
    '--volume',
    'only',
    '--keep-last',
    '1',
  );
  await shows('volume', 'delete', 'only', '--yes');
  assert.deepEqual((await shows('schedule', 'list')).slice(1), [
    'lonely @yearly UTC none 1 last 0 never: no volumes never',
  ]);
  assert.match(await fails('schedule', 'run', 'lonely'), /^4 schedule 'lonely' has no volumes/);
  await shows('schedule', 'delete', 'lonely');
});

test('schedule: bad input: one line that says what and what is possible', async () => {
  const create = (...args: string[]) => fails('schedule', 'create', 'x', ...args);
  const volume = ['--volume', 'data', '--keep-last', '1'];
  assert.match(await create(...volume), /^2 the times are missing/);
  assert.match(await create('--cron', '@daily', '--volume', 'data'), /^2 what to keep is missing/);
  assert.match(await create('--cron', '0 0 30 2 *', ...volume), /^2 cron '0 0 30 2 \*': never/);
  assert.match(await create('--cron', '0 24 * * *', ...volume), /^2 .*hour '24' .* 0 to 23/);
  assert.match(await create('--cron', '* * * * * *', ...volume), /^2 .*once a minute/);
  assert.match(await create('--cron', '@daily', '--timezone', 'Mars', ...volume), /^2 .*'Mars'/);
  const many = ['--volume', 'data', '--keep-daily', '10001'];
  assert.match(await create('--cron', '@daily', ...many), /^2 .*from 0 to 10000/);
  assert.match(await create('--cron', '@daily', '--volume', 'no', '--keep-last', '1'), /^3 .*'no'/);
  assert.match(await fails('schedule', 'change', 'x'), /^2 nothing to change/);
  assert.match(await fails('schedule', 'show', 'x'), /^3 schedule 'x' does not exist/);
  assert.deepEqual(JSON.parse((await ashlar(['schedule', 'list', '--json'])).out), []);
});

test('schedule: --json: the object that the API shows', async () => {
  const { out } = await ashlar(['schedule', 'create', 'json', ...plan, '--json']);
  const schedule: Record<string, unknown> = JSON.parse(out);
  assert.deepEqual(schedule['volumes'], ['data', 'log']);
  assert.deepEqual(schedule['keep'], { last: 0, hourly: 0, daily: 7, weekly: 0, monthly: 0 });
  await shows('schedule', 'delete', 'json');
});
