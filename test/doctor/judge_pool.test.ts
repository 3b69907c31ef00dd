/** Each finding, by the one fact that brings it about: the place of the pool. */
import { describe } from 'node:test';
import { judgeTarget } from '../../lib/doctor/doctor.js';
import type { TargetFacts } from '../../lib/doctor/facts.js';
import { type Case, judged, target, withoutDaemon } from './judged.js';

const gib = 1n << 30n;

describe('doctor: pool', () => {
  const cases: Case<TargetFacts>[] = [
    [
      'a pool in memory: warns',
      ({ pool }) => Object.assign(pool, { path: null, kind: 'memory', sizeBytes: gib }),
      'warn',
      'pool',
      /in memory, 1 GiB/,
      /pool\.ashlar/,
    ],
    [
      'a folder: fails',
      ({ pool }) => (pool.kind = 'other'),
      'fail',
      'pool',
      /folder/,
      /pool\.ashlar/,
    ],
    [
      'a file of no pool size: fails',
      ({ pool }) => (pool.sizeBytes = 10n),
      'fail',
      'pool',
      /10 B/,
      /ls -l/,
    ],
    [
      'no direct I/O: warns',
      ({ pool }) => (pool.directIo = false),
      'warn',
      'direct-io',
      /O_DIRECT/,
      /XFS/,
    ],
    ...(
      [
        ['btrfs', 'fail', /XFS or ext4/],
        ['zfs', 'fail', /XFS or ext4/],
        ['tmpfs', 'warn', /XFS or ext4/],
        ['nfs4', 'warn', /XFS or ext4/],
        ['overlay', 'warn', /docker run -v/],
      ] as const
    ).map(
      ([type, level, fix]): Case<TargetFacts> => [
        `${type}: ${level}`,
        ({ pool }) => Object.assign(pool.fileSystem ?? {}, { type }),
        level,
        'file-system',
        new RegExp(`^${type} on /srv`),
        fix,
      ],
    ),
    [
      'a file system that is read-only: fails',
      ({ pool }) => Object.assign(pool.fileSystem ?? {}, { readOnly: true }),
      'fail',
      'file-system',
      /read-only/,
      /remount,rw/,
    ],
    [
      'less room than the pool may want: warns',
      ({ pool }) => Object.assign(pool.fileSystem ?? {}, { freeBytes: 50n * gib }),
      'warn',
      'room',
      /50 GiB free on \/srv, and the pool may want 64 GiB/,
      /pool device add/,
    ],
    [
      'nearly no room: fails',
      ({ pool }) => Object.assign(pool.fileSystem ?? {}, { freeBytes: 10n << 20n }),
      'fail',
      'room',
      /10 MiB free/,
      /df -h/,
    ],
    [
      'a disk that rotates: warns',
      ({ pool }) => Object.assign(pool.device ?? {}, { rotational: true }),
      'warn',
      'device',
      /rotating/,
      /queue\/rotational/,
    ],
    [
      'a scheduler before a solid-state device: warns',
      ({ pool }) => Object.assign(pool.device ?? {}, { scheduler: 'bfq' }),
      'warn',
      'scheduler',
      /bfq/,
      /echo none > \/sys\/block\/nvme0n1\/queue\/scheduler/,
    ],
  ];
  judged(cases, target, judgeTarget);

  /** A device that no daemon has yet. */
  const wholeDevice = async (): Promise<TargetFacts> => {
    const facts = await target();
    withoutDaemon(facts);
    Object.assign(facts.pool, { path: '/dev/sdb', kind: 'block-device', fileSystem: null });
    return facts;
  };
  const deviceCases: Case<TargetFacts>[] = [
    [
      'a device that is mounted: fails',
      ({ pool }) => (pool.mountedAt = '/data'),
      'fail',
      'pool',
      /in use: \/data/,
      /umount \/data/,
    ],
    [
      'a device with something on it: fails',
      ({ pool }) => Object.assign(pool.device ?? {}, { holders: ['dm-0'] }),
      'fail',
      'pool',
      /in use: dm-0/,
      /lsblk/,
    ],
    [
      'a device that this user may not open: the group',
      ({ pool }) => (pool.accessProblem = 'permission denied'),
      'fail',
      'pool',
      /permission denied/,
      /usermod -aG disk ashlar/,
    ],
    [
      'a read-only device: fails',
      ({ pool }) => Object.assign(pool.device ?? {}, { readOnly: true }),
      'fail',
      'pool',
      /read-only/,
      /setrw/,
    ],
    [
      'blocks that are too large: fails',
      ({ pool }) => Object.assign(pool.device ?? {}, { logicalBlockBytes: 16_384 }),
      'fail',
      'block-size',
      /16384/,
      /another device/,
    ],
  ];
  judged(deviceCases, wholeDevice, ({ pool, ...rest }) =>
    judgeTarget({ ...rest, pool }).filter(({ check }) => ['pool', 'block-size'].includes(check)),
  );
});
