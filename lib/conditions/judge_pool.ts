/** Judges a pool by what is known of it. Pure, as judge.ts. */
import { formatSizeShort } from '../config/units.js';
import { judged } from './pieces.js';
import type { Condition, PoolExplanation, PoolFacts } from './types.js';

type PoolCondition = Condition<PoolExplanation['conditions'][number]['kind']>;

/** As the alerts of deploy/prometheus have it. */
const scarcePercent = 10n;

export function explainPool(facts: PoolFacts): PoolExplanation {
  const conditions = [
    ...ofFailure(facts),
    ...ofDevices(facts),
    ...ofCheck(facts),
    ...ofSpace(facts),
    ...ofPromises(facts),
  ];
  return { pool: facts.name, ...judged(conditions, null) };
}

function ofFailure({ pool }: PoolFacts): PoolCondition[] {
  if (!pool.failed) return [];
  return [
    {
      kind: 'pool-failed',
      severity: 'error',
      message: `it acknowledges nothing any more: ${pool.failure ?? 'a device failed'}`,
      nextStep: 'mend what is under it, start the daemon again, then "ashlar pool check"',
    },
  ];
}

function ofDevices({ pool }: PoolFacts): PoolCondition[] {
  return pool.devices.flatMap(({ index, path, state, readErrors, writeErrors }) => {
    const which = `device ${index}${path === null ? '' : ` (${path})`}`;
    const lost = 'blocks that lie there answer with media errors';
    const told: PoolCondition[] = [];
    if (state === 'missing') {
      told.push({
        kind: 'device-missing',
        severity: 'error',
        message: `${which} is missing: ${lost}`,
        nextStep: '"ashlar pool device attach PATH", with where it is now',
      });
    } else if (state === 'failed') {
      told.push({
        kind: 'device-failed',
        severity: 'error',
        message: `${which} has failed: ${lost}`,
        nextStep: 'what lay on it is to be taken from a backup; "ashlar pool device list"',
      });
    }
    if (readErrors + writeErrors > 0n) {
      told.push({
        kind: 'device-errors',
        severity: 'warning',
        message: `${which} failed ${readErrors} reads and ${writeErrors} writes since the start`,
        nextStep: '"dmesg" and "smartctl -a" say what is wrong with it; then "ashlar pool check"',
      });
    }
    return told;
  });
}

function ofCheck({ lastCheck }: PoolFacts): PoolCondition[] {
  if (lastCheck === null || lastCheck.problems === 0) return [];
  const { problems, endedAt } = lastCheck;
  return [
    {
      kind: 'check-found-problems',
      severity: 'error',
      message: `the check that ended at ${endedAt} found ${problems} problems`,
      nextStep:
        '"ashlar pool check" lists them; export what matters, stop the daemon, then "ashlar pool check --repair"',
    },
  ];
}

function ofSpace({ pool }: PoolFacts): PoolCondition[] {
  if (pool.failed) return [];
  const { chunkBytes, totalChunks, freeChunks, reservedChunks, reclaimingChunks } = pool;
  const available = freeChunks - reservedChunks;
  const nextStep = '"ashlar pool device add PATH", delete snapshots, or fstrim on hosts';
  const told: PoolCondition[] = [];
  if (available <= 0n) {
    const message = 'it is full: writes that need new space fail, but to reserved volumes';
    told.push({ kind: 'pool-full', severity: 'error', message, nextStep });
  } else if (available * 100n < totalChunks * scarcePercent) {
    const left = formatSizeShort(available * chunkBytes);
    const message = `${left} of ${formatSizeShort(totalChunks * chunkBytes)} are left`;
    told.push({ kind: 'pool-nearly-full', severity: 'warning', message, nextStep });
  }
  if (reclaimingChunks > 0n) {
    const coming = formatSizeShort(reclaimingChunks * chunkBytes);
    const message = `${coming} of deleted layers are on their way back`;
    told.push({ kind: 'reclaiming', severity: 'info', message, nextStep: null });
  }
  return told;
}

/** Thin volumes may promise more than there is; who promised it should know. */
function ofPromises({ pool, provisionedBytes }: PoolFacts): PoolCondition[] {
  const usable = pool.totalChunks * pool.chunkBytes;
  if (provisionedBytes <= usable) return [];
  const message =
    `its volumes may grow to ${formatSizeShort(provisionedBytes)}, ` +
    `and it has ${formatSizeShort(usable)}`;
  const nextStep = 'watch how it fills; what must never fail: "ashlar volume reserve VOLUME"';
  return [{ kind: 'overcommitted', severity: 'info', message, nextStep }];
}
