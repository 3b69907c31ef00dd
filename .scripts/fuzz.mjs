// npm run fuzz [-- --target name…]: sets up what is missing, then runs test/fuzz.
import path from 'node:path';
import { setUp } from './setup.mjs';
import { releaseSignals, root, runMain } from './steps.mjs';

await runMain(async () => {
  await setUp('test', ['fuzz']);
  releaseSignals();
  process.chdir(root);
  const program = path.join(root, '.build/test/fuzz/run.js');
  process.argv = [process.execPath, program, ...process.argv.slice(2)];
  await import(program);
});
