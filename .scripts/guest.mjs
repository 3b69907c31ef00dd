// The Linux host that the kernel tests boot under QEMU: Debian's kernel, unpacked and never
// installed, and an initial RAM disk with the modules it needs and nothing else. Programs (nvme,
// fio, mkfs) come from this machine's own file system, which the guest mounts read-only over 9p.
import fs from 'node:fs';
import path from 'node:path';
import { cache, digest, findProgram, root, run, SetupError, stamped } from './steps.mjs';

const folder = path.join(cache, 'guest');
const modules = [
  ...['virtio_pci', 'virtio_net', 'virtio_console', '9pnet_virtio', '9p'],
  ...['crc32c_generic', 'crc32c_intel', 'crc32_pclmul', 'ext4', 'xfs', 'nvme_fabrics', 'nvme_tcp'],
];

/** The package that the kernel's metapackage stands for today, downloaded; its file name. */
async function downloadKernel(into) {
  const metapackage = 'linux-image-amd64';
  const ask = () => run('apt-cache', ['depends', '--important', metapackage]);
  let answer = await ask().catch(() => '');
  if (answer === '' && process.getuid() === 0) {
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
  await run('apt-get', ['-q', '-o', 'APT::Sandbox::User=', 'download', name], { cwd: partial });
  const found = fs.readdirSync(partial).find((each) => each.endsWith('.deb'));
  if (found === undefined) throw new SetupError(`apt-get download ${name} left no package`);
  fs.renameSync(path.join(partial, found), path.join(into, found));
  return path.join(into, found);
}

function kernelRelease(tree) {
  const image = fs.readdirSync(path.join(tree, 'boot')).find((each) => each.startsWith('vmlinuz-'));
  if (image === undefined) throw new SetupError(`no kernel in ${tree}`);
  return image.slice('vmlinuz-'.length);
}

/** Copies the modules and what they depend on into the image, with a list in loading order. */
async function copyModules(tree, release, image) {
  await run(findProgram('depmod'), ['-b', tree, release]);
  const order = [];
  for (const name of modules) {
    const args = ['-d', tree, '-S', release, '--show-depends', name];
    for (const line of (await run(findProgram('modprobe'), args)).split('\n')) {
      const file = /^insmod (\S+)/.exec(line)?.[1];
      if (file !== undefined && !order.includes(file)) order.push(file);
    }
  }
  const list = [];
  for (const file of order) {
    const target = path.join(image, 'modules', path.basename(file).replace(/\.xz$/, ''));
    fs.copyFileSync(file, file.endsWith('.xz') ? `${target}.xz` : target);
    if (file.endsWith('.xz')) await run('xz', ['-d', `${target}.xz`]);
    list.push(path.basename(target));
  }
  fs.writeFileSync(path.join(image, 'modules/order'), `${list.join('\n')}\n`);
}

async function buildImage(tree, release) {
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

/** Leaves `.cache/guest/{vmlinuz,initrd.img,release}`. */
export async function prepareGuest() {
  const key = digest(['test/kernel/init.sh', '.scripts/guest.mjs']);
  await stamped({
    name: 'guest',
    what: "fetching Debian's kernel for the guest",
    key,
    outputs: ['vmlinuz', 'initrd.img', 'release'].map((name) =>
      path.relative(root, path.join(folder, name)),
    ),
    work: async () => {
      fs.mkdirSync(folder, { recursive: true });
      const old = fs.readdirSync(folder).find((each) => each.endsWith('.deb'));
      const archive = old === undefined ? await downloadKernel(folder) : path.join(folder, old);
      const tree = path.join(folder, 'tree');
      fs.rmSync(tree, { recursive: true, force: true });
      await run('dpkg-deb', ['-x', archive, tree]);
      const release = kernelRelease(tree);
      await buildImage(tree, release);
      fs.copyFileSync(path.join(tree, `boot/vmlinuz-${release}`), path.join(folder, 'vmlinuz'));
      fs.writeFileSync(path.join(folder, 'release'), release);
      fs.rmSync(tree, { recursive: true });
    },
  });
}
