/**
 * A planted bug: a unified diff of one file of native/, after a header that says what it breaks.
 *
 *     What: one sentence: what the store now does wrong.
 *     Promise: P1, P2
 *     Suite: native/store
 *     Cases: store crash: a FUA overwrite*
 *     Env: ASHLAR_CRASH_STATES=20000
 *     --- a/native/store/volume.cc
 *     +++ b/native/store/volume.cc
 *     @@ …
 *
 * `Cases` is a doctest filter (commas between several); `Env` may be left out.
 */
import fs from 'node:fs';
import path from 'node:path';

export interface PlantedBug {
  /** The patch's file name without its ending. */
  name: string;
  what: string;
  /** P1 … P13 of test/RELIABILITY.md that it breaks. */
  promises: string[];
  /** The suite that must fail: `native/<folder>`. */
  suite: string;
  /** The doctest filter of the test cases that must fail. */
  cases: string;
  env: Record<string, string>;
  /** The file that it changes, relative to the checkout. */
  file: string;
  hunks: Hunk[];
}

/** Lines that must be in the file, once and in this order, and what they become. */
interface Hunk {
  before: string;
  after: string;
}

const fields = ['What', 'Promise', 'Suite', 'Cases', 'Env'];

function parse(name: string, text: string): PlantedBug {
  const header = new Map<string, string>();
  let file = '';
  const hunks: { before: string[]; after: string[] }[] = [];
  for (const line of text.split('\n')) {
    const [, field, value] = /^(\w+): (.*)$/.exec(line) ?? [];
    const hunk = hunks.at(-1);
    if (line.startsWith('+++ b/')) file = line.slice('+++ b/'.length);
    else if (line.startsWith('@@')) hunks.push({ before: [], after: [] });
    else if (hunk !== undefined && line !== '') {
      if (line[0] !== '+') hunk.before.push(line.slice(1));
      if (line[0] !== '-') hunk.after.push(line.slice(1));
    } else if (field !== undefined && fields.includes(field)) header.set(field, value ?? '');
    else if (line !== '' && !line.startsWith('--- ')) throw new Error(`${name}: what is ${line}?`);
  }
  const need = (field: string): string => {
    const value = header.get(field);
    if (value === undefined || value === '') throw new Error(`${name}.patch has no ${field}`);
    return value;
  };
  if (!/^native\/.*\.cc$/.test(file)) {
    throw new Error(`${name}.patch changes ${file}; one .cc file of native/ is possible`);
  }
  const env = (header.get('Env') ?? '').split(' ').filter((word) => word !== '');
  return {
    name,
    what: need('What'),
    promises: need('Promise').split(', '),
    suite: need('Suite'),
    cases: need('Cases'),
    env: Object.fromEntries(env.map((word) => word.split('=', 2) as [string, string])),
    file,
    hunks: hunks.map(({ before, after }) => ({
      before: before.map((line) => `${line}\n`).join(''),
      after: after.map((line) => `${line}\n`).join(''),
    })),
  };
}

/** Every `*.patch` of a folder, by name. */
export function plantedBugs(folder: string): PlantedBug[] {
  return fs
    .readdirSync(folder)
    .filter((file) => file.endsWith('.patch'))
    .sort()
    .map((file) => {
      const name = file.slice(0, -'.patch'.length);
      return parse(name, fs.readFileSync(path.join(folder, file), 'utf8'));
    });
}

/**
 * The file's text with the bug in it. Line numbers do not count, the lines themselves do.
 *
 * @throws Error naming the patch when the lines are not there, or there more than once.
 */
export function plant(bug: PlantedBug, text: string): string {
  let planted = text;
  for (const [at, { before, after }] of bug.hunks.entries()) {
    const place = planted.indexOf(before);
    const hunk = `${bug.name}.patch no longer applies: hunk ${at + 1} of ${bug.file}`;
    if (place < 0) throw new Error(`${hunk} is not there; renew the patch:\n${before}`);
    if (planted.indexOf(before, place + 1) >= 0) {
      throw new Error(`${hunk} is there twice; give it more lines around:\n${before}`);
    }
    planted = planted.slice(0, place) + after + planted.slice(place + before.length);
  }
  return planted;
}
