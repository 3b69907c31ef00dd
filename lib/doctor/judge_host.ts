/** Judges a machine that uses volumes. */
import type { HostControllerFacts, HostFacts } from './facts.js';
import { Check, type Finding, listed } from './findings.js';
import { judgeHostNetwork } from './judge_network.js';
import { judgeClock } from './judge_system.js';

export function judgeHost(facts: HostFacts): Finding[] {
  return [
    judgeModules(facts),
    ...judgeBoot(facts),
    judgeMultipath(facts),
    judgeNqn(facts),
    judgeId(facts),
    judgeCli(facts),
    judgeAutoconnect(facts),
    ...judgeConnections(facts.controllers),
    judgeAuthentication(facts),
    judgeKernelTls(facts),
    ...judgeKubernetes(facts),
    ...judgeHostNetwork(facts.network),
    judgeClock(facts.clock),
  ];
}

function judgeModules({ modules, kernel }: HostFacts): Finding {
  const check = new Check('nvme-modules', 'nvme modules');
  const missing = modules.filter(({ state }) => state === 'missing').map(({ name }) => name);
  if (missing.length > 0) {
    return check.fail(
      `Linux ${kernel} has no ${listed(missing)}`,
      'Without them no volume can be connected.',
      [`apt-get install linux-modules-extra-${kernel}  # Ubuntu; elsewhere another kernel`],
    );
  }
  const idle = modules.filter(({ state }) => state === 'available').map(({ name }) => name);
  if (idle.length === 0) return check.ok(`${listed(modules.map(({ name }) => name))} loaded`);
  return check.warn(`not loaded: ${listed(idle)}`, 'nvme connect fails until they are.', [
    'modprobe nvme-tcp',
  ]);
}

function judgeBoot({ modules, modulesAtBoot, autoconnect }: HostFacts): Finding[] {
  const check = new Check('nvme-modules-boot', 'modules at boot');
  if (modules.some(({ state }) => state === 'missing')) return [];
  if (modulesAtBoot.includes('nvme-tcp')) return [check.ok('nvme-tcp')];
  // nvme-cli's own unit loads nvme-fabrics, and connecting loads the transport.
  if (autoconnect.enabled) return [check.ok('with the automatic connection')];
  return [
    check.warn('nvme-tcp is not among them', 'After a boot nvme connect fails at first.', [
      'echo nvme-tcp > /etc/modules-load.d/nvme-tcp.conf',
    ]),
  ];
}

function judgeMultipath({ multipath, iopolicy }: HostFacts): Finding {
  const check = new Check('multipath', 'multipath');
  if (multipath === null) return check.unknown('to be seen when nvme-core is loaded');
  if (multipath) return check.ok(`native, with ANA${iopolicy === null ? '' : `, ${iopolicy}`}`);
  return check.fail(
    'nvme_core.multipath is N',
    'Each path is a disk of its own, and ANA is not followed: a path that goes takes the disk along.',
    [
      "echo 'options nvme_core multipath=Y' > /etc/modprobe.d/nvme-multipath.conf" +
        '  # then: update-initramfs -u, and reboot',
    ],
  );
}

const uuid = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';
const newNames = 'nvme gen-hostnqn > /etc/nvme/hostnqn';
const newId = "sed 's/.*uuid://' /etc/nvme/hostnqn > /etc/nvme/hostid";

function judgeNqn({ hostnqn, identityFromImage }: HostFacts): Finding {
  const check = new Check('hostnqn', 'hostnqn');
  if (hostnqn === null) {
    return check.fail('/etc/nvme/hostnqn is not there', 'A grant is given to that name.', [
      `mkdir -p /etc/nvme && ${newNames}`,
    ]);
  }
  if (!/^nqn\.\d{4}-\d\d\..{1,200}$/.test(hostnqn)) {
    return check.fail(`'${hostnqn.slice(0, 60)}' is no NQN`, 'The target refuses it.', [newNames]);
  }
  if (!identityFromImage) return check.ok(hostnqn);
  return check.warn(
    `${hostnqn}, older than this machine's own ID`,
    'It seems to have come with an image: whoever was made from it says to be this host.',
    [`${newNames} && ${newId}  # then disconnect, connect, and change the grants`],
  );
}

function judgeId({ hostid }: HostFacts): Finding {
  const check = new Check('hostid', 'hostid');
  if (hostid === null) {
    return check.fail(
      '/etc/nvme/hostid is not there',
      'Some kernels make up another one with each connection; reservations go by it.',
      [newId],
    );
  }
  if (!new RegExp(`^${uuid}$`, 'i').test(hostid)) {
    return check.fail(`'${hostid.slice(0, 60)}' is no UUID`, 'nvme connect refuses it.', [newId]);
  }
  return check.ok(hostid);
}

