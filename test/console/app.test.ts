/** The sources of the console: typed, small, and kept apart from the rest. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

const app = 'lib/console/app';

test('app: compiles', async () => {
  const compiler = path.resolve('node_modules/.bin/tsc');
  await promisify(execFile)(compiler, ['-p', app]).catch((error: { stdout: string }) => {
    throw new Error(error.stdout);
  });
});

/** What may be in the bundle: plain data and arithmetic, of no other package. */
const mayBring = [
  'api/limits',
  'api/operations',
  'config/units',
  'errors',
  'console/paths',
  'console/readings',
];

test('app: of the rest it takes types, and few files that bring nothing with them', () => {
  const wrong: string[] = [];
  for (const name of fs.readdirSync(app, { recursive: true, encoding: 'utf8' })) {
    if (!/\.tsx?$/.test(name)) continue;
    const text = fs.readFileSync(path.join(app, name), 'utf8');
    for (const [line, from = ''] of text.matchAll(
      /^(?:import|export)[^;]*?from '(\.\.[^']*)';/gms,
    )) {
      const target = path.relative('lib', path.join(app, from)).replace(/\.js$/, '');
      if (!/^import type /.test(line) && !mayBring.includes(target)) wrong.push(`${name}: ${line}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('app: what is built has no schema library and fetches nothing from elsewhere', () => {
  const folder = 'dist/console/app/assets';
  const scripts = fs.readdirSync(folder).filter((name) => name.endsWith('.js'));
  assert.ok(scripts.length > 0);
  for (const name of scripts) {
    const text = fs.readFileSync(path.join(folder, name), 'utf8');
    assert.doesNotMatch(text, /typebox|additionalProperties/i);
    // Names of XML namespaces are no addresses.
    const urls = [...text.matchAll(/https?:\/\/[\w.-]+/g)].map(([url]) => url);
    assert.deepEqual(
      urls.filter((url) => !url.startsWith('http://www.w3.org')),
      [],
    );
  }
});
