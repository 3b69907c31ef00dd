/**
 * Two paths of a stock Linux kernel: two network cards, two portals, and a relay on the way to each
 * that is cut, delayed, killed and stopped, and cables that are pulled, while fio writes and
 * verifies. The host must see no error, and no I/O may take longer than is stated here.
 */
import assert from 'node:assert/strict';
import { after, before, describe, type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Daemon, type Volume } from '../rig/daemon.js';
import { Relay } from '../rig/relay.js';
import { writeReport } from '../rig/report.js';
import { Guest, guestSuite, machineAddress, machineAddress2 } from './guest.js';
import { complaints, hostnqn, LinuxHost } from './host.js';
import { Load, type PhaseFigures } from './load.js';

const MiB = 2 ** 20;
/** An admin queue and two for I/O, each a connection. */
const queues = 3;
/** Keep Alive Timeout of both paths. */
const katoSeconds = 5;
/** A connection that breaks is noticed at once, and what was under way on it goes elsewhere. */
const resetLimitMs = 500;
/** What silence is to cost at most. The kernels of today need longer, whatever the target does. */
const silenceGoalMs = (katoSeconds + 1) * 1000;
/**
 * What it can cost this kernel: half a KATO until the next Keep Alive is sent, KATO until that has
 * had no answer, and up to a second because the block layer rounds timeouts up; and then a second
 * to take the path down. The Keep Alive of Linux 6.1 is synchronous, and giving a path up begins
 * with waiting for its end, which is a second timeout: 2.5 + 6 + 6 + 1 s instead of 2.5 + 6 + 1 s.
 */
const keepAliveTimeouts = guestSuite === 'default' ? 2 : 1;
const silenceLimitMs = (katoSeconds / 2 + keepAliveTimeouts * (katoSeconds + 1) + 1) * 1000;
/**
 * After a daemon is there again: the kernel tries every second, and the try that came too early has
 * to end before. How long the daemon itself is away depends on the machine, and is measured.
 */
const resumeLimitMs = 3000;

interface Path {
  relay: Relay;
  /** The guest's network card. */
  card: number;
}

if (process.arch !== 'x64') {
  test('two paths of a Linux kernel', { skip: 'the guest kernel is built for x64 only' });
} else {
  suite();
}

