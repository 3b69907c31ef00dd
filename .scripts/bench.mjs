// npm run bench [-- scenario…]: sets up what is missing, then runs bench/.
import path from 'node:path';
import { setUp } from './setup.mjs';
import { releaseSignals, root, runMain } from './steps.mjs';

await runMain(async () => {
  const words = process.argv.slice(2);
  await setUp('test', words.includes('instructions') ? ['instructions'] : []);
  releaseSignals();
  process.chdir(root);
  const program = path.join(root, '.build/bench/main.js');
  process.argv = [process.execPath, program, ...words];
  await import(program);
});
