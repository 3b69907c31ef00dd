// Everything between a fresh clone and a program that runs, in steps:
//
//   system packages → npm packages → addon → dist/                     (npm start, npm run build)
//     → .build/ → C++ tests → prebuilds/ and other Nodes → guest kernel               (npm test)
//
// Usage: node .scripts/setup.mjs native|build|test
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { prepareGuest } from './guest.mjs';
import { prepareKubernetes } from './kubernetes.mjs';
import { buildAddon, jobs, prebuildNative } from './native.mjs';
import { otherNodes } from './nodes.mjs';
import { preparePromtool } from './promtool.mjs';
import {
  announce,
  digest,
  findProgram,
  listFiles,
  root,
  run,
  runMain,
  SetupError,
  stamped,
  withLock,
} from './steps.mjs';

const program = (name) => () => findProgram(name) !== null;
const file = (name) => () => fs.existsSync(name);

// Debian package → how to tell that what it brings is here, whoever brought it.
const buildPackages = {
  'g++': program('g++'),
  make: program('make'),
  python3: program('python3'),
  'liburing-dev': file('/usr/include/liburing.h'),
};
// Programs without a node to find OpenSSL in.
const opensslPackages = { 'libssl-dev': file('/usr/include/openssl/ssl.h') };
const testPackages = {
  'doctest-dev': file('/usr/include/doctest/doctest.h'),
  'libnvme-dev': file('/usr/include/nvme/types.h'),
  openssl: program('openssl'),
  zsh: program('zsh'),
  fish: program('fish'),
  ...opensslPackages,
};
const protocolPackages = { tshark: program('tshark'), 'gnutls-bin': program('gnutls-cli') };
// clang's own libraries are a package beside it, and below a folder of its version.
const fuzzPackages = {
  ...opensslPackages,
  clang: program('clang++'),
  'libclang-rt-14-dev': () =>
    fs.existsSync('/usr/lib/llvm-14/lib/clang') &&
    fs
      .readdirSync('/usr/lib/llvm-14/lib/clang', { recursive: true })
      .some((name) => /libclang_rt\.fuzzer-[^/]*\.a$/.test(name)),
};
// Counts instructions; its headers are how the counted program says when.
const instructionPackages = { ...opensslPackages, valgrind: program('valgrind') };
// Reads, and runs, the job files that `ashlar bench fio` prints.
const benchPackages = { fio: program('fio') };
// The browser of a person; playwright-core brings none.
const consolePackages = { chromium: program('chromium') };
// Of the package's own making; it is installed in a machine that is thrown away.
const debPackages = {
  debhelper: program('dh'),
  'dpkg-dev': program('dpkg-buildpackage'),
  lintian: program('lintian'),
};
const mdnsPackages = { iproute2: program('ip') };
const guestPackages = {
  'qemu-system-x86': program('qemu-system-x86_64'),
  'busybox-static': file('/bin/busybox'),
  cpio: program('cpio'),
  'xz-utils': program('xz'),
  kmod: program('modprobe'),
  'nvme-cli': program('nvme'),
  fio: program('fio'),
  xfsprogs: program('mkfs.xfs'),
  e2fsprogs: program('mkfs.ext4'),
  'btrfs-progs': program('mkfs.btrfs'),
  keyutils: program('keyctl'),
  udev: program('udevadm'),
};
/** The node's part of the CSI plugin with the programs that it starts. */
const csiPackages = {
  xfsprogs: guestPackages.xfsprogs,
  e2fsprogs: guestPackages.e2fsprogs,
  'btrfs-progs': guestPackages['btrfs-progs'],
};

async function installSystemPackages(packages) {
  const missing = Object.keys(packages).filter((name) => !packages[name]());
  if (missing.length === 0) return;
  const command = `apt-get install --no-install-recommends ${missing.join(' ')}`;
  if (process.getuid() !== 0 || findProgram('apt-get') === null) {
    throw new SetupError(`system packages are missing; as root, run: ${command}`);
  }
  await announce(`installing ${missing.join(', ')}`, async () => {
    const env = { DEBIAN_FRONTEND: 'noninteractive' };
    await run('apt-get', ['-q', 'update'], { env });
    const options = ['-q', '-y', 'install', '--no-install-recommends'];
    await run('apt-get', [...options, ...missing], { env });
  });
}

/** npm writes its own record of what it installed last of all: it is the stamp. */
function npmPackagesInstalled() {
  const record = path.join(root, 'node_modules/.package-lock.json');
  if (!fs.existsSync(record)) return false;
  const parse = (name) => JSON.parse(fs.readFileSync(name, 'utf8')).packages;
  const installed = parse(record);
  return Object.entries(parse(path.join(root, 'package-lock.json'))).every(([name, wanted]) => {
    if (name === '') return true;
    const found = installed[name];
    return found === undefined ? wanted.optional === true : found.version === wanted.version;
  });
}

async function installNpmPackages() {
  if (npmPackagesInstalled()) return;
  await announce('installing npm packages', () =>
    run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']),
  );
}

