// npm run test:addon-asan: the addon and its tests under AddressSanitizer, in a checkout of their
// own below .cache, so that the addon in use stays as it is. Further words are names of test files.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { gypCommand } from './native.mjs';
import { setUp } from './setup.mjs';
import { announce, cache, root, run, runMain, SetupError } from './steps.mjs';

const staging = path.join(cache, 'addon_asan');

/** The library must come first in the process, as Node itself is built without it. */
async function sanitizerLibrary() {
  const library = (await run('g++', ['-print-file-name=libasan.so'])).trim();
  if (!path.isAbsolute(library)) throw new SetupError('libasan is missing; it comes with g++');
  return fs.realpathSync(library);
}

/**
 * Sources take the place of those of the last time, of which some may be gone; what is built of
 * them stays, as their times do.
 */
function stage() {
  fs.mkdirSync(staging, { recursive: true });
  for (const name of ['native', '.build']) {
    fs.rmSync(path.join(staging, name), { recursive: true, force: true });
  }
  for (const name of ['native', 'binding.gyp', 'package.json', '.build/lib', '.build/test']) {
    const options = { recursive: true, preserveTimestamps: true };
    fs.cpSync(path.join(root, name), path.join(staging, name), options);
  }
  const modules = path.join(staging, 'node_modules');
  if (!fs.existsSync(modules)) fs.symlinkSync(path.join(root, 'node_modules'), modules);
}

await runMain(async () => {
  await setUp('test', ['addon']);
  stage();
  await announce('building the addon under AddressSanitizer', async () => {
    for (const words of [['configure', '--', '-Dashlar_sanitize=address'], ['build']]) {
      const [command, ...args] = gypCommand(words);
      await run(command, args, { cwd: staging });
    }
  });
  const folder = path.join(staging, '.build/test/addon');
  const wanted = process.argv.slice(2);
  const files = fs
    .readdirSync(folder)
    .filter((name) => name.endsWith('.test.js'))
    .filter((name) => wanted.length === 0 || wanted.includes(name.slice(0, -'.test.js'.length)));
  if (files.length === 0)
    throw new SetupError(`no test of the addon is called ${wanted.join(', ')}`);
  const program = [
    '--enable-source-maps',
    '--test',
    '--test-reporter=spec',
    '--test-concurrency=1',
  ];
  const { status } = spawnSync(
    process.execPath,
    [...program, ...files.map((name) => path.join(folder, name))],
    {
      cwd: staging,
      stdio: 'inherit',
      env: {
        ...process.env,
        LD_PRELOAD: await sanitizerLibrary(),
        // Node keeps much until its end, which is not for us to judge.
        ASAN_OPTIONS: 'detect_leaks=0:abort_on_error=1',
      },
    },
  );
  process.exitCode = status ?? 1;
});
