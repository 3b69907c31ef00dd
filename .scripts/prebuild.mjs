// npm run prebuild: binaries under prebuilds/ by prebuildify, one for each architecture, that serve
// every Node.js version (N-API). An installed package then needs neither compiler nor install
// script: node-gyp-build finds them when the addon is loaded.
import { prebuildForArm64, prebuildNative } from './native.mjs';
import { setUp } from './setup.mjs';
import { runMain } from './steps.mjs';

await runMain(async () => {
  await setUp('build');
  await prebuildNative();
  await prebuildForArm64();
});
