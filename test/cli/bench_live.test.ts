/** What a person sees while a benchmark runs: the frame, and where it is drawn. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Round } from '../../lib/bench/results.js';
import { BenchLive, type LiveState, liveFrame, roundFigures } from '../../lib/cli/bench_live.js';
import { sampleResult } from '../bench/samples.js';

const sample = sampleResult({ iops: { self: 100_000 }, limit: 200_000, noise: 0 });
const [result] = sample.results;
const round = result?.rounds[0] as Round;
const plan = { scenarios: ['a', 'b', 'c', 'd'], rounds: 5, subjects: 2, turnMs: 1000 };

function stateWith(changes: Partial<LiveState>): LiveState {
  return {
    ...{ plan, done: 0, elapsedMs: 0, turnElapsedMs: 0, scenario: null, subject: '' },
    ...{ round: 0, last: null, notice: null },
    ...changes,
  };
}

test('frame: before anything has been seen the time left is the planned one', () => {
  const [first] = liveFrame(stateWith({}), 80);
  assert.equal(first, `[${'-'.repeat(30)}]   0 %  0:00 gone, about 0:40 left`);
});

test('frame: half way, with the time that turns really took', () => {
  const state = stateWith({ done: 20, elapsedMs: 120_000, scenario: 'c', subject: 'self' });
  const lines = liveFrame({ ...state, round: 1, last: round }, 80);
  assert.equal(lines[0], `[${'#'.repeat(15)}${'-'.repeat(15)}]  50 %  2:00 gone, about 2:00 left`);
  assert.equal(lines[1], 'scenario 3 of 4, round 2 of 5: c on self');
  assert.match(lines[2] ?? '', /^last round: .* 50 % of the limit$/);
  assert.equal(lines[3], `[${'#'.repeat(15)}${'-'.repeat(15)}] of what loopback TCP does`);
});

test('frame: a turn that takes longer than those before it counts as one turn', () => {
  const late = { done: 1, elapsedMs: 60_000, turnElapsedMs: 59_000, scenario: 'a', subject: 's' };
  const [first] = liveFrame(stateWith(late), 80);
  assert.match(first ?? '', /\] {3}4 % {2}1:00 gone, about 0:38 left$/);
});

test('frame: as many lines as ever, none wider than the terminal, no control characters', () => {
  const odd = stateWith({
    scenario: 'c',
    subject: '\x1b[2Jx',
    last: round,
    notice: 'n'.repeat(99),
  });
  for (const width of [1, 20, 79]) {
    const lines = liveFrame(odd, width);
    assert.equal(lines.length, liveFrame(stateWith({}), width).length);
    for (const line of lines) {
      assert.ok([...line].length <= width);
      assert.doesNotMatch(line, /\p{Cc}/u);
    }
  }
});

test('figures: a failed round says what failed', () => {
  const where = { op: 'read' as const, nsid: 1, lba: 7, queue: 1 };
  const failure = { kind: 'lost' as const, message: 'read of LBA 7: lost', ...where };
  assert.equal(roundFigures({ ...round, failure }), 'read of LBA 7: lost');
});

class Screen {
  text = '';
  readonly columns = 80;
  constructor(readonly isTTY: boolean) {}
  write(text: string): void {
    this.text += text;
  }
}

function play(live: BenchLive): void {
  if (result === undefined) throw new Error('no sample');
  const { name } = result.scenario;
  live.hear({ kind: 'preparing', what: 'filling' });
  live.hear({ kind: 'round-begins', scenario: name, subject: 'self', index: 0, turn: 1 });
  live.hear({ kind: 'round-ends', result, round, turn: 1, turns: 3 });
  live.end();
}

test('no terminal: one plain line for each round', () => {
  const screen = new Screen(false);
  play(new BenchLive({ ...plan, scenarios: ['a'] }, screen));
  const lines = screen.text.split('\n');
  assert.equal(lines[0], 'filling …');
  assert.match(lines[1] ?? '', /^\[1\/3\] 4 KiB random read, depth 1 \(self\), round 1: .* p99 /);
  assert.equal(lines.length, 3);
  assert.ok(!screen.text.includes('\x1b'));
});

test('a terminal: each frame lies over the one before, and at the end nothing is left', () => {
  const screen = new Screen(true);
  play(new BenchLive(plan, screen));
  // What the terminal shows: rows from the first line drawn, and where the cursor is.
  const rows: string[] = [''];
  let row = 0;
  const pieces = screen.text.split(/(?=\p{Cc})|(?<=\p{Cc}\[\d*[A-Z]|\r|\n)/u);
  for (const piece of pieces) {
    const up = /^.\[(\d+)A$/.exec(piece);
    if (up !== null) row -= Number(up[1]);
    else if (piece === '\n') row += 1;
    else if (piece === '\x1b[J') rows.length = row;
    else if (piece !== '\r' && piece !== '\x1b[K') rows[row] = piece;
    assert.ok(row >= 0, 'never above where it began');
  }
  assert.deepEqual([rows, row], [[], 0]);
  assert.ok(!screen.text.includes('\x1b[?'), 'no mode is set that somebody would have to undo');
});