function suite(): void {
  const started = performance.now();
  const owned: AsyncDisposable[] = [];
  const paths: Path[] = [];
  let figures: PhaseFigures[] = [];
  let daemon: Daemon | undefined;
  let guest: Guest | undefined;
  let load: Load | undefined;
  let failed = false;
  /** How long no daemon was there, when it was restarted. */
  let awayMs = 0;

  /** A test's body after whose failure the logs are shown. */
  function watched(run: (context: TestContext) => Promise<void>) {
    return async (context: TestContext): Promise<void> => {
      try {
        await run(context);
      } catch (error) {
        failed = true;
        throw error;
      }
    };
  }

  /** What an earlier test has left, which has failed when it is not there. */
  function made<T>(value: T | undefined): T {
    assert.ok(value !== undefined, 'an earlier test made what this one needs');
    return value;
  }
  const path = (index: 0 | 1): Path => made(paths[index]);

  /** Waits until the kernel uses both paths. */
  async function bothLive(): Promise<void> {
    await made(guest).sh(
      // Nothing but the shell itself: programs that it starts would take the guest's processors
      // from fio, whose I/O is being timed.
      `for try in $(seq 300); do
         count=0
         for file in /sys/class/nvme/nvme*/state /sys/block/nvme*c*n*/ana_state; do
           read -r state <$file || true
           case $state in live | optimized) count=$((count + 1)) ;; esac
         done
         [ $count = 4 ] && exit 0
         sleep 0.1
       done
       head /sys/class/nvme/nvme*/state /sys/block/nvme*c*n*/ana_state
       exit 1`,
    );
  }

  /** Breaks a path and mends it, so that the kernel has to connect again: its relay counts. */
  async function reconnects({ relay }: Path, fault: () => Promise<void>): Promise<void> {
    const { pid } = relay;
    const before = await relay.counts();
    await fault();
    // A relay that was started anew counts from 0.
    const wanted = queues + (relay.pid === pid ? before.accepted : 0);
    for (const until = Date.now() + 30_000; ; await delay(50)) {
      const { accepted } = await relay.counts();
      if (accepted >= wanted) break;
      assert.ok(Date.now() < until, `${accepted} connections were made, not ${wanted}`);
    }
    await bothLive();
    assert.equal((await relay.counts()).open, queues);
  }

  /** Loses everything on one path until the kernel has given it up. */
  function silence(
    path: Path,
    begin: () => Promise<void>,
    end: () => Promise<void>,
  ): Promise<void> {
    return reconnects(path, async () => {
      await begin();
      await made(guest).sh(
        `for try in $(seq 200); do
           for file in /sys/class/nvme/nvme*/state; do
             read -r state <$file
             [ $state = live ] || exit 0
           done
           sleep 0.1
         done
         exit 1`,
      );
      await end();
    });
  }

  /** Sets what hosts are told of each path, and waits until the kernel has been told. */
  async function setAna(...states: [string, string]): Promise<void> {
    // The path that is to be used comes first: the kernel always has one.
    const order = states[0] === 'optimized' ? [0, 1] : [1, 0];
    for (const index of order) {
      const port = made(made(daemon).ports[index]);
      await made(daemon).call('POST', `/v1/portals/127.0.0.1%3A${port}/ana`, {
        state: states[index],
      });
    }
    await made(guest).sh(
      `for try in $(seq 100); do
         states=
         for file in /sys/block/nvme*c*n*/ana_state; do
           read -r state <$file
           states="$states $state"
         done
         [ "$states" = ' ${states.join(' ')}' ] && exit 0
         sleep 0.05
       done
       echo "the kernel has$states"
       exit 1`,
    );
  }

  /** A test's body while fio runs; {@link within} finds what I/O was like in it by that name. */
  function phase(name: string, run: () => Promise<void>) {
    return watched(async () => {
      await made(load).phase(name);
      await run();
      made(load).check();
    });
  }

  interface Bounds {
    /** What no I/O that began in the phase may take longer than. */
    limitMs: number;
    /** What that was to be, when it cannot be had. */
    goalMs?: number;
    /** What the longest takes at least, or the fault was none. */
    leastMs?: number;
  }

  /** A test's body: how long I/O took in these phases. */
  function within({ limitMs, goalMs, leastMs = 0 }: Bounds, ...names: string[]) {
    return watched(async (context) => {
      for (const name of names) {
        const { ios, longestMs } = made(figures.find((each) => each.name === name));
        const goal = goalMs === undefined ? '' : ` (wanted: ${goalMs} ms)`;
        const figure = `${name}: ${ios} I/Os, the longest took ${longestMs} ms`;
        context.diagnostic(`${figure}; limit ${limitMs} ms${goal}`);
        assert.ok(ios > 0 && longestMs >= leastMs, `${figure}: the fault was none`);
        assert.ok(longestMs <= limitMs, `${figure}, not ${limitMs} ms`);
      }
    });
  }

  before(async () => {
    daemon = await Daemon.start({
      poolFile: 'pool',
      poolSize: '1GiB',
      demoSize: '64MiB',
      portals: 2,
    });
    owned.push(daemon);
    for (const [card, port] of daemon.ports.entries()) {
      const relay = await Relay.start(port);
      owned.push(relay);
      paths.push({ relay, card });
    }
    guest = await Guest.boot({ cards: 2 });
    owned.push(guest);
  });
  after(async () => {
    if (failed) process.stdout.write(`${guest?.console ?? ''}\n${daemon?.log ?? ''}\n`);
    for (const each of owned.reverse()) await each[Symbol.asyncDispose]();
  });

  test(
    'two connections: one subsystem, and one disk with two optimized paths',
    watched(async () => {
      const subnqn = await made(daemon).subnqn();
      const addresses = [machineAddress, machineAddress2];
      for (const [index, { relay }] of paths.entries()) {
        const host = new LinuxHost(made(guest), relay.port, subnqn, made(addresses[index]));
        await host.connect(
          `--nr-io-queues=${queues - 1} --keep-alive-tmo=${katoSeconds} --ctrl-loss-tmo=-1`,
        );
      }
      await bothLive();
      const subsystems = await made(guest).sh('ls /sys/class/nvme-subsystem');
      assert.equal(subsystems.trim(), 'nvme-subsys0');
      const { items } = await made(daemon).call<{ items: { portalId: number }[] }>(
        'GET',
        '/v1/controllers',
      );
      assert.equal(new Set(items.map(({ portalId }) => portalId)).size, 2, JSON.stringify(items));
    }),
  );

  test(
    'fio starts to write and verify, on both paths in turn',
    watched(async () => {
      const host = new LinuxHost(made(guest), path(0).relay.port, await made(daemon).subnqn());
      const device = await host.device((await made(daemon).volume('demo')).nsid);
      // Whatever path breaks, I/O is under way on it.
      await made(guest).sh('echo round-robin >/sys/class/nvme-subsystem/nvme-subsys0/iopolicy');
      load = await Load.start(made(guest), device);
    }),
  );

  describe('while fio runs', () => {
    test(
      'nothing breaks',
      phase('quiet', () => delay(2000)),
    );

    test(
      'a relay is cut, four times in turn: the kernel connects again',
      phase('cut', async () => {
        for (const index of [0, 1, 0, 1] as const) {
          await reconnects(path(index), () => path(index).relay.cut());
        }
      }),
    );

    test(
      'a relay delays by 50 ms each way: both paths stay',
      phase('delayed', async () => {
        const { accepted } = await path(0).relay.counts();
        await path(0).relay.delay(50, 50);
        await delay(3000);
        await path(0).relay.delay(0, 0);
        await bothLive();
        assert.equal((await path(0).relay.counts()).accepted, accepted, 'connections are the same');
      }),
    );

    test(
      'a relay is killed and started again: the kernel connects again',
      phase('killed', () =>
        reconnects(path(1), async () => {
          await path(1).relay.kill();
          // The kernel finds nobody there at its first attempts.
          await delay(2500);
          await path(1).relay.start();
        }),
      ),
    );

    test(
      'a relay is stopped: the kernel gives the path up, and comes back',
      phase('stopped', () =>
        silence(
          path(0),
          () => path(0).relay.stop(),
          async () => path(0).relay.resume(),
        ),
      ),
    );

    test(
      'a cable is pulled: the kernel gives the path up, and comes back',
      phase('link down', () =>
        silence(
          path(1),
          () => made(guest).setLink(path(1).card, false),
          () => made(guest).setLink(path(1).card, true),
        ),
      ),
    );

    test(
      'ANA states change every second: the kernel follows, and no path breaks',
      phase('ANA', async () => {
        const before = await Promise.all(paths.map(({ relay }) => relay.counts()));
        const others = ['inaccessible', 'non-optimized', 'persistent-loss', 'change'];
        for (const [second, state] of [...others, ...others].entries()) {
          const over = delay(1000);
          await (second % 2 === 0 ? setAna('optimized', state) : setAna(state, 'optimized'));
          await over;
        }
        await setAna('optimized', 'optimized');
        const now = await Promise.all(paths.map(({ relay }) => relay.counts()));
        assert.deepEqual(now, before, 'connections are the same');
      }),
    );

    test(
      'the daemon is restarted by SIGTERM: the kernel connects again',
      phase('restart', () =>
        reconnects(path(0), () =>
          reconnects(path(1), async () => {
            const from = performance.now();
            assert.deepEqual(await made(daemon).stop(), { code: 0, signal: null });
            await made(daemon).start();
            awayMs = Math.ceil(performance.now() - from);
          }),
        ),
      ),
    );
  });

  test(
    'fio ends: no I/O failed, every block verified, the kernel has no complaint',
    watched(async (context) => {
      const { writes, verified, phases } = await made(load).stop();
      figures = phases;
      context.diagnostic(`${writes} writes and ${verified} reads that verified`);
      const counts = phases.map(({ name, longestMs }) => [`ms longest, ${name}`, longestMs]);
      writeReport({
        suite: 'multipath',
        promises: ['P8', 'P10'],
        counts: { writes, 'reads that verified': verified, ...Object.fromEntries(counts) },
        seconds: (performance.now() - started) / 1000,
        seed: '',
      });
      assert.ok(verified >= 1000, `${verified} reads`);
      assert.deepEqual(complaints(made(guest)), []);
    }),
  );

  describe('the longest I/O', () => {
    test(
      'a reset, a slow path or an ANA state: half a second',
      within({ limitMs: resetLimitMs }, ...['quiet', 'cut', 'delayed', 'killed', 'ANA']),
    );
    test(
      'silence: what the keep-alive of this kernel needs',
      within(
        { limitMs: silenceLimitMs, goalMs: silenceGoalMs, leastMs: 1000 },
        ...['stopped', 'link down'],
      ),
    );
    test('a restart of the daemon, which takes both paths: three seconds after its end', (context) => {
      context.diagnostic(`the daemon was away for ${awayMs} ms`);
      return within({ limitMs: awayMs + resumeLimitMs, leastMs: 100 }, 'restart')(context);
    });
  });

  describe('a volume granted to the host, which is connected all the time', () => {
    let volume: Volume | undefined;
    let before: number[] = [];

    const accepted = () =>
      Promise.all(paths.map(async ({ relay }) => (await relay.counts()).accepted));
    async function writtenBytes(): Promise<number> {
      const { reactors } = await made(daemon).call<{ reactors: { writtenBytes: number }[] }>(
        'GET',
        '/v1/status',
      );
      return reactors.reduce((sum, reactor) => sum + reactor.writtenBytes, 0);
    }
    const diskOf = async (): Promise<string> => {
      const host = new LinuxHost(made(guest), path(0).relay.port, await made(daemon).subnqn());
      return host.device(made(volume).nsid);
    };
    const grant = () =>
      made(daemon).call('POST', '/v1/grants', { volume: 'granted', host: hostnqn });

    test(
      'the disk appears, with two paths',
      watched(async () => {
        before = await accepted();
        volume = await made(daemon).call<Volume>('POST', '/v1/volumes', {
          name: 'granted',
          sizeBytes: 32 * MiB,
          hosts: [hostnqn],
        });
        const disk = await diskOf();
        await made(guest).sh(
          `for try in $(seq 100); do
             set -- /sys/block/nvme*c*n${disk.split('n').at(-1)}
             [ $# = 2 ] && break
             sleep 0.1
           done
           [ $# = 2 ]
           yes ashlar | dd of=${disk} bs=64k count=16 oflag=direct iflag=fullblock status=none`,
        );
      }),
    );

    test(
      'revoked while it is written: nothing is after the call, and the disk goes',
      watched(async () => {
        const disk = await diskOf();
        const from = await writtenBytes();
        const writing = made(guest).attempt(
          `dd if=/dev/zero of=${disk} bs=4k seek=1024 oflag=direct status=none`,
          { port: 1 },
        );
        while ((await writtenBytes()) < from + 64 * 4096) await delay(20);
        await made(daemon).call('DELETE', `/v1/grants/granted/${encodeURIComponent(hostnqn)}`);
        const atRevoke = await writtenBytes();
        const { code, output } = await writing;
        assert.notEqual(code, 0, 'dd was refused a write');
        assert.doesNotMatch(output, /No space left/, 'dd did not come to the end of the disk');
        await made(guest).sh(
          `for try in $(seq 100); do [ -e ${disk} ] || exit 0; sleep 0.1; done; exit 1`,
        );
        assert.equal(await writtenBytes(), atRevoke);
      }),
    );

    test(
      'granted again: the disk is back with what was written, and grows',
      watched(async () => {
        await grant();
        const disk = await diskOf();
        await made(guest).sh(
          `yes ashlar | head -c ${MiB} >/tmp/expected
         dd if=${disk} bs=64k count=16 iflag=direct status=none | cmp - /tmp/expected`,
        );
        await made(daemon).call('PATCH', '/v1/volumes/granted', { sizeBytes: 48 * MiB });
        await made(guest).sh(
          `for try in $(seq 100); do
           read -r sectors </sys/block/$(basename ${disk})/size
           [ $sectors = ${(48 * MiB) / 512} ] && exit 0
           sleep 0.1
         done
         exit 1`,
        );
        assert.deepEqual(await accepted(), before, 'connections are the same');
      }),
    );
  });
}
