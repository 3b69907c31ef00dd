// The Linux hosts that the kernel tests boot under QEMU: Debian's kernel, unpacked and never
// installed, and an initial RAM disk with the modules it needs and nothing else. Programs (nvme,
// fio, mkfs) come from a file system that the guest mounts read-only over 9p: this machine's own,
// or, for another Debian than this machine's, one that is unpacked for it.
import fs from 'node:fs';
import path from 'node:path';
import { cache, digest, findProgram, root, run, SetupError, stamped } from './steps.mjs';

/** What `--suite` may say: a folder below .cache, and the Debian suites to take packages from. */
export const guestSuites = {
  default: { folder: 'guest', debian: null },
  trixie: { folder: 'guest-trixie', debian: ['trixie', 'trixie-updates'] },
  // Of no release yet: its kernel is the newest there is, and another one every few weeks.
  forky: { folder: 'guest-forky', debian: ['forky'] },
};

// Loaded at boot, in this order, with what they depend on; the checksums where they are modules.
const checksumModules = ['crc32c_generic', 'crc32c_intel', 'crc32_pclmul'];
const bootModules = [
  ...['virtio_pci', 'virtio_net', 'virtio_console', '9pnet_virtio', '9p'],
  ...checksumModules,
  ...['ext4', 'xfs', 'nvme_fabrics', 'nvme_tcp'],
];
// Sets that a test asks for (`guest.load('nvmet')`). What a kernel has not, it does without.
const moduleSets = {
  nvmet: ['null_blk', 'brd', 'nvmet', 'nvmet_tcp'],
  btrfs: ['btrfs'],
  secure: ['tls', 'sha512_generic', 'hmac', 'dh_generic', 'gcm', 'ghash_generic', 'aesni_intel'],
};
// The programs of a suite that is not this machine's.
const programs = [
  ...['base-files', 'dash', 'coreutils', 'util-linux', 'mount', 'grep', 'sed', 'mawk', 'findutils'],
  ...['diffutils', 'kmod', 'busybox-static', 'nvme-cli', 'fio', 'ktls-utils', 'keyutils'],
  ...['e2fsprogs', 'xfsprogs', 'linux-libc-dev', 'procps', 'iproute2', 'openssl'],
];

/** Where this machine's own Debian packages come from: the archive that others of it are in too. */
async function archiveAddress() {
  const format = '$(RELEASE)\t$(COMPONENT)\t$(ORIGIN)\t$(REPO_URI)';
  const text = await run('apt-get', ['indextargets', '--format', format, 'Created-By: Packages']);
  for (const line of text.split('\n')) {
    const [release, component, origin, address] = line.split('\t');
    if (origin === 'Debian' && component === 'main' && !/-/.test(release)) return address;
  }
  throw new SetupError('apt knows no Debian archive; as root, run: apt-get update');
}

