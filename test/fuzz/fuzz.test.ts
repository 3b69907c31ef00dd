/**
 * Every fuzz target for a while: the kept inputs, then new ones under ASan and UBSan. A failure
 * says the line that replays it. ASHLAR_FUZZ_SECONDS is how long each runs (30 when not set),
 * ASHLAR_SOAK multiplies it. Everybody's run is the same, so that a change that breaks nothing breaks
 * no run of it; new inputs are what `npm run fuzz` is for, or ASHLAR_SEED.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { writeReport } from '../rig/report.js';
import { essence, fuzz, readCorpus, replayLine, targets } from './targets.js';

const soak = Number(process.env['ASHLAR_SOAK'] ?? 1);
const seconds = Number(process.env['ASHLAR_FUZZ_SECONDS'] ?? 30) * soak;
const seed = Number(process.env['ASHLAR_SEED'] ?? 1) >>> 0;
/**
 * Executions at most of targets that open a pool in each: a faster machine goes no further than the
 * others have been. The rest have all the time.
 */
const executionsOf: Readonly<Record<string, number>> =
  process.env['ASHLAR_SEED'] === undefined ? { image: 800 * soak, journal: 800 * soak } : {};

// Two at a time: there are other suites beside this one.
describe(`seed ${seed}`, { concurrency: 2 }, () => {
  for (const [target, promises] of Object.entries(targets)) {
    test(`fuzz: ${target}: kept and new inputs: nothing that must not be`, async () => {
      const started = Date.now();
      const kept = readCorpus(target).length;
      assert.ok(kept > 0, `test/fuzz/corpus/${target}.hex has no input`);
      const outcome = await fuzz(target, {
        seconds,
        executions: executionsOf[target] ?? -1,
        seed,
        afresh: true,
      });
      const failure = outcome.failure === null ? '' : replayLine(target, outcome.failure);
      assert.equal(failure, '', `${failure}\n${essence(outcome.log)}`);
      assert.ok(outcome.executions > kept, `${outcome.executions} executions of ${kept} kept`);
      writeReport({
        suite: `fuzz ${target}`,
        promises: [...promises],
        counts: {
          executions: outcome.executions,
          'inputs kept': kept,
          features: outcome.features,
          'new features': outcome.newFeatures,
        },
        seconds: (Date.now() - started) / 1000,
        seed: String(seed),
      });
    });
  }
});
