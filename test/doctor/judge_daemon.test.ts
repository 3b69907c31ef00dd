/** Each finding, by the one fact that brings it about: daemon, configuration, hosts. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { judgeHost, judgeTarget } from '../../lib/doctor/doctor.js';
import type { HostFacts, TargetFacts } from '../../lib/doctor/facts.js';
import { fineHost } from './fine.js';
import { type Case, complaints, judged, ownPortal, target } from './judged.js';

describe('doctor: daemon and configuration', () => {
  const host = (hostnqn: string, hostid: string) => ({
    cntlid: 1,
    kind: 'io' as const,
    subnqn: 'nqn.2026-01.dev.ashlar:t',
    hostnqn,
    hostid,
    peer: '192.0.2.9:5000',
    portalId: 1,
    ioQueues: 1,
    keepAliveMs: 5000,
    connectedAt: '2026-01-01T00:00:00.000Z',
  });
  const pool = (change: object) => (facts: TargetFacts) => {
    Object.assign(facts.daemon.status?.pools[0] ?? {}, change);
  };
  const device = (change: object) => (facts: TargetFacts) => {
    Object.assign(facts.daemon.status?.pools[0]?.devices[0] ?? {}, change);
  };
  const portal = (change: object) => (facts: TargetFacts) => {
    Object.assign(facts.daemon.status?.portals[0] ?? {}, change);
  };
  const cases: Case<TargetFacts>[] = [
    [
      'a configuration that is refused: fails, in its own words',
      ({ config }) => (config.problem = 'ashlar.toml:3: pool.siez is unknown'),
      'fail',
      'config',
      /siez/,
      /help config/,
    ],
    [
      'a failed pool: fails, in its own words',
      ({ daemon }) =>
        Object.assign(daemon.status ?? {}, { state: 'failed', problem: 'flush: EIO' }),
      'fail',
      'daemon',
      /EIO/,
      /journalctl/,
    ],
    [
      'another version than is installed: restart',
      ({ daemon }) => (daemon.version = '0.2.0'),
      'warn',
      'daemon',
      /0\.1\.0.*this command is 0\.2\.0/,
      /restart/,
    ],
    [
      'a pool at four fifths: warns',
      pool({ availableBytes: 150 }),
      'warn',
      'pool-space',
      /85 %/,
      /pool device add/,
    ],
    [
      'a pool that is nearly full: fails',
      pool({ availableBytes: 20 }),
      'fail',
      'pool-space',
      /98 %/,
      /fstrim/,
    ],
    [
      'a missing device: fails',
      device({ state: 'missing', path: null }),
      'fail',
      'pool-devices',
      /device 0: missing/,
      /device attach/,
    ],
    [
      'errors of a device: warns',
      device({ readErrors: 2, writeErrors: 1 }),
      'warn',
      'pool-devices',
      /3 errors/,
      /smartctl -a \/srv\/pool\.ashlar/,
    ],
    [
      'a portal that does not listen: fails',
      portal({ problem: 'address not there' }),
      'fail',
      'portal',
      /address not there/,
      /portal remove/,
    ],
    [
      'a portal that is drained: warns',
      portal({ drained: true }),
      'warn',
      'portal',
      /drained/,
      /portal resume 1/,
    ],
    [
      'a portal that is not reached: fails',
      ({ daemon }) => (daemon.reached = [{ endpoint: '192.0.2.7:4420', problem: 'ECONNREFUSED' }]),
      'fail',
      'portal',
      /ECONNREFUSED/,
      /nft list ruleset/,
    ],
    [
      'two machines with one name: fails',
      ({ daemon }) => (daemon.controllers = [host('nqn.a', '1'), host('nqn.a', '2')]),
      'fail',
      'host-identities',
      /nqn\.a/,
      /gen-hostnqn/,
    ],
  ];
  judged(cases, target, judgeTarget);

  test('several paths of one host are no twins', async () => {
    const facts = await target();
    facts.daemon.controllers = [host('nqn.a', '1'), host('nqn.a', '1'), host('nqn.b', '2')];
    assert.deepEqual(complaints(judgeTarget(facts)), []);
  });

  test('a daemon of another user, and one that does not answer', async () => {
    const facts = await target();
    Object.assign(facts.daemon, { state: 'forbidden', status: null });
    // Whether this user may open the pool says nothing: the daemon has it.
    facts.pool.accessProblem = 'permission denied';
    ownPortal(facts).taken = false;
    assert.deepEqual(complaints(judgeTarget(facts)), [
      'warn daemon: /run/ashlar/ashlar.sock belongs to another user',
    ]);
    Object.assign(facts.daemon, { state: 'silent', problem: 'no answer' });
    const [said] = complaints(judgeTarget(facts));
    assert.match(said ?? '', /^fail daemon: .*does not answer: no answer/);
  });
});

describe('doctor: hosts', () => {
  const cases: Case<HostFacts>[] = [
    [
      'a kernel without nvme-tcp: fails',
      ({ modules }) => Object.assign(modules[2] ?? {}, { state: 'missing' }),
      'fail',
      'nvme-modules',
      /has no nvme-tcp/,
      /linux-modules-extra/,
    ],
    [
      'a module that is not loaded: modprobe',
      ({ modules }) => Object.assign(modules[2] ?? {}, { state: 'available' }),
      'warn',
      'nvme-modules',
      /nvme-tcp/,
      /modprobe nvme-tcp/,
    ],
    [
      'nothing that loads it at boot: warns',
      (facts) => {
        facts.modulesAtBoot = [];
        facts.autoconnect.enabled = false;
      },
      'warn',
      'nvme-modules-boot',
      /not among/,
      /modules-load\.d/,
    ],
    [
      'no native multipath: fails',
      (facts) => (facts.multipath = false),
      'fail',
      'multipath',
      /is N/,
      /multipath=Y/,
    ],
    [
      'no hostnqn: fails',
      (facts) => (facts.hostnqn = null),
      'fail',
      'hostnqn',
      /not there/,
      /gen-hostnqn/,
    ],
    [
      'a hostnqn that is none: fails',
      (facts) => (facts.hostnqn = 'localhost'),
      'fail',
      'hostnqn',
      /no NQN/,
      /gen-hostnqn/,
    ],
    [
      'a hostnqn that came with an image: warns',
      (facts) => (facts.identityFromImage = true),
      'warn',
      'hostnqn',
      /older than this machine/,
      /hostid/,
    ],
    ['no hostid: fails', (facts) => (facts.hostid = null), 'fail', 'hostid', /not there/, /sed/],
    [
      'a hostid that is none: fails',
      (facts) => (facts.hostid = 'x'),
      'fail',
      'hostid',
      /no UUID/,
      /sed/,
    ],
    [
      'no nvme-cli: fails',
      (facts) => (facts.nvmeCli = null),
      'fail',
      'nvme-cli',
      /not installed/,
      /apt-get install nvme-cli/,
    ],
    [
      'an old nvme-cli: warns',
      (facts) => (facts.nvmeCli = '1.16'),
      'warn',
      'nvme-cli',
      /1\.16/,
      /backports/,
    ],
    [
      'nothing connects after a boot: warns',
      (facts) => {
        facts.kubernetes = false;
        facts.autoconnect = { configured: false, enabled: false };
      },
      'warn',
      'autoconnect',
      /nothing says/,
      /discovery\.conf\nsystemctl enable nvmf-autoconnect/,
    ],
    [
      'a path that is away: fails',
      ({ controllers }) => Object.assign(controllers[0] ?? {}, { state: 'connecting' }),
      'fail',
      'connections',
      /nvme1 is connecting/,
      /dmesg/,
    ],
    [
      'a path that will be given up: warns',
      ({ controllers }) => Object.assign(controllers[0] ?? {}, { ctrlLossTmo: '600' }),
      'warn',
      'ctrl-loss-tmo',
      /600 s on nvme1/,
      /echo -1 > \/sys\/class\/nvme\/nvme1\/ctrl_loss_tmo/,
    ],
    [
      'a kernel without authentication: said, not blamed',
      (facts) => Object.assign(facts.kernelOptions ?? {}, { CONFIG_NVME_HOST_AUTH: false }),
      'unknown',
      'host-authentication',
      /CONFIG_NVME_HOST_AUTH/,
      null,
    ],
    [
      'a Kubernetes node that lacks programs: the packages',
      (facts) => (facts.missingPrograms = ['mkfs.xfs', 'xfs_growfs']),
      'warn',
      'kubernetes',
      /mkfs\.xfs and xfs_growfs/,
      /apt-get install xfsprogs$/,
    ],
  ];
  judged(cases, fineHost, judgeHost);
});
