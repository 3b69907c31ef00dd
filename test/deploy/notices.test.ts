/** What the daemon tells a service manager, heard by a socket such as systemd's. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import { after, before, test } from 'node:test';
import { loadNative } from '../../lib/native.js';
import { program, Workspace } from '../rig/daemon.js';

/** Node.js has no datagrams of Unix sockets; Python, which the build needs anyway, has. */
const listener = `
import json, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1].replace('@', '\\0', 1) if sys.argv[1][0] == '@' else sys.argv[1])
print(json.dumps('bound'), flush=True)
while True:
    print(json.dumps(s.recv(4096).decode()), flush=True)
`;

/** Messages that come to a socket, one after the other. */
class Listener implements Disposable {
  readonly #child: ChildProcess;
  readonly #lines: Interface;
  readonly #heard: AsyncIterator<string>;

  constructor(socket: string) {
    this.#child = spawn('python3', ['-c', listener, socket], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    assert.ok(this.#child.stdout !== null);
    this.#lines = createInterface({ input: this.#child.stdout });
    this.#heard = this.#lines[Symbol.asyncIterator]();
  }

  async next(): Promise<string> {
    const { value, done } = await this.#heard.next();
    assert.ok(done !== true, 'the listener goes on');
    return JSON.parse(value) as string;
  }

  /** Passes over what is said in between. */
  async until(wanted: RegExp): Promise<string> {
    for (;;) {
      const message = await this.next();
      if (wanted.test(message)) return message;
    }
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
    this.#lines.close();
  }
}

const workspace = new Workspace();
before(() => undefined);
after(() => workspace[Symbol.dispose]());

function serve(name: string, env: Record<string, string>): ChildProcess {
  const args = ['serve', '--json', '--memory', '64MiB', '--portal', '127.0.0.1:0'];
  return spawn(
    process.execPath,
    [program, ...args, '--no-discovery', '--socket', workspace.file(`${name}.sock`)],
    { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] },
  );
}

const exitOf = (child: ChildProcess): Promise<number | null> =>
  new Promise((resolve) => child.once('exit', resolve));

test('notices: opening, ready, alive again and again, stopping: in that order', async () => {
  const socket = workspace.file('notify');
  using manager = new Listener(socket);
  assert.equal(await manager.next(), 'bound');
  const child = serve('a', { NOTIFY_SOCKET: socket, WATCHDOG_USEC: '200000' });
  try {
    assert.equal(await manager.next(), 'STATUS=opening the pool');
    assert.equal(await manager.next(), 'READY=1\nSTATUS=serving 0 volumes to 0 controllers');
    for (let beat = 0; beat < 3; beat += 1) assert.equal(await manager.next(), 'WATCHDOG=1');
    child.kill('SIGTERM');
    assert.match(await manager.until(/STOPPING/), /^STOPPING=1\nSTATUS=stopping: /);
    assert.equal(await exitOf(child), 0);
  } finally {
    child.kill('SIGKILL');
  }
});

test('notices: a name that is in no file system; the watchdog of another process', async () => {
  const socket = `@ashlar-test-${process.pid}`;
  using manager = new Listener(socket);
  assert.equal(await manager.next(), 'bound');
  const child = serve('b', { NOTIFY_SOCKET: socket, WATCHDOG_USEC: '1000', WATCHDOG_PID: '1' });
  try {
    await manager.until(/READY/);
    child.kill('SIGTERM');
    // A watchdog of a millisecond would have been told something in between.
    assert.match(await manager.next(), /^STOPPING=1/);
  } finally {
    child.kill('SIGKILL');
  }
});

test('notices: a manager that is not there: a warning, and the daemon serves', async () => {
  const child = serve('c', { NOTIFY_SOCKET: workspace.file('nowhere') });
  try {
    let log = '';
    child.stderr?.on('data', (piece: Buffer) => {
      log += piece.toString();
    });
    assert.ok(child.stdout !== null);
    const [line] = await new Promise<string[]>((resolve) => {
      if (child.stdout !== null) createInterface(child.stdout).once('line', (l) => resolve([l]));
    });
    assert.match(line ?? '', /"event":"ready"/);
    assert.match(log, /the service manager was not told/);
    child.kill('SIGTERM');
    assert.equal(await exitOf(child), 0);
  } finally {
    child.kill('SIGKILL');
  }
});

test('notices: a path that is too long: said in one line, nothing else', () => {
  const problem = loadNative().serviceNotify(`/${'x'.repeat(200)}`, 'READY=1');
  assert.match(problem ?? '', /too long/);
});
