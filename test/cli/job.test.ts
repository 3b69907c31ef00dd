/** `ashlar job watch`: a bar where somebody looks, nothing in a pipe, and Ctrl-C leaves the job. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, test } from 'node:test';
import type { NewJob, OpenJob } from '../../lib/jobs/types.js';
import { ApiFixture } from '../api/fixture.js';
import { program } from '../rig/daemon.js';

let api: ApiFixture;
before(async () => {
  api = await ApiFixture.open();
});
after(() => api[Symbol.asyncDispose]());

const half: NewJob = {
  kind: 'import',
  title: 'import web',
  tenant: null,
  owner: 'local',
  cancellable: true,
};

function opened(over: Partial<NewJob> = {}): OpenJob {
  const job = api.node.jobs.open({ ...half, ...over });
  job.progress(512 << 20, 1 << 30);
  return job;
}

interface Ran {
  code: number | null;
  out: string;
  err: string;
}

/** Runs it; `heard` gets all that it has written so far, and may press keys. */
function ashlar(
  command: string[],
  heard: (written: string, press: (key: string) => void) => void = () => undefined,
): Promise<Ran> {
  const [file = '', ...args] = command;
  const child = spawn(file, args, {
    env: { ...process.env, ASHLAR_SOCKET: api.socket },
    stdio: 'pipe',
  });
  const ran: Ran = { code: null, out: '', err: '' };
  const note = (part: 'out' | 'err') => (piece: Buffer) => {
    ran[part] += piece.toString();
    heard(ran.out + ran.err, (key) => child.stdin.write(key));
  };
  child.stdout.on('data', note('out'));
  child.stderr.on('data', note('err'));
  return new Promise((resolve) => child.once('close', (code) => resolve({ ...ran, code })));
}
const piped = (...args: string[]) => [process.execPath, program, ...args];
const onTerminal = (...args: string[]) => [
  'script',
  '-qec',
  `stty cols 100; exec ${piped(...args).join(' ')}`,
  '/dev/null',
];

test('on a terminal: a bar with share, rate and time left; then one line, and no bar', async () => {
  const job = opened();
  const { code, out } = await ashlar(onTerminal('job', 'watch', job.id), (written) => {
    if (written.includes('50 %')) job.succeed(null);
  });
  assert.equal(code, 0);
  assert.match(out, /import web {2}\[#{10}-{10}\] 50 % {2}512 MiB of 1 GiB {2}\d.*\/s/);
  assert.ok(out.includes('\r\x1b[KDone: import web.'), 'the bar is gone');
});

test('piped: nothing but the end', async () => {
  const job = opened();
  const watching = ashlar(piped('job', 'wait', job.id));
  job.succeed(null);
  assert.deepEqual(await watching, { code: 0, out: 'Done: import web.\n', err: '' });
});

test('Ctrl-C: the job goes on, and how to look at it and end it is said', async () => {
  for (const cancellable of [true, false]) {
    const job = opened({ cancellable });
    let pressed = false;
    let asked = 0;
    api.conformance.heard = (id) => {
      if (id === 'getJob') asked += 1;
    };
    const watching = ashlar(onTerminal('job', 'watch', job.id), (written, press) => {
      if (written.includes('50 %') && !pressed) press('\x03');
      pressed ||= written.includes('50 %');
    });
    const { out } = await watching;
    assert.ok(asked > 0);
    assert.match(out, new RegExp(`the job goes on: 'ashlar job watch ${job.id}' shows it`));
    assert.equal(out.includes(`'ashlar job cancel ${job.id}' ends it`), cancellable);
    assert.equal(api.node.jobs.show(job.id).state, 'running');
    job.succeed(null);
  }
});

test('pool check: runs as a job, and says the same as ever', async () => {
  const { code, out, err } = await ashlar(piped('pool', 'check'));
  assert.match(out, /^Clean: the pool \(\d+ pages?, /, err);
  assert.equal(code, 0);
  const [job] = api.node.jobs.page({ kind: 'pool-check' }).items;
  assert.equal(job?.state, 'succeeded');
});
