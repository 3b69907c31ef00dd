/** What is the matter with a volume, seen from its daemon. */
import type { Volume } from '../../api/contract.js';
import type { Encodable } from '../wire/fields.js';
import type * as m from '../wire/messages.js';
import type { Found } from './endpoints.js';

/** How many volumes of a list are asked about at once. */
const atOnce = 16;

/** What a volume is like before a node has it, which is nothing that anybody has to mend. */
const usual: ReadonlySet<string> = new Set(['not-granted', 'host-not-connected']);

/** Null: it is not there any more. */
export async function conditionOf(
  { endpoint, item }: Found<Volume>,
  signal: AbortSignal,
): Promise<Encodable<typeof m.VolumeCondition> | null> {
  const input = { params: { volume: item.uuid } };
  const explained = await endpoint.lookUp('explainVolume', input, signal);
  if (explained === null) return null;
  const told = explained.conditions.filter(
    ({ severity, kind }) => severity !== 'info' && !usual.has(kind),
  );
  const abnormal = told.some(({ severity }) => severity === 'error');
  const message = told
    .map((each) => (each.nextStep === null ? each.message : `${each.message} (${each.nextStep})`))
    .join('; ');
  return { abnormal, message: message === '' ? 'nothing is wrong' : message };
}

/** Of many, in their order; those that have gone meanwhile are left out. */
export async function conditionsOf(
  volumes: readonly Found<Volume>[],
  signal: AbortSignal,
): Promise<{ found: Found<Volume>; condition: Encodable<typeof m.VolumeCondition> }[]> {
  const conditions = new Map<Found<Volume>, Encodable<typeof m.VolumeCondition>>();
  const waiting = volumes.values();
  const work = async (): Promise<void> => {
    for (const found of waiting) {
      const condition = await conditionOf(found, signal);
      if (condition !== null) conditions.set(found, condition);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, volumes.length) }, work));
  return volumes.flatMap((found) => {
    const condition = conditions.get(found);
    return condition === undefined ? [] : [{ found, condition }];
  });
}
