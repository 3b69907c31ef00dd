// The addon: built in place for this checkout, and by prebuildify for packages.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { announce, cache, digest, findProgram, listFiles, root, run, stamped } from './steps.mjs';

/** Node's own headers when they lie beside it; otherwise node-gyp downloads them. */
function headerOptions() {
  const prefix = path.dirname(path.dirname(fs.realpathSync(process.execPath)));
  const bundled = fs.existsSync(path.join(prefix, 'include/node/node_api.h'));
  return bundled ? [`--nodedir=${prefix}`] : [];
}

export const jobs = String(Math.max(2, os.availableParallelism()));

export async function buildAddon() {
  const sources = listFiles(['native', 'binding.gyp'], (name) => !name.endsWith('.md'));
  const gyp = (command) =>
    run(process.execPath, [
      path.join(root, 'node_modules/node-gyp/bin/node-gyp.js'),
      command,
      `--jobs=${jobs}`,
      ...headerOptions(),
    ]);
  await stamped({
    name: 'addon',
    what: 'building the addon',
    key: digest([...sources, 'package-lock.json'], process.version, process.arch),
    outputs: ['build/Release/ashlar.node'],
    work: async () => {
      await gyp('configure');
      await gyp('build');
    },
  });
}

const staging = path.join(cache, 'prebuild');

/** prebuildify starts by removing the build folder, which a daemon may have its addon from. */
function copySources() {
  fs.rmSync(staging, { recursive: true, force: true });
  fs.mkdirSync(staging, { recursive: true });
  for (const name of ['native', 'binding.gyp', 'package.json']) {
    fs.cpSync(path.join(root, name), path.join(staging, name), { recursive: true });
  }
  fs.symlinkSync(path.join(root, 'node_modules'), path.join(staging, 'node_modules'));
}

function prebuildify(arch, env) {
  const program = path.join(root, 'node_modules/prebuildify/bin.js');
  const target = `node@${process.versions.node}`;
  const nodedir = headerOptions()[0]?.split('=')[1];
  return run(
    process.execPath,
    [program, '--napi', '--strip', '--arch', arch, '--target', target, '--out', root],
    {
      cwd: staging,
      env: { npm_config_jobs: jobs, ...(nodedir ? { npm_config_nodedir: nodedir } : {}), ...env },
    },
  );
}

export function prebuildNative() {
  const sources = listFiles(['native', 'binding.gyp'], (name) => !name.endsWith('.md'));
  return stamped({
    name: 'prebuild',
    what: `building prebuilds/linux-${process.arch}`,
    key: digest([...sources, 'package-lock.json'], process.version, process.arch),
    outputs: [`prebuilds/linux-${process.arch}/ashlar.node`],
    work: async () => {
      copySources();
      await prebuildify(process.arch, {});
    },
  });
}

/** The other architecture, when a cross compiler and its liburing are here. */
export async function prebuildForArm64() {
  const triple = 'aarch64-linux-gnu';
  const archive = `/usr/lib/${triple}/liburing.a`;
  if (process.arch !== 'x64') return;
  if (findProgram(`${triple}-g++`) === null || !fs.existsSync(archive)) {
    process.stdout.write(
      'prebuilds/linux-arm64: not built; it needs g++-aarch64-linux-gnu and liburing-dev:arm64\n',
    );
    return;
  }
  await announce('building prebuilds/linux-arm64', async () => {
    copySources();
    await prebuildify('arm64', {
      CC: `${triple}-gcc`,
      CXX: `${triple}-g++`,
      AR: `${triple}-ar`,
      LINK: `${triple}-g++`,
      PREBUILD_STRIP_BIN: `${triple}-strip`,
    });
  });
}
