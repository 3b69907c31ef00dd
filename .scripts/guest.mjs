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
};

// Loaded at boot, in this order, with what they depend on.
const bootModules = [
  ...['virtio_pci', 'virtio_net', 'virtio_console', '9pnet_virtio', '9p'],
  ...['crc32c_generic', 'crc32c_intel', 'crc32_pclmul', 'ext4', 'xfs', 'nvme_fabrics', 'nvme_tcp'],
];
// Sets that a test asks for (`guest.load('nvmet')`). What a kernel has not, it does without.
const moduleSets = {
  nvmet: ['null_blk', 'brd', 'nvmet', 'nvmet_tcp'],
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

/** The package that the kernel's metapackage stands for today, downloaded; its file name. */
async function downloadKernel(into, env) {
  const metapackage = 'linux-image-amd64';
  const ask = () => run('apt-cache', ['depends', '--important', metapackage], { env });
  let answer = await ask().catch(() => '');
  if (answer === '' && env === undefined && process.getuid() === 0) {
    await run('apt-get', ['-q', 'update']);
    answer = await ask();
  }
  const name = /Depends: (linux-image-\d\S*)/.exec(answer)?.[1];
  if (name === undefined) {
    throw new SetupError(`apt knows no ${metapackage}; as root, run: apt-get update`);
  }
  // The sandbox user of apt may not write here; the download needs no privilege at all.
  const partial = path.join(into, 'partial');
  fs.rmSync(partial, { recursive: true, force: true });
  fs.mkdirSync(partial);
  const command = ['-q', '-o', 'APT::Sandbox::User=', 'download', name];
  await run('apt-get', command, { cwd: partial, env });
  const found = fs.readdirSync(partial).find((each) => each.endsWith('.deb'));
  if (found === undefined) throw new SetupError(`apt-get download ${name} left no package`);
  fs.renameSync(path.join(partial, found), path.join(into, found));
  return path.join(into, found);
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

function kernelRelease(tree) {
  const image = fs.readdirSync(path.join(tree, 'boot')).find((each) => each.startsWith('vmlinuz-'));
  if (image === undefined) throw new SetupError(`no kernel in ${tree}`);
  return image.slice('vmlinuz-'.length);
}

/** The files of modules and what they depend on, in loading order. */
async function moduleFiles(tree, release, names) {
  const order = [];
  for (const name of names) {
    const args = ['-d', tree, '-S', release, '--show-depends', name];
    const text = await run(findProgram('modprobe'), args).catch((error) => {
      if (bootModules.includes(name)) throw error;
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
      const old = fs.readdirSync(folder).find((each) => /^linux-image.*\.deb$/.test(each));
      const archive =
        old === undefined ? await downloadKernel(folder, env) : path.join(folder, old);
      const tree = path.join(folder, 'tree');
      fs.rmSync(tree, { recursive: true, force: true });
      await run('dpkg-deb', ['-x', archive, tree]);
      const release = kernelRelease(tree);
      await buildImage(folder, tree, release);
      fs.copyFileSync(path.join(tree, `boot/vmlinuz-${release}`), path.join(folder, 'vmlinuz'));
      fs.writeFileSync(path.join(folder, 'release'), release);
      fs.rmSync(tree, { recursive: true });
      if (debian !== null) await unpackPrograms(folder, env);
    },
  });
}
