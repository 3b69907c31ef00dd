// Before npm packs dist/: what an earlier build has left there goes. In a checkout it stays, since
// a daemon that was started before the build still loads parts of its own from it.
import fs from 'node:fs';
import path from 'node:path';
import { bundleProgram } from './bundle.mjs';
import { listFiles, root, runMain } from './steps.mjs';

const program = path.join('dist', 'program');
/** Emptied by its own build, and the compiler's note on what it has done, which is not packed. */
const others = [path.join('dist', 'console', 'app'), path.join('dist', '.tsbuildinfo')];

/** The source that the compiler made a file of dist/ from. */
function sourceOf(file) {
  const name = path.relative('dist', file).replace(/(\.d\.ts|\.js)(\.map)?$/, '.ts');
  return path.join(root, 'lib', name);
}

await runMain(async () => {
  const bundled = new Set(await bundleProgram({ write: false }));
  for (const file of listFiles(['dist'])) {
    if (others.some((each) => file.startsWith(each))) continue;
    const wanted = file.startsWith(program) ? bundled.has(file) : fs.existsSync(sourceOf(file));
    if (!wanted) fs.rmSync(path.join(root, file));
  }
});
