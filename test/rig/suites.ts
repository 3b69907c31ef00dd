/** What there is to run: one suite per compiled test file, and one per folder of C++ tests. */
import fs from 'node:fs';
import path from 'node:path';

/** The checkout. The rig is started there. */
export const root = process.cwd();

/** One child process of the rig. */
export interface Suite {
  /** `area/name`, what `--only` is compared with. */
  name: string;
  kind: 'node' | 'doctest';
  command: string;
  args: string[];
  /** The Debian of the guest that it boots; null: it boots none. */
  guest: string | null;
  /** The watchdog: it is killed, and has failed, after this long. */
  budgetMs: number;
  /** Smaller starts earlier. */
  rank: number;
  /** Runs with nothing beside it: its figures or its timing would suffer. */
  alone: boolean;
}

const nativeProgram = path.join(root, '.build/native/ashlar_tests');

// Areas and suites that need something else than four minutes among the others. A guest emulates
// two processors, which is all that a small machine has: the longest starts first with small suites
// beside it, the others come later, and those that suffer most from company come alone.
const plans: Record<string, { budgetMs?: number; rank?: number; alone?: boolean }> = {
  kernel: { budgetMs: 900_000, rank: 3 },
  'kernel/kernel': { budgetMs: 900_000, rank: 0 },
  'kernel/multipath': { budgetMs: 600_000, alone: true },
  // Hundreds of calls, one after the other: beside other suites each takes twice as long.
  'kernel/csi': { budgetMs: 900_000, alone: true },
  native: { budgetMs: 900_000, rank: 1 },
  fuzz: { budgetMs: 240_000 * Number(process.env['ASHLAR_SOAK'] ?? 1), rank: 2 },
  kill: { budgetMs: 300_000, rank: 2 },
  daemon: { budgetMs: 300_000, rank: 3 },
  instructions: { budgetMs: 300_000, rank: 3 },
  planted: { budgetMs: process.env['ASHLAR_PLANTED'] === undefined ? 300_000 : 3_600_000, rank: 2 },
  smoke: { budgetMs: 240_000, rank: 4 },
  cli: { budgetMs: 300_000, rank: 4 },
};

function plan(area: string, suite: string): { budgetMs: number; rank: number; alone: boolean } {
  return { budgetMs: 240_000, rank: 5, alone: false, ...(plans[suite] ?? plans[area]) };
}

function foldersWith(folder: string, ending: string): string[] {
  return fs
    .readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .filter((name) => filesWith(path.join(folder, name), ending).length > 0);
}

function filesWith(folder: string, ending: string): string[] {
  return fs
    .readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(ending));
}

function nativeSuites(): Suite[] {
  return foldersWith(path.join(root, 'test/native'), '_test.cc').map((folder) => ({
    name: `native/${folder}`,
    kind: 'doctest',
    command: nativeProgram,
    args: [`--source-file=${folder}/*`, '--no-colors=true'],
    guest: null,
    ...plan('native', `native/${folder}`),
  }));
}

/**
 * `debian` is the Debian of the guests. What only one of them can show is in a folder of its name,
 * test/kernel/trixie, and not listed for the others.
 */
function nodeSuites(debian: string): Suite[] {
  const all = filesWith(path.join(root, 'test'), '.test.ts').map((file): Suite => {
    const name = file.slice(0, -'.test.ts'.length);
    const area = name.split(path.sep)[0] ?? name;
    const compiled = path.join(root, '.build/test', `${name}.test.js`);
    return {
      name,
      kind: 'node',
      command: process.execPath,
      args: ['--enable-source-maps', compiled],
      guest: area === 'kernel' ? debian : null,
      ...plan(area, name),
    };
  });
  return all.filter(({ name }) => {
    const [area, folder, ...rest] = name.split(path.sep);
    return area !== 'kernel' || rest.length === 0 || folder === debian;
  });
}

const apart = [
  'kernel',
  'native',
  'protocol',
  'daemon',
  'smoke',
  'package',
  'kill',
  'planted',
  'fuzz',
  'instructions',
];

/** Does `--only wanted` mean this suite? `unit` is every area without a word of its own. */
export function matches(suite: Suite, wanted: string): boolean {
  const area = suite.name.split('/')[0] ?? '';
  if (wanted === 'unit') return !apart.includes(area);
  return suite.name === wanted || suite.name.startsWith(`${wanted}/`);
}

/** Every suite there is for guests of that Debian, in the order in which they start. */
export function allSuites(debian: string): Suite[] {
  return [...nativeSuites(), ...nodeSuites(debian)].sort(
    (a, b) => a.rank - b.rank || a.name.localeCompare(b.name),
  );
}
