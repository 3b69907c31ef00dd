/** Facts of a machine that uses volumes: the kernel's NVMe host, its names, what it is connected to. */
import type { HostControllerFacts, HostFacts, ModuleState } from './facts.js';
import { type Addresses, machineAddresses, networkFacts } from './network.js';
import type { Source } from './source.js';
import { clockFacts, hasModule } from './system.js';

const hostModules = ['nvme-core', 'nvme-fabrics', 'nvme-tcp'];

/** What the driver of a Kubernetes node calls, beside the kernel. */
const nodePrograms = ['nvme', 'mkfs.ext4', 'mkfs.xfs', 'blkid', 'mount', 'resize2fs', 'xfs_growfs'];

export async function hostFacts(
  source: Source,
  addresses: Addresses = machineAddresses(),
): Promise<HostFacts> {
  const kernel = (await source.text('/proc/sys/kernel/osrelease')) ?? 'unknown';
  const core = '/sys/module/nvme_core/parameters';
  const multipath = await source.text(`${core}/multipath`);
  const missing = await Promise.all(
    nodePrograms.map(async (name) => ((await source.hasProgram(name)) ? [] : [name])),
  );
  return {
    kernel,
    modules: await Promise.all(
      hostModules.map(async (name) => ({ name, state: await moduleState(source, kernel, name) })),
    ),
    modulesAtBoot: await modulesAtBoot(source),
    multipath: multipath === null ? null : multipath === 'Y',
    iopolicy: await source.text(`${core}/iopolicy`),
    hostnqn: await source.text('/etc/nvme/hostnqn'),
    hostid: await source.text('/etc/nvme/hostid'),
    identityFromImage: await identityFromImage(source),
    nvmeCli: await nvmeCliVersion(source),
    autoconnect: await autoconnect(source),
    controllers: await hostControllers(source),
    kernelOptions: await kernelOptions(source, kernel),
    kubernetes:
      (await source.exists('/var/lib/kubelet')) || (await source.exists('/etc/kubernetes')),
    missingPrograms: missing.flat(),
    network: await networkFacts(source, null, addresses),
    clock: await clockFacts(source),
  };
}

async function moduleState(source: Source, kernel: string, name: string): Promise<ModuleState> {
  if (await source.exists(`/sys/module/${name.replaceAll('-', '_')}`)) return 'loaded';
  return (await hasModule(source, kernel, name)) ? 'available' : 'missing';
}

async function modulesAtBoot(source: Source): Promise<string[]> {
  const folders = ['/etc/modules-load.d', '/usr/lib/modules-load.d', '/lib/modules-load.d'];
  const files = await Promise.all(
    folders.map(async (folder) => (await source.names(folder)).map((name) => `${folder}/${name}`)),
  );
  const texts = await Promise.all(
    ['/etc/modules', ...files.flat()].map((file) => source.text(file)),
  );
  return texts
    .flatMap((text) => (text ?? '').split('\n'))
    .map((line) => line.trim().replaceAll('_', '-'))
    .filter((line) => /^[a-z0-9-]+$/.test(line));
}

/**
 * A machine makes its machine ID at its first boot, or when it is installed. Names of the host that
 * are older came with the image, and every machine made from it has the same ones.
 */
async function identityFromImage(source: Source): Promise<boolean> {
  const [names, machine] = await Promise.all([
    source.changedAt('/etc/nvme/hostnqn'),
    source.changedAt('/etc/machine-id'),
  ]);
  const slackMs = 60_000;
  return names !== null && machine !== null && names + slackMs < machine;
}

/** `nvme version 2.3 (git 2.3)`. */
async function nvmeCliVersion(source: Source): Promise<string | null> {
  const text = await source.run('nvme', ['version']);
  return /nvme(?:-cli)? version (\S+)/.exec(text ?? '')?.[1] ?? null;
}

async function autoconnect(source: Source): Promise<HostFacts['autoconnect']> {
  const discovery = (await source.text('/etc/nvme/discovery.conf')) ?? '';
  const listed = discovery.split('\n').some((line) => /^\s*(-t|--transport)/.test(line));
  const wanted = '/etc/systemd/system';
  const [boot, stas] = await Promise.all([
    source.linkName(`${wanted}/default.target.wants/nvmf-autoconnect.service`),
    source.linkName(`${wanted}/multi-user.target.wants/stacd.service`),
  ]);
  return {
    configured: listed || (await source.exists('/etc/nvme/config.json')) || stas !== null,
    enabled: boot !== null || stas !== null,
  };
}

async function hostControllers(source: Source): Promise<HostControllerFacts[]> {
  const folder = '/sys/class/nvme';
  const names = (await source.names(folder)).filter((name) => /^nvme\d+$/.test(name));
  const all = await Promise.all(
    names.map(async (name) => {
      const of = async (key: string): Promise<string> =>
        (await source.text(`${folder}/${name}/${key}`)) ?? '';
      return {
        transport: await of('transport'),
        name,
        subnqn: await of('subsysnqn'),
        address: await of('address'),
        state: await of('state'),
        ctrlLossTmo: (await of('ctrl_loss_tmo')) || null,
      };
    }),
  );
  return all.flatMap(({ transport, ...controller }) => (transport === 'tcp' ? [controller] : []));
}

const watchedOptions = ['CONFIG_NVME_HOST_AUTH', 'CONFIG_NVME_TCP_TLS', 'CONFIG_NVME_MULTIPATH'];

async function kernelOptions(
  source: Source,
  kernel: string,
): Promise<Record<string, boolean> | null> {
  const text = await source.text(`/boot/config-${kernel}`);
  if (text === null) return null;
  return Object.fromEntries(
    watchedOptions.map((name) => [name, new RegExp(`^${name}=[ym]$`, 'm').test(text)]),
  );
}
