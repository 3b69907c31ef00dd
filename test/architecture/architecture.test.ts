/** What ARCHITECTURE.md says of the folders is read from the sources here and kept so. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';

const root = process.cwd();

function sources(folder: string, endings: readonly string[]): string[] {
  return fs
    .readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => endings.some((ending) => name.endsWith(ending)))
    .map((name) => path.join(folder, name))
    .sort();
}

const read = (file: string) => fs.readFileSync(path.join(root, file), 'utf8');
const folderOf = (file: string) => file.split(path.sep)[1] ?? '';

/** Each folder of native/, and the folders whose headers it may include beside its own. */
const mayInclude: Record<string, readonly string[]> = {
  base: [],
  reactor: ['base'],
  device: ['base', 'reactor'],
  store: ['base', 'reactor', 'device'],
  nvme: ['base'],
  tcp: ['base', 'nvme'],
  tls: ['base', 'reactor'],
  target: ['base', 'reactor', 'nvme', 'tcp', 'tls'],
  host: ['base', 'reactor', 'nvme', 'tcp'],
  load: ['base', 'reactor', 'device', 'nvme', 'host'],
  sim: ['base', 'reactor', 'device'],
  addon: [
    'base',
    'reactor',
    'device',
    'store',
    'nvme',
    'tcp',
    'tls',
    'target',
    'host',
    'load',
    'sim',
  ],
};