/** An apt of its own, which never touches this machine's lists: what to set APT_CONFIG to. */
async function foreignApt(suites, folder) {
  const apt = path.join(folder, 'apt');
  for (const each of ['lists/partial', 'cache/archives/partial']) {
    fs.mkdirSync(path.join(apt, each), { recursive: true });
  }
  const sources = [
    ...['Types: deb', `URIs: ${await archiveAddress()}`, `Suites: ${suites.join(' ')}`],
    ...['Components: main', 'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg'],
  ];
  fs.writeFileSync(path.join(apt, 'debian.sources'), `${sources.join('\n')}\n`);
  // Nothing is installed, so what is asked for comes with all that it needs.
  fs.writeFileSync(path.join(apt, 'status'), '');
  const settings = {
    'Dir::Etc::sourcelist': path.join(apt, 'debian.sources'),
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::State::Lists': path.join(apt, 'lists'),
    'Dir::State::status': path.join(apt, 'status'),
    'Dir::Cache': path.join(apt, 'cache'),
    'APT::Sandbox::User': '',
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} "${value}";`);
  fs.writeFileSync(path.join(apt, 'apt.conf'), `${lines.join('\n')}\n`);
  const env = { APT_CONFIG: path.join(apt, 'apt.conf') };
  await run('apt-get', ['-q', 'update'], { env });
  return env;
}

const isKernelPackage = (file) => /^linux-.*\.deb$/.test(file);
const kernelPackages = (folder) =>
  fs
    .readdirSync(folder)
    .filter(isKernelPackage)
    .map((file) => path.join(folder, file));

/**
 * The package that the kernel's metapackage stands for today, downloaded. Debian 14 has the kernel
 * and its modules in packages of their own, on which that one depends.
 */
async function downloadKernel(into, env) {
  const ask = async (name, pattern) => {
    const answer = await run('apt-cache', ['depends', '--important', name], { env });
    return [...answer.matchAll(pattern)].map(([, found]) => found);
  };
  const metapackage = 'linux-image-amd64';
  const image = () => ask(metapackage, /Depends: (linux-image-\d\S*)/g).catch(() => []);
  let [name] = await image();
  if (name === undefined && env === undefined && process.getuid() === 0) {
    await run('apt-get', ['-q', 'update']);
    [name] = await image();
  }
  if (name === undefined) {
    throw new SetupError(`apt knows no ${metapackage}; as root, run: apt-get update`);
  }
  const parts = await ask(name, /Depends: (linux-(?:base|binary|modules)-\d\S*)/g);
  // The sandbox user of apt may not write here; the download needs no privilege at all.
  const partial = path.join(into, 'partial');
  fs.rmSync(partial, { recursive: true, force: true });
  fs.mkdirSync(partial);
  const command = ['-q', '-o', 'APT::Sandbox::User=', 'download', name, ...parts];
  await run('apt-get', command, { cwd: partial, env });
  const found = fs.readdirSync(partial).filter(isKernelPackage);
  if (found.length !== 1 + parts.length) {
    throw new SetupError(`apt-get download ${name} left ${found.length} packages`);
  }
  for (const each of found) fs.renameSync(path.join(partial, each), path.join(into, each));
}

/** Unpacks the programs of a foreign suite, with their libraries, into `folder`/root. */
async function unpackPrograms(folder, env) {
  const options = ['-q', '-y', '--no-install-recommends', '--download-only'];
  await run('apt-get', [...options, 'install', ...programs], { env });
  const tree = path.join(folder, 'root');
  fs.rmSync(tree, { recursive: true, force: true });
  fs.mkdirSync(tree);
  const archives = path.join(folder, 'apt/cache/archives');
  const packages = fs.readdirSync(archives).filter((each) => each.endsWith('.deb'));
  // base-files has the links from /bin and /lib to /usr that the others expect.
  packages.sort((a, b) => Number(/^base-/.test(b)) - Number(/^base-/.test(a)));
  for (const each of packages) await run('dpkg-deb', ['-x', path.join(archives, each), tree]);
  for (const each of ['usr/share/doc', 'usr/share/man', 'usr/share/locale']) {
    fs.rmSync(path.join(tree, each), { recursive: true, force: true });
  }
  // What the packages' own scripts would have done, as far as anything here needs it.
  fs.writeFileSync(path.join(tree, 'etc/passwd'), 'root:x:0:0:root:/tmp:/bin/sh\n');
  fs.writeFileSync(path.join(tree, 'etc/group'), 'root:x:0:\n');
  fs.symlinkSync('mawk', path.join(tree, 'usr/bin/awk'));
  for (const each of ['proc', 'sys', 'dev', 'tmp', 'run', 'mnt']) {
    fs.mkdirSync(path.join(tree, each), { recursive: true });
  }
}

/** Its release and image: in /boot, or, from Debian 14 on, beside its modules. */
function kernelOf(tree) {
  const boot = path.join(tree, 'boot');
  const images = fs.existsSync(boot) ? fs.readdirSync(boot) : [];
  const image = images.find((each) => each.startsWith('vmlinuz-'));
  if (image !== undefined) {
    return { release: image.slice('vmlinuz-'.length), file: path.join(boot, image) };
  }
  const modules = path.join(tree, 'usr/lib/modules');
  const [release] = fs.existsSync(modules) ? fs.readdirSync(modules) : [];
  if (release === undefined) throw new SetupError(`no kernel in ${tree}`);
  return { release, file: path.join(modules, release, 'vmlinuz') };
}

/** The files of modules and what they depend on, in loading order. */
async function moduleFiles(tree, release, names) {
  const order = [];
  for (const name of names) {
    const args = ['-d', tree, '-S', release, '--show-depends', name];
    const text = await run(findProgram('modprobe'), args).catch((error) => {
      if (bootModules.includes(name) && !checksumModules.includes(name)) throw error;
      return '';
    });
    for (const line of text.split('\n')) {
      const file = /^insmod (\S+)/.exec(line)?.[1];
      if (file !== undefined && !order.includes(file)) order.push(file);
    }
  }
  return order;
}

/** Copies the modules into the image, with a list in loading order for each set. */
async function copyModules(tree, release, image) {
  // Debian 13 has them in /usr/lib and a link from /lib that the package does not bring.
  if (!fs.existsSync(path.join(tree, 'lib'))) fs.symlinkSync('usr/lib', path.join(tree, 'lib'));
  await run(findProgram('depmod'), ['-b', tree, release]);
  const folder = path.join(image, 'modules');
  for (const [set, names] of Object.entries({ boot: bootModules, ...moduleSets })) {
    const list = [];
    for (const file of await moduleFiles(tree, release, names)) {
      const target = path.join(folder, path.basename(file).replace(/\.xz$/, ''));
      list.push(path.basename(target));
      if (fs.existsSync(target)) continue;
      fs.copyFileSync(file, file.endsWith('.xz') ? `${target}.xz` : target);
      if (file.endsWith('.xz')) await run('xz', ['-d', `${target}.xz`]);
    }
    fs.writeFileSync(path.join(folder, `${set}.order`), `${list.join('\n')}\n`);
  }
}

async function buildImage(folder, tree, release) {
  const image = path.join(folder, 'image');
  fs.rmSync(image, { recursive: true, force: true });
  for (const each of ['bin', 'dev', 'proc', 'sys', 'modules', 'host']) {
    fs.mkdirSync(path.join(image, each), { recursive: true });
  }
  fs.copyFileSync('/bin/busybox', path.join(image, 'bin/busybox'));
  fs.copyFileSync(path.join(root, 'test/kernel/init.sh'), path.join(image, 'init'));
  fs.chmodSync(path.join(image, 'init'), 0o755);
  await copyModules(tree, release, image);
  const archive = `find . | cpio --quiet -o -H newc > ../initrd.img`;
  await run('sh', ['-c', archive], { cwd: image });
  fs.rmSync(image, { recursive: true });
}

/** Leaves vmlinuz, initrd.img, release and, for a foreign suite, root below .cache. */
export async function prepareGuest(suite = 'default') {
  const { folder: name, debian } = guestSuites[suite];
  const folder = path.join(cache, name);
  const outputs = ['vmlinuz', 'initrd.img', 'release', ...(debian === null ? [] : ['root/usr'])];
  await stamped({
    name,
    what: `fetching ${debian === null ? "Debian's" : `${suite}'s`} kernel for the guest`,
    key: digest(['test/kernel/init.sh', '.scripts/guest.mjs']),
    outputs: outputs.map((each) => path.relative(root, path.join(folder, each))),
    work: async () => {
      fs.mkdirSync(folder, { recursive: true });
      const env = debian === null ? undefined : await foreignApt(debian, folder);
      if (kernelPackages(folder).length === 0) await downloadKernel(folder, env);
      const tree = path.join(folder, 'tree');
      fs.rmSync(tree, { recursive: true, force: true });
      for (const each of kernelPackages(folder)) await run('dpkg-deb', ['-x', each, tree]);
      const { release, file } = kernelOf(tree);
      await buildImage(folder, tree, release);
      fs.copyFileSync(file, path.join(folder, 'vmlinuz'));
      fs.writeFileSync(path.join(folder, 'release'), release);
      fs.rmSync(tree, { recursive: true });
      if (debian !== null) await unpackPrograms(folder, env);
    },
  });
}
