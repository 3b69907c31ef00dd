/** Each finding, by the one fact that brings it about: kernel, limits, processors, network. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { describe, test } from 'node:test';
import { judgeHost, judgeTarget } from '../../lib/doctor/doctor.js';
import type { TargetFacts } from '../../lib/doctor/facts.js';
import { leastNode } from '../../lib/doctor/judge_system.js';
import { fineHost, fineNic } from './fine.js';
import { type Case, complaints, judged, ownPortal, target, withoutDaemon } from './judged.js';

test('doctor: a machine where all is well: nothing but ok, and no fix', async () => {
  for (const findings of [judgeTarget(await target()), judgeHost(await fineHost())]) {
    assert.deepEqual(complaints(findings), []);
    assert.ok(findings.every(({ fix, why }) => fix.length === 0 && why === ''));
    const names = findings.map(({ check, subject }) => `${check} ${subject}`);
    assert.equal(new Set(names).size, names.length, 'each check once');
  }
});

test('doctor: the Node.js that it asks for is the one of the package', () => {
  const { engines }: { engines: { node: string } } = JSON.parse(
    fs.readFileSync('package.json', 'utf8'),
  );
  assert.equal(engines.node, `>=${leastNode}`);
});

describe('doctor: kernel, limits and processors', () => {
  const cases: Case<TargetFacts>[] = [
    [
      'an older Node.js: fails',
      ({ system }) => (system.node = '20.9.0'),
      'fail',
      'node',
      /^20\.9\.0$/,
      /nodesource/,
    ],
    [
      'no binary for this machine: fails',
      ({ system }) => Object.assign(system, { probe: null, probeProblem: 'no binary for riscv64' }),
      'fail',
      'io-uring',
      /no binary for riscv64/,
      /npm rebuild/,
    ],
    [
      'io_uring switched off: the setting to change',
      ({ system }) => {
        system.ioUringDisabled = 2;
        Object.assign(system.probe ?? {}, {
          ioUring: 'forbidden',
          problem: 'io_uring is forbidden',
        });
      },
      'fail',
      'io-uring',
      /forbidden/,
      /^sysctl -w kernel\.io_uring_disabled='0' \| tee -a/,
    ],
    [
      'io_uring behind a seccomp filter: the profile to use',
      ({ system }) =>
        Object.assign(system.probe ?? {}, { ioUring: 'forbidden', problem: 'a seccomp filter' }),
      'fail',
      'io-uring',
      /seccomp/,
      /deploy\/docker\/seccomp\.json/,
    ],
    [
      'a kernel without io_uring: fails',
      ({ system }) => Object.assign(system.probe ?? {}, { ioUring: 'missing', problem: 'none' }),
      'fail',
      'io-uring',
      /none/,
      /CONFIG_IO_URING/,
    ],
    [
      'Linux 5.19: a newer one is better',
      ({ system }) => Object.assign(system.probe ?? {}, { features: ['coop-taskrun'] }),
      'warn',
      'io-uring',
      /works/,
      /Linux 6\.1/,
    ],
    [
      'locked memory too small: the unit to edit',
      ({ process }) => (process.memlockBytes = 8n << 20n),
      'warn',
      'memlock',
      /^8 MiB, and 128 MiB/,
      /LimitMEMLOCK=infinity/,
    ],
    [
      'locked memory too small for what is asked for: fails',
      ({ config, process }) => {
        config.config.runtime.bufferBytes = 64n << 20n;
        process.memlockBytes = 8n << 20n;
      },
      'fail',
      'memlock',
      /^8 MiB, and 128 MiB/,
      /LimitMEMLOCK=infinity/,
    ],
    [
      'few open files: how many hosts that is',
      ({ process }) => (process.openFiles = 1024),
      'warn',
      'open-files',
      /^1024$/,
      /LimitNOFILE/,
    ],
    [
      'a control group that is too small: fails',
      ({ process }) => (process.groupMemoryBytes = 256n << 20n),
      'fail',
      'memory',
      /256 MiB, 494 MiB needed/,
      /MemoryMax/,
    ],
    [
      'little memory left: warns',
      ({ system }) => (system.availableMemoryBytes = 100n << 20n),
      'warn',
      'memory',
      /^100 MiB available/,
      /mapCache/,
    ],
    [
      'a governor that saves power: warns',
      ({ system }) => (system.governors = ['performance', 'powersave']),
      'warn',
      'cpu-governor',
      /performance and powersave \(intel_pstate\)/,
      /cpupower frequency-set -g performance/,
    ],
    [
      'no huge pages: warns',
      ({ system }) => (system.hugePages = 'never'),
      'warn',
      'huge-pages',
      /never/,
      /echo madvise/,
    ],
    [
      'reactors not pinned on two nodes: the CPUs beside the network card',
      ({ config }) => (config.config.runtime.cpus = null),
      'warn',
      'numa',
      /not pinned; ens1 is on node 0/,
      /^\[runtime\] cpus = \[0, 1\]$/,
    ],
    [
      'reactors on the other node: warns',
      ({ config }) => (config.config.runtime.cpus = [1, 4]),
      'warn',
      'numa',
      /CPU 4 is not/,
      /cpus = \[0, 1\]/,
    ],
    [
      'a reactor on a CPU that is not there: fails',
      ({ system }) => (system.onlineCpus = [0]),
      'fail',
      'reactor-cpus',
      /CPU 1 is not online/,
      /cpus = \[0\]/,
    ],
    [
      'a slow clock source: warns',
      ({ system }) => (system.clocksource = 'hpet'),
      'warn',
      'clocksource',
      /hpet/,
      /available_clocksource/,
    ],
    [
      'nobody keeps the clock: warns',
      ({ system }) => (system.clock = { keeper: null, synchronized: null }),
      'warn',
      'clock',
      /nobody/,
      /chrony/,
    ],
    [
      'a clock that does not follow: warns',
      ({ system }) => (system.clock = { keeper: 'systemd-timesyncd', synchronized: false }),
      'warn',
      'clock',
      /not synchronized/,
      /timedatectl/,
    ],
    [
      'TLS without its module: modprobe',
      (facts) => {
        Object.assign(facts.daemon.status?.tls ?? {}, { mode: 'required' });
        facts.system.tlsModule = 'available';
      },
      'warn',
      'ktls',
      /required/,
      /modprobe tls/,
    ],
    [
      'a service that does not start at boot: warns',
      ({ system }) => (system.service.enabled = false),
      'warn',
      'service',
      /not enabled/,
      /systemctl enable --now ashlar/,
    ],
  ];
  judged(cases, target, judgeTarget);

  test('io_uring for root and a group alone: root, who looks, may; the service may not', async () => {
    const facts = await target();
    withoutDaemon(facts);
    facts.system.ioUringDisabled = 1;
    facts.system.ioUringGroup = 0;
    ownPortal(facts).taken = false;
    const said = judgeTarget(facts).filter(({ check }) => check === 'io-uring-setting');
    assert.equal(said[0]?.level, 'warn');
    assert.match(said[0]?.fix[0] ?? '', /kernel\.io_uring_group=/);
  });

  test('a service that does not run: its limits are not those of this shell', async () => {
    const facts = await target();
    facts.daemon.state = 'none';
    facts.daemon.status = null;
    facts.process = { ...facts.process, whose: 'shell', memlockBytes: 65_536n, openFiles: 1024 };
    ownPortal(facts).taken = false;
    assert.deepEqual(complaints(judgeTarget(facts)), [
      'fail daemon: the service does not run',
      "unknown memlock: the service's own, to be seen while it runs",
      "unknown open-files: the service's own, to be seen while it runs",
    ]);
  });
});

describe('doctor: network', () => {
  const nic = (change: Partial<typeof fineNic>) => (facts: TargetFacts) => {
    facts.network.nics = [{ ...fineNic, ...change }];
  };
  const cases: Case<TargetFacts>[] = [
    ['no link: fails', nic({ state: 'down' }), 'fail', 'link', /down/, /ip link set ens1 up/],
    ['a slow link: what it allows', nic({ speedMbps: 1000 }), 'warn', 'link', /1 Gbit/, /ethtool/],
    ['half duplex: warns', nic({ duplex: 'half' }), 'warn', 'link', /half/, /autoneg/],
    ['1,500 on a fast wire: warns', nic({ mtu: 1500 }), 'warn', 'mtu', /1500/, /mtu 9000/],
    ['less than Ethernet: warns', nic({ mtu: 1400 }), 'warn', 'mtu', /1400/, /mtu 1500/],
    [
      'one queue of many: more of them',
      nic({ rxQueues: 1 }),
      'warn',
      'nic-queues',
      /1 for receiving, for 2 reactors/,
      /ethtool -L ens1 combined 2/,
    ],
    [
      'one queue that is all there is: steering',
      nic({ rxQueues: 1, maxQueues: 1 }),
      'warn',
      'nic-queues',
      /1 for receiving/,
      /rps_cpus/,
    ],
    [
      'offloads off: on again, but none that is fixed',
      nic({
        offloads: {
          'tcp-segmentation-offload': { on: false, fixed: false },
          'generic-receive-offload': { on: false, fixed: false },
          'rx-checksumming': { on: false, fixed: true },
        },
      }),
      'warn',
      'offloads',
      /tcp-segmentation-offload and generic-receive-offload/,
      /^ethtool -K ens1 tso on gro on$/,
    ],
    ['no ethtool: not known', nic({ offloads: null }), 'unknown', 'offloads', /ethtool/, null],
    [
      'small send buffers: warns',
      ({ network }) => (network.tcpSendBytes = 212_992),
      'warn',
      'tcp-wmem',
      /208 KiB/,
      /net\.ipv4\.tcp_wmem='4096 65536 8388608'/,
    ],
    [
      'bbr: warns',
      ({ network }) => (network.congestionControl = 'bbr'),
      'warn',
      'congestion-control',
      /bbr/,
      /cubic/,
    ],
    [
      'a short backlog: warns',
      ({ network }) => (network.backlog = 128),
      'warn',
      'backlog',
      /128/,
      /somaxconn/,
    ],
    [
      'busy polling for everybody: warns',
      ({ network }) => (network.busyPollUs = 50),
      'warn',
      'busy-poll',
      /50 µs/,
      /busy_poll/,
    ],
    [
      'portals on loopback alone: nobody else gets in',
      (facts) => (ownPortal(facts).loopback = true),
      'warn',
      'reach',
      /loopback/,
      /portal add/,
    ],
  ];
  judged(cases, target, judgeTarget);

  const unstarted = async (): Promise<TargetFacts> => {
    const facts = await target();
    withoutDaemon(facts);
    ownPortal(facts).taken = false;
    return facts;
  };
  const portalCases: Case<TargetFacts>[] = [
    [
      'an address of no interface: fails',
      (facts) => (ownPortal(facts).carrier = null),
      'fail',
      'portal',
      /no interface has 192\.0\.2\.7/,
      /ip -brief address/,
    ],
    [
      'a port that is taken: fails',
      (facts) => (ownPortal(facts).taken = true),
      'fail',
      'portal',
      /4420/,
      /ss -ltnp 'sport = :4420'/,
    ],
    [
      'a port of discovery alone that is taken: warns',
      (facts) => Object.assign(ownPortal(facts), { taken: true, discoveryOnly: true, port: 8009 }),
      'warn',
      'portal',
      /8009/,
      /ss -ltnp/,
    ],
  ];
  judged(portalCases, unstarted, (facts) =>
    judgeTarget(facts).filter(({ check }) => check === 'portal'),
  );
});
