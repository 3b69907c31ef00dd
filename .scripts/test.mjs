// npm test: sets up what is missing, then runs test/rig. `npm test -- --help` lists the options.
import path from 'node:path';
import { guestSuites } from './guest.mjs';
import { setUp } from './setup.mjs';
import { releaseSignals, root, runMain, SetupError } from './steps.mjs';

await runMain(async () => {
  const words = process.argv.slice(2);
  const after = (name) => words.flatMap((word, i) => (words[i - 1] === name ? [word] : []));
  const only = after('--only');
  const suite = after('--suite').at(-1) ?? 'default';
  if (!Object.hasOwn(guestSuites, suite)) {
    const known = Object.keys(guestSuites).join(', ');
    throw new SetupError(`--suite ${suite}: there are guests of ${known}`);
  }
  await setUp('test', only.length === 0 ? null : only, suite);
  releaseSignals();
  process.chdir(root);
  const program = path.join(root, '.build/test/rig/run.js');
  process.argv = [process.execPath, program, ...words];
  await import(program);
});
