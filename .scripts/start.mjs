// npm start: sets up what is missing, then is `ashlar serve` on the demo pool.
import path from 'node:path';
import { setUp } from './setup.mjs';
import { releaseSignals, root, runMain } from './steps.mjs';

await runMain(async () => {
  await setUp('build');
  releaseSignals();
  // The program runs in this process: no second start-up, and signals reach it by themselves.
  const program = path.join(root, 'dist/program/main.js');
  process.chdir(root);
  process.argv = [process.execPath, program, 'serve', '--demo', ...process.argv.slice(2)];
  await import(program);
});
