// npm run bench [-- scenario…]: sets up what is missing, then runs bench/.
import path from 'node:path';
import { setUp } from './setup.mjs';
import { releaseSignals, root, runMain } from './steps.mjs';

await runMain(async () => {
  await setUp('test', []);
  releaseSignals();
  process.chdir(root);
  const program = path.join(root, '.build/bench/main.js');
  process.argv = [process.execPath, program, ...process.argv.slice(2)];
  await import(program);
});
