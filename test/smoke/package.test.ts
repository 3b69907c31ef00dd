/**
 * The package as a person installs it: packed, installed without install scripts and without a
 * compiler's help, and served on every supported Node.js version from one binary.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { Workspace } from '../rig/daemon.js';

const root = process.cwd();
const arch = `linux-${process.arch}`;

/** Node.js majors and where `npm test` has put them. */
const nodes = new Map<string, string>([
  [process.versions.node.split('.')[0] ?? '', process.execPath],
  ...['22', '24'].map((major): [string, string] => [
    major,
    path.join(root, '.cache/nodes', major, `node_modules/node-${arch}/bin/node`),
  ]),
]);

const workspace = new Workspace();
const installed = workspace.file('node_modules/ashlar');

/** Without what `npm test` has put there: this project's npm settings are not an installer's. */
const env = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name)),
);

function npm(args: string[], cwd: string): string {
  const { status, stdout, stderr } = spawnSync('npm', [...args, '--loglevel=error'], { cwd, env });
  assert.equal(status, 0, `npm ${args.join(' ')}: ${stderr.toString()}`);
  return stdout.toString().trim();
}

before(() => {
  const said = npm(['pack', '--silent', '--pack-destination', workspace.path], root);
  const name = said.split('\n').at(-1) ?? '';
  fs.writeFileSync(workspace.file('package.json'), '{"private":true}\n');
  const options = ['--ignore-scripts', '--omit=dev', '--no-audit', '--no-fund'];
  npm(['install', ...options, workspace.file(name)], workspace.path);
});
after(() => workspace[Symbol.dispose]());

test('the packed package: all of dist/ comes from sources that there are, all of it is used', () => {
  const dist = path.join(installed, 'dist');
  const files = fs.readdirSync(dist, { recursive: true, encoding: 'utf8' });
  const stray = files.filter((file) => /^(?!program\/|console\/app\/).*\.js$/.test(file));
  assert.ok(files.includes('console/app/index.html'), 'it has the console');
  assert.ok(!files.includes('.tsbuildinfo'));
  assert.deepEqual(
    stray.filter((file) => !fs.existsSync(path.join(root, 'lib', file.replace(/\.js$/, '.ts')))),
    [],
  );
  const pieces = files.filter((file) => /^program\/.*\.js$/.test(file));
  const texts = pieces.map((file) => fs.readFileSync(path.join(dist, file), 'utf8')).join('\n');
  const unused = pieces
    .map((file) => path.basename(file))
    .filter((name) => name !== 'main.js' && !texts.includes(name));
  assert.deepEqual(unused, []);
});

test('the packed package: holds one binary and no build folder', () => {
  assert.deepEqual(fs.readdirSync(path.join(installed, 'prebuilds', arch)), ['ashlar.node']);
  assert.ok(!fs.existsSync(path.join(installed, 'build')), 'it must not carry build/');
  assert.ok(!fs.existsSync(path.join(installed, 'test')), 'it must not carry test/');
});

describe('one binary for every Node.js version', () => {
  for (const [major, program] of nodes) {
    test(`Node ${major}: loads the addon`, () => {
      const binary = path.join(installed, 'prebuilds', arch, 'ashlar.node');
      const script =
        'const p = require(process.argv[1]).probe();' +
        'console.log(process.versions.node, p.ioUring, p.problem);';
      const { status, stdout, stderr } = spawnSync(program, ['-e', script, binary]);
      assert.equal(status, 0, stderr.toString());
      assert.match(stdout.toString(), new RegExp(`^${major}\\.\\S+ ok null`));
    });

    test(`Node ${major}: the installed command serves and ends`, async () => {
      const child = spawn(
        program,
        [
          ...[path.join(installed, 'dist/program/main.js'), 'serve', '--json', '--memory', '64MiB'],
          ...['--portal', '127.0.0.1:0', '--no-discovery'],
          ...['--socket', workspace.file(`${major}.sock`)],
        ],
        { stdio: ['ignore', 'pipe', 'inherit'] },
      );
      try {
        const [line] = await new Promise<string[]>((resolve, reject) => {
          createInterface({ input: child.stdout }).once('line', (text) => resolve([text]));
          child.once('exit', (code) => reject(new Error(`it ended with ${code}`)));
        });
        const ready = JSON.parse(line ?? '') as { event: string; portals: { port: number }[] };
        assert.equal(ready.event, 'ready');
        assert.ok((ready.portals[0]?.port ?? 0) > 0, 'a port');
        const ended = new Promise((resolve) => child.once('exit', resolve));
        child.kill('SIGTERM');
        assert.equal(await ended, 0);
      } finally {
        child.kill('SIGKILL');
      }
    });
  }
});
