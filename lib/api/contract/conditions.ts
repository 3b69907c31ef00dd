/** What goes into and comes out of the operation on conditions; see contract.ts. */
import Type from 'typebox';
import { conditionKinds } from '../../conditions/types.js';
import { exact, none, orNull, target, text, volumeParams } from './schemas.js';

const conditionSchema = Type.Object(
  {
    kind: Type.Enum([...conditionKinds], { description: 'Which condition, for programs.' }),
    severity: Type.Enum(['info', 'warning', 'error'], {
      description:
        '"error": hosts cannot use it, or part of it; "warning": look at it; "info": it is so.',
    }),
    message: text('One line for people: what, and why.'),
    nextStep: orNull(text('What to do next; null: nothing needs to be done.')),
  },
  { ...exact, description: 'Something that keeps a volume from being used as it should.' },
);

export const explanationSchema = Type.Object(
  {
    volume: text('Name of the volume.'),
    tenant: text('Who owns it.'),
    healthy: Type.Boolean({ description: 'No warning and no error is among the conditions.' }),
    conditions: Type.Array(conditionSchema, { description: 'The worst first.' }),
  },
  { ...exact, description: 'Every condition of a volume, at this moment.' },
);

export const conditionContract = {
  explainVolume: {
    summary: 'What keeps a volume from being used as it should, and what to do next',
    params: volumeParams,
    query: target,
    body: none,
    response: explanationSchema,
  },
} as const;
