/** What goes into and comes out of the operations on conditions; see contract.ts. */
import Type from 'typebox';
import {
  conditionKinds,
  hostConditionKinds,
  poolConditionKinds,
  tenantConditionKinds,
} from '../../conditions/types.js';
import { hostParams } from './hosts.js';
import { poolParams } from './pools.js';
import { exact, none, orNull, target, text, volumeParams } from './schemas.js';
import { tenantParams } from './tenants.js';

/** What an explanation has beside the names of its thing. */
function judged<const K extends string>(what: string, kinds: readonly K[]) {
  const condition = Type.Object(
    {
      kind: Type.Enum([...kinds], { description: 'Which condition, for programs.' }),
      severity: Type.Enum(['info', 'warning', 'error'], {
        description:
          '"error": it cannot be used, or part of it; "warning": look at it; "info": it is so.',
      }),
      message: text('One line for people: what, and why.'),
      nextStep: orNull(text('What to do next; null: nothing needs to be done.')),
    },
    { ...exact, description: `Something that keeps a ${what} from being used as it should.` },
  );
  return {
    healthy: Type.Boolean({ description: 'No warning and no error is among the conditions.' }),
    conditions: Type.Array(condition, { description: 'The worst first.' }),
  };
}

const about = (what: string) => ({
  ...exact,
  description: `Every condition of a ${what}, at this moment.`,
});
const owner = text('Who owns it.');

export const explanationSchema = Type.Object(
  { volume: text('Name of the volume.'), tenant: owner, ...judged('volume', conditionKinds) },
  about('volume'),
);
const poolExplanation = Type.Object(
  { pool: text('Name of the pool.'), ...judged('pool', poolConditionKinds) },
  about('pool'),
);
const hostExplanation = Type.Object(
  { host: text('Its NQN.'), tenant: owner, ...judged('host', hostConditionKinds) },
  about('host'),
);
const tenantExplanation = Type.Object(
  { tenant: text('Its name.'), ...judged('tenant', tenantConditionKinds) },
  about('tenant'),
);

const summary = (what: string) =>
  `What keeps a ${what} from being used as it should, and what to do next`;

export const conditionContract = {
  explainVolume: {
    summary: summary('volume'),
    params: volumeParams,
    query: target,
    body: none,
    response: explanationSchema,
  },
  explainPool: {
    summary: summary('pool'),
    params: poolParams,
    query: none,
    body: none,
    response: poolExplanation,
  },
  explainHost: {
    summary: summary('host'),
    params: hostParams,
    query: target,
    body: none,
    response: hostExplanation,
  },
  explainTenant: {
    summary: summary('tenant'),
    params: tenantParams,
    query: none,
    body: none,
    response: tenantExplanation,
  },
} as const;
