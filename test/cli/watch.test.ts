/** `--watch`: frames on a terminal, lines in a pipe, and a daemon that is restarted meanwhile. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { test } from 'node:test';
import { followReadings, WatchScreen } from '../../lib/cli/watch.js';
import { AshlarError } from '../../lib/errors.js';
import { Daemon, program, runProgram } from '../rig/daemon.js';

/** A frame without what moves the cursor. */
const plain = (frame = ''): string => frame.replaceAll('\x1b[K', '').replaceAll('\x1b[H', '');

function screenOf(columns = 60, rows = 6) {
  const written: string[] = [];
  const terminal = { columns, rows, write: (text: string) => written.push(text) };
  const screen = new WatchScreen<string[]>(terminal, (found) => found, 2000);
  return { screen, written, terminal };
}

test('screen: only frames that differ are written, each as high and wide as the terminal', () => {
  const { screen, written } = screenOf();
  screen.reading(['one', 'x'.repeat(100)]);
  const first = written.length;
  screen.reading(['one', 'x'.repeat(100)]);
  assert.equal(written.length, first, 'nothing has changed');
  screen.reading(['two']);
  assert.equal(written.length, first + 1);
  for (const frame of written) {
    const lines = frame.slice('\x1b[H'.length).split('\x1b[K\r\n');
    assert.equal(lines.length, 6);
    for (const line of lines) assert.ok([...plain(line)].length <= 60);
  }
  assert.match(plain(written.at(-1)), /^two\r\n.*every 2 s, changed .* q quit/s);
});

test('screen: more lines than the terminal has: says how many more', () => {
  const { screen, written } = screenOf();
  screen.reading(Array.from({ length: 20 }, (_, index) => `line ${index}`));
  assert.match(plain(written.at(-1)), /line 3\r\n… and 16 lines more/);
});

test('screen: the daemon is away: the last reading stays, and the foot says so', () => {
  const { screen, written } = screenOf(100);
  screen.reading(['here']);
  screen.lost(new AshlarError('connection-lost', 'gone'));
  assert.match(written.at(-1) ?? '', /here.*No answer \(connection-lost\), trying again/s);
  screen.reading(['here']);
  assert.doesNotMatch(written.at(-1) ?? '', /No answer/);
});

test('screen: q and Ctrl-C end it, other keys do not', () => {
  const { screen } = screenOf();
  assert.deepEqual(
    ['x', 'q', '\x03'].map((key) => screen.key(key)),
    [false, true, true],
  );
});

test('readings: an error at the start ends it; later one that a restart explains does not', async () => {
  const refused = new AshlarError('daemon-not-running', 'nobody');
  const seen: string[] = [];
  const shown = {
    reading: (found: string) => seen.push(found),
    lost: ({ code }: AshlarError) => seen.push(code),
  };
  const never = new AbortController().signal;
  const fails = followReadings(() => Promise.reject(refused), shown, 1, never);
  await assert.rejects(fails, { code: 'daemon-not-running' });
  assert.deepEqual(seen, []);
  const answers: (string | AshlarError)[] = [
    'one',
    refused,
    'two',
    new AshlarError('not-found', 'deleted'),
  ];
  const read = async (): Promise<string> => {
    const answer = answers.shift() ?? assert.fail('it goes on');
    if (typeof answer === 'string') return answer;
    throw answer;
  };
  await assert.rejects(followReadings(read, shown, 1, never), { code: 'not-found' });
  assert.deepEqual(seen, ['one', 'daemon-not-running', 'two']);
});

/** Output of a child so far, and waiting for some of it. */
class Output {
  text = '';
  #heard: () => void = () => undefined;

  constructor(stream: ChildProcess['stdout']) {
    stream?.on('data', (piece: Buffer) => {
      this.text += piece.toString();
      this.#heard();
    });
  }

  async until(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.text)) {
      await new Promise<void>((resolve) => {
        this.#heard = resolve;
      });
    }
  }
}

test('a pipe, --json: a line of JSON for each change, over a restart; Ctrl-C: exit code 0', async () => {
  await using daemon = await Daemon.start({ poolFile: 'pool.ashlar', demoSize: '64MiB' });
  const args = ['volume', 'list', '--watch=200ms', '--json', '--socket', daemon.socket];
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [out, err] = [new Output(child.stdout), new Output(child.stderr)];
  await out.until(/demo.*\n/);
  await daemon.kill();
  await err.until(/"code":"(?:daemon-not-running|connection-lost)".*\n.*trying again/);
  await daemon.start();
  await err.until(/answers again/);
  await daemon.call('POST', '/v1/volumes', { name: 'later', sizeBytes: 1 << 20 });
  await out.until(/later.*\n/);
  child.kill('SIGINT');
  assert.equal(await ended, 0);
  const readings = out.text
    .trimEnd()
    .split('\n')
    .map((line): unknown => JSON.parse(line));
  assert.ok(readings.every(Array.isArray));
  assert.equal(new Set(out.text.trimEnd().split('\n')).size, readings.length, 'changes alone');
});

test('a terminal: takes the screen, draws, and gives it back when q is pressed', async () => {
  await using daemon = await Daemon.start({ poolFile: null, demoSize: '64MiB' });
  const line =
    `stty rows 12 cols 70; ${process.execPath} ${program} status --watch=200ms ` +
    `--socket ${daemon.socket}; echo "exit code $?"`;
  const child = spawn('script', ['-qec', `sh -c '${line}'`, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => child.once('close', resolve));
  const out = new Output(child.stdout);
  await out.until(/Serving.*q quit/s);
  child.stdin?.write('q');
  await ended;
  assert.ok(out.text.includes('\x1b[?1049h') && out.text.includes('\x1b[?1049l'));
  assert.match(out.text, /exit code 0/);
});

test('an interval that is none, and a name that stands where it would: say what to write', async () => {
  const wrong = await runProgram(['volume', 'show', '--watch', 'web']);
  assert.equal(wrong.code, 2);
  assert.match(wrong.err, /write --watch behind names, or --watch=2s/);
  const short = await runProgram(['status', '--watch=1ms']);
  assert.match(short.err, /Give 200ms to 1h/);
});
