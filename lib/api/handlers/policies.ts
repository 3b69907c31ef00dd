/** What the operations on policies do; see handlers.ts. */
import type { Caller } from '../../access/types.js';
import { AshlarError } from '../../errors.js';
import type { Node } from '../../node/types.js';
import { nameFilter } from '../../volumes/filters.js';
import type { PolicyInfo, SetPolicy } from '../../volumes/policy_types.js';
import type { CallOptions } from '../../volumes/types.js';
import { toInteger } from '../codec.js';
import type { Input, Policy } from '../contract.js';
import type { Handlers } from '../server.js';
import { callOptions, page } from './inputs.js';

type PolicyOperation = Extract<keyof Handlers, `${string}Policy` | `${string}Policies`>;

export function policyOperations({ policies }: Node): Pick<Handlers, PolicyOperation> {
  return {
    listPolicies: async ({ query }, _signal, caller) => {
      const matches = nameFilter(query.name);
      const all = policies.list(seenBy(caller)).filter(({ name }) => matches(name));
      return page(all.map(policyObject), query, ({ name }) => name);
    },
    createPolicy: async ({ body, query }, signal) => {
      const { name, ...rest } = body;
      const made = await policies.create(name, settingsOf(rest), callOptions(query, signal));
      return policyObject(made);
    },
    getPolicy: async ({ params }, _signal, caller) =>
      policyObject(policies.show(params.policy, seenBy(caller))),
    changePolicy: async ({ params, body }, signal) => {
      const { name, ...rest } = body;
      const change = { ...settingsOf(rest), name };
      return policyObject(await policies.change(params.policy, change, { signal }));
    },
    deletePolicy: async ({ params, query }, signal) => {
      await policies.delete(params.policy, callOptions(query, signal));
      return {};
    },
  };
}

const seenBy = ({ tenant }: Caller): CallOptions => ({ tenant: tenant ?? undefined });

/**
 * Whether the caller may give the policy to a volume that has `before`. A tenant's admin chooses
 * among those that are offered, and takes none away that is not.
 *
 * @throws AshlarError permission-denied; not-found: it does not see it.
 */
export function assertMayChoose(
  { policies }: Node,
  caller: Caller,
  policy: string | null | undefined,
  before: string | null,
): void {
  if (caller.tenant === null || policy === undefined || policy === before) return;
  for (const name of [policy, before]) {
    if (name === null || policies.show(name, seenBy(caller)).offered) continue;
    throw new AshlarError(
      'permission-denied',
      `policy '${name}' is not offered to tenants: an admin of the node gives and takes it`,
    );
  }
}

type SettingsInput = Omit<Input<'changePolicy'>['body'], 'name'>;

function settingsOf(input: SettingsInput): SetPolicy {
  const rate = (value: number | null | undefined): bigint | null | undefined =>
    typeof value === 'number' ? BigInt(value) : value;
  const { burstPercent, burstSeconds, weight, offered } = input;
  return {
    readIops: rate(input.readIops),
    writeIops: rate(input.writeIops),
    iops: rate(input.iops),
    readBytesPerSecond: rate(input.readBytesPerSecond),
    writeBytesPerSecond: rate(input.writeBytesPerSecond),
    bytesPerSecond: rate(input.bytesPerSecond),
    burstPercent,
    burstSeconds,
    weight,
    offered,
  };
}

function policyObject(policy: PolicyInfo): Policy {
  const rate = (value: bigint | null): number | null => (value === null ? null : toInteger(value));
  return {
    ...policy,
    readIops: rate(policy.readIops),
    writeIops: rate(policy.writeIops),
    iops: rate(policy.iops),
    readBytesPerSecond: rate(policy.readBytesPerSecond),
    writeBytesPerSecond: rate(policy.writeBytesPerSecond),
    bytesPerSecond: rate(policy.bytesPerSecond),
  };
}
