/** `npm run fuzz`: one target or all, for as long as you like; or one input again. */
import { parseArgs } from 'node:util';
import { essence, fuzz, keep, type Outcome, replay, replayLine, targets } from './targets.js';

const usage = `npm run fuzz -- [--target name]... [--seconds n] [--seed n] [--input hex] [--keep]

  --target target   one of ${Object.keys(targets).join(', ')}; all, one after the other, when not given
  --seconds 600     how long each runs; 60 when not given
  --input 0a1b      runs that input alone, as the line of a failure says
  --keep            afterwards makes test/fuzz/corpus the smallest that sees all that was seen
`;

/** The kept corpus of a target is at most this long before it is written as text. */
const keptBytes = 24 * 1024;

function tell(target: string, outcome: Outcome): void {
  if (outcome.failure === null) {
    const { executions, features, newFeatures } = outcome;
    process.stdout.write(
      `${target}: ${executions} executions, ${features} features, ${newFeatures} of them new\n`,
    );
    return;
  }
  process.exitCode = 1;
  process.stdout.write(`${essence(outcome.log)}\n${target} failed; again:\n`);
  process.stdout.write(`${replayLine(target, outcome.failure)}\n`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      target: { type: 'string', multiple: true },
      seconds: { type: 'string', default: '60' },
      seed: { type: 'string' },
      input: { type: 'string' },
      keep: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  });
  if (values.help === true) {
    process.stdout.write(usage);
    return;
  }
  for (const target of values.target ?? Object.keys(targets)) {
    if (!Object.hasOwn(targets, target)) throw new Error(`no target is called ${target}\n${usage}`);
    if (values.input !== undefined) {
      tell(target, await replay(target, values.input));
      continue;
    }
    const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
    tell(target, await fuzz(target, { seconds: Number(values.seconds), seed, afresh: false }));
    if (values.keep === true) process.stdout.write(`${keep(target, keptBytes)} inputs kept\n`);
  }
}

await main();
