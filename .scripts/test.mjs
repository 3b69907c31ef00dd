// npm test: sets up what is missing, then runs test/rig. `npm test -- --help` lists the options.
import path from 'node:path';
import { setUp } from './setup.mjs';
import { releaseSignals, root, runMain } from './steps.mjs';

await runMain(async () => {
  const words = process.argv.slice(2);
  const only = words.flatMap((word, i) => (words[i - 1] === '--only' ? [word] : []));
  await setUp('test', only.length === 0 ? null : only);
  releaseSignals();
  process.chdir(root);
  const program = path.join(root, '.build/test/rig/run.js');
  process.argv = [process.execPath, program, ...words];
  await import(program);
});
