// dist/program: the command with what it needs at every start, in a few files instead of about a
// thousand. Finding, reading and linking the files was more than half of the time from SIGTERM to
// serving again; the library in dist/ stays as the compiler wrote it.
import fs from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';
import { root } from './steps.mjs';

/** These find files of their own beside them: binaries, WebAssembly. They load only when needed. */
export const external = ['@bokuweb/zstd-wasm', 'node-gyp-build', 'msgpackr-extract'];

/** CommonJS packages call `require`, which an ES module has to bring along. */
const banner =
  "import { createRequire as createRequireOfBundle } from 'node:module';" +
  'const require = createRequireOfBundle(import.meta.url);';

/**
 * OpenTelemetry by its ES modules, of which esbuild leaves out what nobody uses: 130 KB instead of
 * 710. Its packages name them, and Node.js would not take them, since their files have no endings.
 */
const slimTracing = {
  name: 'slim tracing',
  setup({ onResolve }) {
    onResolve({ filter: /^@opentelemetry\/[a-z-]+$/ }, ({ path: name }) => {
      const folder = path.join(root, 'node_modules', name);
      const manifest = JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8'));
      if (manifest.module === undefined) return undefined;
      return {
        path: path.join(folder, manifest.module),
        sideEffects: manifest.sideEffects !== false,
      };
    });
    // Of a detector of hosts that nobody uses, whose imports would be left over.
    onResolve({ filter: /\/getMachineId-[a-z]+(\.js)?$/ }, ({ path: name }) => {
      return { path: name, external: true };
    });
  },
};

/**
 * undici by what the client of the API uses of it: the whole, with fetch, cookies and web sockets,
 * takes 37 ms to load, a fifth of `ashlar volume list`. Requests are added to its dispatchers as its
 * own index does.
 */
const slimUndici = {
  name: 'slim undici',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^undici$/ }, () => ({ path: 'undici', namespace: 'slim' }));
    onLoad({ filter: /^undici$/, namespace: 'slim' }, () => ({
      contents: `
        import api from 'undici/lib/api/index.js';
        import errors from 'undici/lib/core/errors.js';
        import Client from 'undici/lib/dispatcher/client.js';
        import Dispatcher from 'undici/lib/dispatcher/dispatcher.js';
        Object.assign(Dispatcher.prototype, api);
        export { Client, errors };`,
      resolveDir: root,
    }));
  },
};

/**
 * Resolves to the files' names. `outdir` is dist/program, or an empty folder of a package's;
 * without `write` the names are all that comes of it.
 */
export async function bundleProgram({ outdir = 'dist/program', write = true } = {}) {
  const { metafile } = await build({
    // A thread is started by the name of its file, beside the code that starts it.
    entryPoints: { main: 'dist/cli/main.js', responder: 'dist/mdns/responder.js' },
    absWorkingDir: root,
    outdir,
    metafile: true,
    write,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.18',
    external,
    plugins: [slimTracing, slimUndici],
    banner: { js: banner },
    legalComments: 'linked',
    logLevel: 'warning',
  });
  return Object.keys(metafile.outputs);
}
