// What a package of the command consists of, as a folder: the bundle, the console, the binary of
// one architecture, and the packages that cannot be bundled. The Debian package and the container
// image have it at /usr/lib/ashlar; it needs Node.js and nothing else.
//
// Usage: node .scripts/package_tree.mjs FOLDER [x64|arm64]
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { prebuildForArm64, prebuildNative } from './native.mjs';
import { setUp } from './setup.mjs';
import { listFiles, root, runMain, SetupError } from './steps.mjs';

/** Beside dist/program; msgpackr does the same without its native part. */
const besideTheBundle = ['node-gyp-build', '@bokuweb/zstd-wasm'];
/** The daemon serves it. */
const consoleFolder = 'dist/console/app';
const inTheConsole = ['preact', '@preact/signals', '@preact/signals-core', 'uplot'];
/** For other readers than Node.js, and for builders. */
const leftOut = /\.(d\.ts|map|md)$|\/dist\/(web|esm)\/|\/(bin|build-test|optional)\.js$/;

export function manifest() {
  return JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8'));
}

function copy(from, to) {
  fs.mkdirSync(path.dirname(to), { recursive: true });
  fs.copyFileSync(path.join(root, from), to);
}

/** Writes it; `folder` is emptied first. `node`: the line by which the command finds Node.js. */
export async function writeTree(folder, arch, node = '/usr/bin/env node') {
  await setUp('build');
  await prebuildNative();
  if (arch === 'arm64' && process.arch !== 'arm64') await prebuildForArm64();
  const binary = `prebuilds/linux-${arch}/ashlar.node`;
  if (!fs.existsSync(path.join(root, binary))) {
    throw new SetupError(`${binary} is not there: npm run prebuild, on such a machine or for it`);
  }
  fs.rmSync(folder, { recursive: true, force: true });
  copy(binary, path.join(folder, binary));
  const { bundleProgram } = await import('./bundle.mjs');
  const program = path.join(folder, 'dist/program');
  await bundleProgram({ outdir: program });
  const main = path.join(program, 'main.js');
  const text = fs.readFileSync(main, 'utf8').replace(/^#!.*/, `#!${node}`);
  fs.writeFileSync(main, text);
  fs.chmodSync(main, 0o755);
  for (const file of listFiles([consoleFolder])) copy(file, path.join(folder, file));
  for (const name of besideTheBundle) {
    for (const file of listFiles([path.join('node_modules', name)])) {
      if (!leftOut.test(file)) copy(file, path.join(folder, file));
    }
  }
  const { name, version, license, type, engines } = manifest();
  const own = { name, version, license, type, engines, private: true };
  fs.writeFileSync(path.join(folder, 'package.json'), `${JSON.stringify(own, null, 2)}\n`);
}

/** Name, version, licence and notice of everything that is in the bundle or beside it. */
export function thirdPartyNotices() {
  const { packages } = JSON.parse(fs.readFileSync(path.join(root, 'package-lock.json'), 'utf8'));
  const notices = [];
  for (const [place, { version, license, dev, optional }] of Object.entries(packages)) {
    const name = place.slice(place.lastIndexOf('node_modules/') + 'node_modules/'.length);
    const packed = (dev !== true && optional !== true) || inTheConsole.includes(name);
    if (place === '' || !packed) continue;
    const folder = path.join(root, place);
    const file = fs.readdirSync(folder).find((each) => /^(licen[cs]e|copying)/i.test(each));
    const own = file === undefined ? '' : fs.readFileSync(path.join(folder, file), 'utf8').trim();
    notices.push(`${name} ${version}: ${license}\n\n${own}`.trim());
  }
  return `${notices.join(`\n\n${'-'.repeat(72)}\n\n`)}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await runMain(async () => {
    const [, , folder, arch = process.arch] = process.argv;
    if (folder === undefined) throw new SetupError('usage: package_tree.mjs FOLDER [x64|arm64]');
    await writeTree(path.resolve(folder), arch);
  });
}
