/**
 * The support matrix (native/PROTOCOL.md) against the tests that it names: every row names one, and
 * every name is there. A name is `` `file` words, other words ``: each of the words stands in the
 * name of a test of that file.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';

const matrix = 'native/PROTOCOL.md';

interface Row {
  line: number;
  item: string;
  tests: string;
}

/** Rows of the tables whose last column is called Test. */
function rowsOf(markdown: string): Row[] {
  const rows: Row[] = [];
  let inMatrix = false;
  for (const [index, text] of markdown.split('\n').entries()) {
    if (!text.startsWith('|')) {
      inMatrix = false;
      continue;
    }
    const cells = text.slice(1, text.lastIndexOf('|')).split(/(?<!\\)\|/);
    const [item = '', tests = ''] = [cells[0], cells.at(-1)].map((cell) => cell?.trim());
    if (tests === 'Test') inMatrix = true;
    else if (inMatrix && !/^-+$/.test(tests)) rows.push({ line: index + 1, item, tests });
  }
  return rows;
}

/** By the name that the matrix uses; one name may stand for the C++ and the TypeScript half. */
function filesByName(): Map<string, string[]> {
  const files = new Map<string, string[]>();
  const ending = /_test\.cc$|\.test\.ts$/;
  for (const file of readdirSync('test', { recursive: true, encoding: 'utf8' }).sort()) {
    if (!ending.test(file)) continue;
    const name = basename(file).replace(ending, '');
    files.set(name, [...(files.get(name) ?? []), join('test', file)]);
  }
  return files;
}

/** What the tests of a file are called, in small letters. */
function testNames(file: string): string[] {
  const starts = /\b(?:TEST_CASE|SUBCASE|test|it|describe)\(\s*(?:"|'|`)/g;
  const source = readFileSync(file, 'utf8');
  return [...source.matchAll(starts)].map((found) => {
    const from = found.index + found[0].length;
    const quote = found[0].at(-1) ?? '';
    const end = source.indexOf(quote, from);
    return source.slice(from, end).toLowerCase();
  });
}

test('every row of the support matrix names a test that exists', () => {
  const files = filesByName();
  const problems: string[] = [];
  const rows = rowsOf(readFileSync(matrix, 'utf8'));
  assert.ok(rows.length > 60, `${rows.length} rows found`);
  for (const { line, item, tests } of rows) {
    const say = (problem: string) => problems.push(`${matrix}:${line} '${item}': ${problem}`);
    const named = [...tests.matchAll(/`([^`]+)`([^`]*)/g)];
    if (named.length === 0) say('names no test');
    for (const [, name = '', words = ''] of named) {
      const found = files.get(name);
      if (found === undefined) {
        say(`no test file is called ${name}`);
        continue;
      }
      const names = found.flatMap(testNames);
      for (const phrase of words.split(/[,;]/).map((each) => each.trim().toLowerCase())) {
        if (phrase !== '' && !names.some((each) => each.includes(phrase))) {
          say(`no test of ${found.join(' or ')} has '${phrase}' in its name`);
        }
      }
    }
  }
  assert.deepEqual(problems, []);
});
