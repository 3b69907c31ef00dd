/**
 * The same commands against the kernel's own target (nvmet-tcp over null_blk) and against Ashlar, in
 * one guest: every difference is in a list that says why. A new one fails.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Daemon } from '../rig/daemon.js';
import { Guest, guestSuite, machineAddress } from './guest.js';
import { hostid, hostnqn } from './host.js';
import { commands } from './nvmet_commands.js';
import {
  type Difference,
  fieldDifferences,
  of61Alone,
  statusDifferences,
} from './nvmet_differences.js';

/** M, more in the error log: nvmet sets it for every refusal, we never do. Compared without it. */
const moreBit = 0x2000;
const nvmet = 'nqn.2026-01.test:nvmet';

if (process.arch !== 'x64') {
  test('nvmet beside Ashlar', { skip: 'the guest kernel is built for x64 only' });
} else if (guestSuite !== 'default' && guestSuite !== 'trixie') {
  test('nvmet beside Ashlar', { skip: 'the list of differences is of Linux 6.1 and 6.12' });
} else {
  suite();
}

function suite(): void {
  let daemon: Daemon;
  let guest: Guest;
  /** Of nvmet and of Ashlar: nvme0 and nvme1. */
  const controllers = ['nvme0', 'nvme1'] as const;

  before(async () => {
    daemon = await Daemon.start({ poolFile: null, demoSize: null });
    // As large as null_blk's device, and in blocks of the same size.
    const volume = { name: 'v', sizeBytes: 250 * 2 ** 30, blockBytes: 512, hosts: ['*'] };
    await daemon.call('POST', '/v1/volumes', volume);
    const subnqn = await daemon.subnqn();
    guest = await Guest.boot({ bootTimeoutMs: 120_000 });
    await guest.load('nvmet');
    const identity = `--hostnqn=${hostnqn} --hostid=${hostid}`;
    await guest.sh(
      `mount -t configfs none /sys/kernel/config
       cd /sys/kernel/config/nvmet
       mkdir -p subsystems/${nvmet}/namespaces/1 ports/1
       echo 1 >subsystems/${nvmet}/attr_allow_any_host
       echo /dev/nullb0 >subsystems/${nvmet}/namespaces/1/device_path
       echo 1 >subsystems/${nvmet}/namespaces/1/enable
       echo tcp >ports/1/addr_trtype
       echo ipv4 >ports/1/addr_adrfam
       echo 127.0.0.1 >ports/1/addr_traddr
       echo 4420 >ports/1/addr_trsvcid
       ln -s /sys/kernel/config/nvmet/subsystems/${nvmet} ports/1/subsystems/
       nvme connect -t tcp -a 127.0.0.1 -s 4420 -n ${nvmet} ${identity}
       nvme connect -t tcp -a ${machineAddress} -s ${daemon.port} -n ${subnqn} ${identity}
       for disk in /dev/nvme0n1 /dev/nvme1n1; do
         for try in $(seq 100); do [ -b $disk ] && break; sleep 0.1; done
       done`,
      { timeoutMs: 120_000 },
    );
  });
  after(async () => {
    await guest?.[Symbol.asyncDispose]();
    await daemon[Symbol.asyncDispose]();
  });

  describe('beside nvmet', () => {
    test('fields of Identify: every difference has its reason', async () => {
      const [theirs, ours] = await Promise.all(controllers.map(fieldsOf));
      const names = [...new Set([...(theirs?.keys() ?? []), ...(ours?.keys() ?? [])])];
      const found = names
        .map((name) => [name, String(theirs?.get(name)), String(ours?.get(name))] as const)
        .filter(([, a, b]) => a !== b);
      assert.deepEqual(found, withoutReasons(fieldDifferences));
    });

    test('statuses of right and wrong commands: every difference has its reason', async () => {
      const [theirs, ours] = await Promise.all([statusesOf('nvme0', 0), statusesOf('nvme1', 1)]);
      const found = commands
        .map(({ name }) => [name, String(theirs.get(name)), String(ours.get(name))] as const)
        .filter(([, a, b]) => a !== b);
      const listed = statusDifferences.filter(
        ([name]) => guestSuite === 'default' || !of61Alone.has(name),
      );
      assert.deepEqual(found, withoutReasons(listed));
    });
  });

  /** Identify Controller and Identify Namespace, without what names one of them alone. */
  async function fieldsOf(controller: string): Promise<Map<string, unknown>> {
    const fields = new Map<string, unknown>();
    for (const command of [`id-ctrl /dev/${controller}`, `id-ns /dev/${controller}n1`]) {
      const text = await guest.sh(`nvme ${command} -o json`);
      const page: Record<string, unknown> = JSON.parse(text);
      for (const [name, value] of Object.entries(page)) {
        if (['sn', 'mn', 'fr', 'subnqn', 'nguid', 'psds', 'cntlid'].includes(name)) continue;
        fields.set(name, typeof value === 'object' ? JSON.stringify(value) : value);
      }
    }
    return fields;
  }

  /** By name of the command: 'ok', or the status as nvme-cli says it. */
  async function statusesOf(controller: string, port: 0 | 1): Promise<Map<string, string>> {
    const script = commands.map(({ name, kind, arguments: text }) => {
      const device = `/dev/${controller}${kind === 'io' ? 'n1' : ''}`;
      return `printf '%s\\t%s\\n' '${name}' \
        "$(nvme ${kind}-passthru ${device} ${text} 2>&1 >/dev/null </dev/null | tail -1)"`;
    });
    const output = await guest.sh(script.join('\n'), { timeoutMs: 400_000, port });
    const lines = output.trim().split('\n');
    return new Map(
      lines.map((line) => {
        const [name = '', said = ''] = line.split('\t');
        const refused = /\((0x[0-9a-f]+)\)/.exec(said)?.[1];
        if (refused !== undefined) return [name, hex(Number(refused) & ~moreBit)];
        return [name, /Success|result/.test(said) ? 'ok' : said];
      }),
    );
  }
}

const hex = (status: number) => `0x${status.toString(16)}`;

function withoutReasons(differences: readonly Difference[]) {
  return differences.map(([name, theirs, ours]) => [name, theirs, ours]);
}