describe('native/', () => {
  const files = sources('native', ['.h', '.cc']);

  test('every folder has a place in the order', () => {
    const folders = new Set(files.map(folderOf));
    assert.deepEqual(
      [...folders].filter((folder) => mayInclude[folder] === undefined),
      [],
    );
  });

  test('includes point one way: base ← reactor ← device ← store, base ← nvme ← tcp ← ends', () => {
    const wrong: string[] = [];
    for (const file of files) {
      const own = folderOf(file);
      for (const [, name] of read(file).matchAll(/^#include "([^"]+)"/gm)) {
        const folder = name?.split('/')[0] ?? '';
        const allowed = folder === own || mayInclude[own]?.includes(folder) === true;
        if (!allowed) wrong.push(`${file} includes ${name}`);
      }
    }
    assert.deepEqual(wrong, []);
  });

  test('exceptions, RTTI and standard threads of control stay out of the I/O folders', () => {
    const forbidden = /\b(?:throw|try|catch|dynamic_cast|typeid)\b(?=[\s(<{])/;
    const wrong = files.filter((file) => {
      const code = read(file)
        .replaceAll(/\/\/.*$/gm, '')
        .replaceAll(/"(?:\\.|[^"\\])*"/g, '""');
      return forbidden.test(code);
    });
    assert.deepEqual(wrong, []);
  });
});

/** Each folder of lib/ (and each file beside them), and what it may import beside its own. */
const mayImport: Record<string, readonly string[]> = {
  errors: ['native'],
  bytes: [],
  interchange: ['errors'],
  native: ['errors'],
  events: [],
  lines: ['errors'],
  tracing: ['errors'],
  config: ['errors', 'native'],
  catalog: ['errors', 'tracing', 'native'],
  auth: ['errors', 'bytes', 'interchange'],
  tls: ['errors', 'interchange'],
  target: ['errors', 'bytes', 'native', 'auth', 'tls'],
  qos: ['native', 'catalog'],
  volumes: ['errors', 'tracing', 'events', 'native', 'config', 'catalog', 'qos', 'target'],
  access: ['errors', 'events', 'catalog', 'volumes'],
  audit: ['errors', 'lines'],
  jobs: ['errors', 'tracing', 'catalog', 'volumes'],
  schedules: ['errors', 'events', 'catalog', 'volumes'],
  secrets: ['errors', 'events', 'auth', 'tls', 'catalog', 'target', 'volumes'],
  discovery: ['errors', 'events', 'config', 'catalog', 'target', 'volumes'],
  portals: ['errors', 'events', 'native', 'config', 'catalog', 'target', 'volumes'],
  mdns: ['events'],
  stream: ['errors', 'events', 'native', 'config', 'catalog', 'volumes'],
  node: [
    'errors',
    'events',
    'lines',
    'native',
    'config',
    'catalog',
    'qos',
    'target',
    'volumes',
    'jobs',
    'access',
    'schedules',
    'secrets',
    'discovery',
    'portals',
    'mdns',
    'stream',
  ],
  conditions: ['native', 'access', 'config', 'volumes', 'portals', 'schedules', 'stream', 'node'],
  metrics: ['native', 'target', 'volumes', 'jobs', 'node'],
  host: ['errors', 'native', 'target'],
  api: [
    'errors',
    'tracing',
    'events',
    'native',
    'config',
    'access',
    'audit',
    'volumes',
    'jobs',
    'portals',
    'schedules',
    'stream',
    'node',
    'conditions',
    'metrics',
  ],
  console: ['errors', 'config', 'api'],
  bench: ['errors', 'native', 'config', 'node', 'api', 'host'],
  doctor: ['errors', 'native', 'config', 'node', 'api'],
  support: ['errors', 'config', 'api', 'doctor'],
  csi: ['errors', 'config', 'node', 'api', 'tls'],
  cli: [
    'errors',
    'tracing',
    'events',
    'access',
    'audit',
    'metrics',
    'native',
    'config',
    'volumes',
    'jobs',
    'stream',
    'node',
    'api',
    'console',
    'host',
    'bench',
    'doctor',
    'support',
    'csi',
  ],
  index: [
    'errors',
    'tracing',
    'events',
    'native',
    'config',
    'volumes',
    'jobs',
    'access',
    'schedules',
    'secrets',
    'discovery',
    'portals',
    'stream',
    'node',
    'metrics',
    'host',
    'api',
  ],
};

describe('lib/', () => {
  const files = sources('lib', ['.ts', '.tsx']);
  const partOf = (file: string) => folderOf(file).replace(/\.tsx?$/, '');

  test('every folder has a place in the order', () => {
    const parts = new Set(files.map(partOf));
    assert.deepEqual(
      [...parts].filter((part) => mayImport[part] === undefined),
      [],
    );
  });

  test('imports keep the order: who decides does not know who asks', () => {
    const wrong: string[] = [];
    for (const file of files) {
      const own = partOf(file);
      for (const [, name] of read(file).matchAll(/(?:from|import\()\s*'(\.{1,2}\/[^']+)'/g)) {
        const target = path.join(path.dirname(file), name ?? '');
        const part = partOf(target.replace(/\.js$/, '.ts'));
        const allowed = part === own || mayImport[own]?.includes(part) === true;
        if (!allowed) wrong.push(`${file} imports ${name}`);
      }
    }
    assert.deepEqual(wrong, []);
  });

  test('of the CSI plugin, only its privileged part starts programs', () => {
    const starters = files.filter(
      (file) => file.startsWith(path.join('lib', 'csi')) && /child_process/.test(read(file)),
    );
    assert.deepEqual(starters, [path.join('lib', 'csi', 'host', 'programs.ts')]);
  });

  test('of the CSI plugin, only its privileged part knows the files of the kernel', () => {
    const host = path.join('lib', 'csi', 'host') + path.sep;
    const wrong = files.filter(
      (file) =>
        file.startsWith(path.join('lib', 'csi')) &&
        !file.startsWith(host) &&
        /['"`]\/(?:sys|dev|proc)\b/.test(read(file)),
    );
    assert.deepEqual(wrong, []);
  });

  test('native.ts is the only door to the addon', () => {
    const doors = [...files, ...sources('bench', ['.ts'])].filter((file) =>
      /node-gyp-build|\.node['"]/.test(read(file)),
    );
    assert.deepEqual(doors, [path.join('lib', 'native.ts')]);
  });
});

describe('every source file', () => {
  const files = [
    ...sources('native', ['.h', '.cc']),
    ...sources('lib', ['.ts', '.tsx', '.css']),
    ...sources('test', ['.ts', '.h', '.cc', '.sh', 'Makefile']),
    ...sources('bench', ['.ts']),
    ...sources('.scripts', ['.mjs']),
  ];

  test('has 800 lines at most', () => {
    const long = files.filter((file) => read(file).split('\n').length > 801);
    assert.deepEqual(long, []);
  });

  test('has 100 columns at most', () => {
    const wide: string[] = [];
    for (const file of files) {
      read(file)
        .split('\n')
        .forEach((line, index) => {
          // A formatter does not break a string, and neither need we.
          const breakable = !/['"`]/.test(line);
          if ([...line].length > 100 && breakable) wide.push(`${file}:${index + 1}`);
        });
    }
    assert.deepEqual(wide, []);
  });

  test('names no path of the machine that it was written on', () => {
    const found = files.filter((file) => /\/(?:work|home|root)\/[a-z]/.test(read(file)));
    assert.deepEqual(found, []);
  });

  test('passes the linter and is as the formatter writes it', async () => {
    const biome = path.join(root, 'node_modules/.bin/biome');
    const { stdout } = await promisify(execFile)(biome, ['ci', '--colors=off', '.'], {
      cwd: root,
    }).catch((error: { stdout: string; stderr: string }) => {
      throw new Error(`${error.stdout}${error.stderr}`);
    });
    assert.match(stdout, /No fixes applied|Checked \d+ files/);
  });
});

test('the lock file names no registry', () => {
  const lock = JSON.parse(read('package-lock.json')) as {
    packages: Record<string, { resolved?: string }>;
  };
  const named = Object.values(lock.packages).filter(({ resolved }) => resolved !== undefined);
  assert.deepEqual(named, []);
});