function judgeCli({ nvmeCli }: HostFacts): Finding {
  const check = new Check('nvme-cli', 'nvme-cli');
  if (nvmeCli === null) {
    return check.fail('not installed', 'It is what connects volumes.', [
      'apt-get install nvme-cli',
    ]);
  }
  const [major = 0, minor = 0] = nvmeCli.split('.').map(Number);
  if (major < 2) {
    return check.warn(nvmeCli, 'Before 2.0 it connects, but knows neither keys nor TLS.', [
      'apt-get install -t bookworm-backports nvme-cli',
    ]);
  }
  const keys = major > 2 || minor >= 11 ? '' : ', and TLS from 2.11 on';
  return check.ok(`${nvmeCli}${keys}`);
}

function judgeAutoconnect({ autoconnect, kubernetes }: HostFacts): Finding {
  const check = new Check('autoconnect', 'after a boot');
  if (kubernetes) return check.ok('Kubernetes connects what it needs');
  const { configured, enabled } = autoconnect;
  if (configured && enabled) return check.ok('volumes are connected again');
  return check.warn(
    configured ? 'nvmf-autoconnect is not enabled' : 'nothing says what to connect to',
    'Volumes are not there after a boot, and what is mounted from fstab without nofail stops it.',
    [
      ...(configured ? [] : ["echo '-t tcp -a ADDRESS -s 8009' >> /etc/nvme/discovery.conf"]),
      'systemctl enable nvmf-autoconnect',
    ],
  );
}

const ours = 'nqn.2026-01.dev.ashlar:';

function judgeConnections(all: readonly HostControllerFacts[]): Finding[] {
  const controllers = all.filter(({ subnqn }) => subnqn.startsWith(ours));
  const check = new Check('connections', 'connections');
  if (controllers.length === 0) return [check.unknown('none to an Ashlar')];
  const away = controllers.filter(({ state }) => state !== 'live');
  const paths = controllers.map(({ name, address }) => `${name} (${address.split(',')[0]})`);
  const state =
    away.length === 0
      ? check.ok(`${listed(paths)}: live`)
      : check.fail(
          listed(away.map(({ name, state: now, address }) => `${name} is ${now} (${address})`)),
          'This path carries nothing. The kernel tries again until ctrl_loss_tmo has passed.',
          ['dmesg | grep nvme | tail  # and on the target: ashlar doctor'],
        );
  return [state, ...judgeLossTimeout(controllers)];
}

function judgeLossTimeout(controllers: readonly HostControllerFacts[]): Finding[] {
  const told = controllers.filter(({ ctrlLossTmo }) => ctrlLossTmo !== null);
  if (told.length === 0) return [];
  const check = new Check('ctrl-loss-tmo', 'ctrl_loss_tmo');
  const finite = told.filter(({ ctrlLossTmo }) => ctrlLossTmo !== 'off' && ctrlLossTmo !== '-1');
  if (finite.length === 0) return [check.ok('off: hosts wait for the target as long as it takes')];
  return [
    check.warn(
      listed(finite.map(({ name, ctrlLossTmo }) => `${ctrlLossTmo} s on ${name}`)),
      'When the target is away for longer, the disk is removed and file systems on it fail.',
      [
        ...finite.map(({ name }) => `echo -1 > /sys/class/nvme/${name}/ctrl_loss_tmo`),
        'nvme connect … --ctrl-loss-tmo=-1',
      ],
    ),
  ];
}

function judgeAuthentication({ kernelOptions }: HostFacts): Finding {
  const check = new Check('host-authentication', 'DH-HMAC-CHAP');
  if (kernelOptions === null) return check.unknown('this kernel does not tell its options');
  if (kernelOptions['CONFIG_NVME_HOST_AUTH'] === true) return check.ok('the kernel has it');
  return check.unknown('the kernel has none: no keys for this host (CONFIG_NVME_HOST_AUTH)');
}

function judgeKernelTls({ kernelOptions }: HostFacts): Finding {
  const check = new Check('host-tls', 'TLS');
  if (kernelOptions === null) return check.unknown('this kernel does not tell its options');
  if (kernelOptions['CONFIG_NVME_TCP_TLS'] === true) return check.ok('the kernel has it');
  return check.unknown('the kernel has none: no TLS for this host (CONFIG_NVME_TCP_TLS)');
}

/** Debian's packages of the programs that a node needs. */
const packages: Readonly<Record<string, string>> = {
  nvme: 'nvme-cli',
  'mkfs.ext4': 'e2fsprogs',
  resize2fs: 'e2fsprogs',
  'mkfs.xfs': 'xfsprogs',
  xfs_growfs: 'xfsprogs',
  blkid: 'util-linux',
  mount: 'mount',
};

function judgeKubernetes({ kubernetes, missingPrograms }: HostFacts): Finding[] {
  if (!kubernetes) return [];
  const check = new Check('kubernetes', 'Kubernetes node');
  if (missingPrograms.length === 0) return [check.ok('has what a CSI driver calls')];
  const names = new Set(missingPrograms.map((name) => packages[name] ?? name));
  return [
    check.warn(
      `lacks ${listed(missingPrograms)}`,
      "A CSI driver's node part calls them, unless its image brings them.",
      [`apt-get install ${[...names].join(' ')}`],
    ),
  ];
}
