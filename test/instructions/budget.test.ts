/**
 * What an I/O costs stays what it was: instructions, copies, and nothing allocated or locked. The
 * counts are exact for one compiler; see bench/instructions/instructions.cc for what they hold.
 */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import {
  countInstructions,
  type InstructionReport,
  type InstructionRow,
  judgeRow,
  readBudget,
} from '../../bench/instructions.js';

const root = process.cwd();
const budget = await readBudget(root);
let report: InstructionReport;

function find(name: string): InstructionRow {
  const row = report.rows.find((each) => each.row === name);
  if (row === undefined) throw new Error(`no row '${name}'`);
  return row;
}

before(async () => {
  report = await countInstructions(root);
});

describe('instructions of an I/O', () => {
  for (const name of Object.keys(budget.rows)) {
    test(`${name}: within its budget`, (t) => {
      const { compiler, machine } = report;
      if (compiler !== budget.compiler || machine !== budget.machine) {
        t.skip(
          `made by ${compiler} for ${machine}, the budget is of ${budget.compiler} for ` +
            `${budget.machine}: instructions do not compare`,
        );
        return;
      }
      const verdict = judgeRow(find(name), budget);
      if (verdict.kind === 'under') t.diagnostic(verdict.message);
      assert.ok(verdict.kind !== 'over', verdict.kind === 'over' ? verdict.message : '');
    });
  }

  test('every row has a budget', () => {
    const without = report.rows.filter((row) => judgeRow(row, budget).kind === 'unknown');
    assert.deepEqual(
      without.map(({ row }) => row),
      [],
    );
  });
});

describe('an I/O of a mapped block', () => {
  test('allocates nothing, frees nothing and takes no mutex', () => {
    const wrong = report.rows.filter(
      (row) => !row.row.startsWith('first write') && row.allocations + row.frees + row.locks > 0,
    );
    assert.deepEqual(wrong, []);
  });

  // A read is copied once, by the memory device; a write twice: out of the receive buffer too.
  test('is copied no more often than it must be', () => {
    const besides = 512;
    assert.ok(find('read 4 KiB, depth 32').copiedBytes < 4096 + besides);
    assert.ok(find('write 4 KiB, depth 32').copiedBytes < 2 * 4096 + besides);
    assert.ok(find('write 128 KiB, depth 32').copiedBytes < 2 * 131072 + besides);
  });
});

describe('flat', () => {
  const ratio = (many: string, one: string) => find(many).instructions / find(one).instructions;
  for (const op of ['read', 'write']) {
    test(`${op}: 1,000 connections cost no more than 1.1 times what one does`, () => {
      const measured = ratio(`${op} 4 KiB, 1000 connections`, `${op} 4 KiB, 1 connection`);
      assert.ok(measured <= 1.1, `${measured.toFixed(3)} times`);
    });
    test(`${op}: 10,000 volumes cost no more than 1.1 times what one does`, () => {
      const measured = ratio(`${op} 4 KiB, 10000 volumes`, `${op} 4 KiB, 1 volume`);
      assert.ok(measured <= 1.1, `${measured.toFixed(3)} times`);
    });
  }
  test('read: 16 snapshots cost no more than 1.1 times what none do', () => {
    const measured = ratio('read 4 KiB, 16 snapshots', 'read 4 KiB, depth 32');
    assert.ok(measured <= 1.1, `${measured.toFixed(3)} times`);
  });
});