function compile(name, what, project, folders, output) {
  const inputs = listFiles(folders, (each) => each.endsWith('.ts'));
  return stamped({
    name,
    what,
    key: digest([...inputs, 'tsconfig.json', project, 'package-lock.json']),
    outputs: [output],
    work: () => run(path.join(root, 'node_modules/.bin/tsc'), ['-p', project]),
  });
}

const compileDist = () =>
  compile('dist', 'compiling dist/', 'tsconfig.json', ['lib'], 'dist/cli/main.js');

/** Loaded late: the packages that it stands on are installed by the steps before. */
const bundleDist = () =>
  stamped({
    name: 'program',
    what: 'bundling dist/program',
    key: digest([
      ...listFiles(['lib'], (each) => each.endsWith('.ts')),
      'package-lock.json',
      '.scripts/bundle.mjs',
    ]),
    outputs: ['dist/program/main.js'],
    work: async () => (await import('./bundle.mjs')).bundleProgram(),
  });

/** The page that the daemon serves. Its size is told when it is built. */
const bundleConsole = () =>
  stamped({
    name: 'console',
    what: 'bundling the web console',
    key: digest([
      ...listFiles(['lib/console/app'], () => true),
      'lib/console/paths.ts',
      'lib/console/readings.ts',
      'lib/api/latency.ts',
      'lib/api/limits.ts',
      'lib/api/operations.ts',
      'lib/config/units.ts',
      'lib/errors.ts',
      'package-lock.json',
      '.scripts/console.mjs',
    ]),
    outputs: ['dist/console/app/index.html'],
    work: async () => {
      const kib = await (await import('./console.mjs')).buildConsole();
      console.log(`web console: ${kib.toFixed(1)} KiB compressed`);
    },
  });

const compileTests = () =>
  compile(
    'tests',
    'compiling the tests',
    'tsconfig.dev.json',
    ['lib', 'test', 'bench'],
    '.build/test/rig/run.js',
  );

/** Make knows what is out of date; the stamp only saves asking it. */
async function buildNativeTests() {
  const sources = listFiles(['native', 'test/native'], (name) => !name.endsWith('.md'));
  await stamped({
    name: 'native-tests',
    what: 'building the C++ tests',
    key: digest(sources),
    outputs: ['.build/native/ashlar_tests'],
    work: () => run('make', ['-C', 'test/native', `-j${jobs}`]),
  });
}

async function buildFuzzTargets() {
  const ours = (name) => !name.endsWith('.md') && !name.includes('/addon/');
  const sources = listFiles(['native'], ours);
  const targets = listFiles(['test/fuzz'], (name) => /\.(cc|h)$|Makefile$/.test(name));
  await stamped({
    name: 'fuzz-targets',
    what: 'building the fuzz targets',
    key: digest([...sources, ...targets]),
    outputs: ['.build/fuzz/target'],
    work: () => run('make', ['-C', 'test/fuzz', `-j${jobs}`]),
  });
}

export const canRunGuest = process.arch === 'x64';

/**
 * Brings the checkout to the state that `goal` needs: 'native', 'build' or 'test'.
 *
 * `only` names the test areas that are to run, so that what the others need is left alone; null:
 * all of them. `suite` is the Debian of the guest.
 */
export function setUp(goal, only = null, suite = 'default') {
  const tests = (area) =>
    goal === 'test' && (only === null || only.some((o) => o.startsWith(area)));
  const guest = tests('kernel') && canRunGuest;
  // Planted bugs are linked with the C++ tests.
  const native = tests('native') || tests('planted');
  const fuzz = tests('fuzz');
  return withLock(async () => {
    await installSystemPackages({
      ...buildPackages,
      ...(fuzz ? fuzzPackages : {}),
      ...(native ? testPackages : {}),
      ...(tests('protocol') ? protocolPackages : {}),
      ...(tests('mdns') ? mdnsPackages : {}),
      ...(tests('console') || tests('unit') ? consolePackages : {}),
      ...(tests('package') ? debPackages : {}),
      ...(tests('bench') || tests('unit') ? benchPackages : {}),
      ...(tests('instructions') ? instructionPackages : {}),
      ...(tests('csi') ? csiPackages : {}),
      ...(guest ? guestPackages : {}),
    });
    await installNpmPackages();
    await buildAddon();
    if (goal === 'native') return;
    await compileDist();
    await bundleDist();
    await bundleConsole();
    if (goal === 'build') return;
    await compileTests();
    if (native) await buildNativeTests();
    if (fuzz) await buildFuzzTargets();
    if (tests('unit') || tests('metrics')) await preparePromtool();
    if (tests('unit') || tests('deploy')) await prepareKubernetes();
    if (tests('smoke')) await otherNodes();
    if (tests('smoke') || tests('package')) await prebuildNative();
    if (guest) await prepareGuest(suite);
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await runMain(async () => {
    const goal = process.argv[2] ?? 'build';
    if (!['native', 'build', 'test'].includes(goal)) {
      throw new SetupError(`unknown goal '${goal}': one of native, build, test`);
    }
    await setUp(goal);
  });
}
