// The addon: built in place for this checkout, and by prebuildify for packages.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { cache, digest, findProgram, listFiles, root, run, stamped } from './steps.mjs';

/** Node's own headers when they lie beside it; otherwise node-gyp downloads them. */
function headerOptions() {
  const prefix = path.dirname(path.dirname(fs.realpathSync(process.execPath)));
  const bundled = fs.existsSync(path.join(prefix, 'include/node/node_api.h'));
  return bundled ? [`--nodedir=${prefix}`] : [];
}

const gypProgram = path.join(root, 'node_modules/node-gyp/bin/node-gyp.js');
export const jobs = String(Math.max(2, os.availableParallelism()));

/** node-gyp with these commands and, behind '--', words for gyp itself; to be run in a checkout. */
export function gypCommand(words) {
  return [process.execPath, gypProgram, `--jobs=${jobs}`, ...headerOptions(), ...words];
}

export async function buildAddon() {
  const sources = listFiles(['native', 'binding.gyp'], (name) => !name.endsWith('.md'));
  const gyp = (command) =>
    run(process.execPath, [gypProgram, command, `--jobs=${jobs}`, ...headerOptions()]);
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

/**
 * prebuildify builds from scratch and in place, where a daemon may have its addon from. It is given
 * a copy of the sources, what is built of them already, and a node-gyp that goes on from there.
 */
function stage(builtAlready) {
  fs.rmSync(staging, { recursive: true, force: true });
  fs.mkdirSync(staging, { recursive: true });
  for (const name of ['native', 'binding.gyp', 'package.json', ...builtAlready]) {
    const options = { recursive: true, preserveTimestamps: true };
    fs.cpSync(path.join(root, name), path.join(staging, name), options);
  }
  fs.symlinkSync(path.join(root, 'node_modules'), path.join(staging, 'node_modules'));
  const command = [process.execPath, gypProgram, 'configure', 'build', `--jobs=${jobs}`];
  const script = `#!/bin/sh\nexec ${[...command, ...headerOptions()].join(' ')}\n`;
  fs.writeFileSync(path.join(staging, 'node-gyp'), script, { mode: 0o755 });
}

function prebuildify(arch, env) {
  const program = path.join(root, 'node_modules/prebuildify/bin.js');
  const target = `node@${process.versions.node}`;
  return run(
    process.execPath,
    [program, '--napi', '--strip', '--arch', arch, '--target', target, '--out', root],
    { cwd: staging, env: { PREBUILD_NODE_GYP: path.join(staging, 'node-gyp'), ...env } },
  );
}

function prebuildKey(arch) {
  const sources = listFiles(['native', 'binding.gyp'], (name) => !name.endsWith('.md'));
  return digest([...sources, 'package-lock.json'], process.version, arch);
}

export function prebuildNative() {
  return stamped({
    name: 'prebuild',
    what: `building prebuilds/linux-${process.arch}`,
    key: prebuildKey(process.arch),
    outputs: [`prebuilds/linux-${process.arch}/ashlar.node`],
    work: async () => {
      stage(['build']);
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
  await stamped({
    name: 'prebuild-arm64',
    what: 'building prebuilds/linux-arm64',
    key: prebuildKey('arm64'),
    outputs: ['prebuilds/linux-arm64/ashlar.node'],
    work: async () => {
      stage([]);
      await prebuildify('arm64', {
        npm_config_arch: 'arm64',
        CC: `${triple}-gcc`,
        CXX: `${triple}-g++`,
        AR: `${triple}-ar`,
        LINK: `${triple}-g++`,
        PREBUILD_STRIP_BIN: `${triple}-strip`,
      });
    },
  });
}
