// dist/console/app: the web console, as one page with a script and a style that are named by what
// is in them.
import fs from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'vite';
import { root } from './steps.mjs';

const output = path.join(root, 'dist/console/app');

/** @returns what a browser downloads, compressed, in KiB. */
export async function buildConsole() {
  await build({
    root: path.join(root, 'lib/console/app'),
    configFile: false,
    publicDir: false,
    logLevel: 'warn',
    esbuild: { jsx: 'automatic', jsxImportSource: 'preact', legalComments: 'none' },
    build: {
      outDir: output,
      emptyOutDir: true,
      target: 'es2022',
      // Its policy allows no inline script, and no data: but pictures.
      modulePreload: { polyfill: false },
      assetsInlineLimit: 0,
      reportCompressedSize: false,
    },
  });
  const files = fs.readdirSync(path.join(output, 'assets')).map((name) => `assets/${name}`);
  const bytes = ['index.html', ...files].map(
    (name) => gzipSync(fs.readFileSync(path.join(output, name))).length,
  );
  return bytes.reduce((sum, each) => sum + each, 0) / 1024;
}
