/** Which policy a volume or a tenant has: a field of dialogs. */
import type { Policy } from '../../api/contract.js';
import { call, rights } from './api.js';
import { word } from './format.js';
import { of } from './input.js';
import { allPages } from './live.js';
import { limitsText } from './policy_text.js';
import type { Field, Values } from './task.js';

export const allPolicies = (): Promise<Policy[]> =>
  allPages((cursor) => call('listPolicies', { query: cursor === undefined ? {} : { cursor } }));

/**
 * Those that may be chosen: of a tenant's admin the offered ones. No field where there is nothing
 * to choose.
 */
export async function policyChoice(current: string | null): Promise<Field[]> {
  const { node } = rights();
  const all = await allPolicies();
  const possible = all.filter(({ name, offered }) => node || offered || name === current);
  if (possible.length === 0 && current === null) return [];
  return [
    {
      name: 'policy',
      label: 'Policy',
      kind: 'choice',
      initial: current ?? '',
      options: [
        ['', 'none: no limits of its own'],
        ...possible.map((policy): [string, string] => [
          policy.name,
          `${policy.name}: ${limitsText(policy)}`,
        ]),
      ],
    },
  ];
}

/** Null: none. */
export const policyOf = (values: Values): string | null => of(values, 'policy') || null;

export const policyFlag = (values: Values): string =>
  of(values, 'policy') === '' ? '' : `--policy ${word(of(values, 'policy'))}`;
