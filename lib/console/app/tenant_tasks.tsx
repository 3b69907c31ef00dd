/** What can be done with tenants and their quotas. */
import type { Tenant } from '../../api/contract.js';
import { call, read } from './api.js';
import { cli, count, plural, size, word } from './format.js';
import {
  bytesOf,
  checkByteRate,
  checkName,
  formatSize,
  nameHint,
  of,
  wholeNumber,
  wholeOf,
  written,
} from './input.js';
import { policyChoice, policyFlag, policyOf } from './policy_choice.js';
import type { Field, Task, Values } from './task.js';

const group = 'At most (empty: as much as the node can)';
const most = Number.MAX_SAFE_INTEGER;
const atLeastOne = wholeNumber(1, most);
const bytesWritten = (bytes: number | null): string =>
  bytes === null ? '' : formatSize(BigInt(bytes));

const quotaFlags = {
  'quota.capacityBytes': '--capacity',
  'quota.volumes': '--volumes',
  'quota.snapshots': '--snapshots',
  'quota.iops': '--iops',
  'quota.bytesPerSecond': '--rate',
} as const;

/** @param now as it is; null: a new one. */
function quotaFields(now: Tenant | null): Field[] {
  const quota = now?.quota ?? null;
  const has = (what: string): { hint?: string } =>
    now === null ? {} : { hint: `It has ${what}.` };
  const shared = { optional: true, half: true, group } as const;
  return [
    {
      ...shared,
      name: 'quota.capacityBytes',
      label: 'Capacity',
      initial: bytesWritten(quota?.capacityBytes ?? null),
      check: (text) => bytesOf(text, 1),
      hint: now === null ? "Sum of its volumes' sizes." : `It has ${size(now.provisionedBytes)}.`,
    },
    {
      ...shared,
      name: 'quota.volumes',
      label: 'Volumes',
      initial: written(quota?.volumes ?? null),
      check: atLeastOne,
      ...has(count(now?.volumes ?? 0)),
    },
    {
      ...shared,
      name: 'quota.snapshots',
      label: 'Snapshots',
      initial: written(quota?.snapshots ?? null),
      check: atLeastOne,
      ...has(count(now?.snapshots ?? 0)),
    },
    {
      ...shared,
      name: 'quota.iops',
      label: 'Commands a second',
      initial: written(quota?.iops ?? null),
      check: atLeastOne,
    },
    {
      ...shared,
      name: 'quota.bytesPerSecond',
      label: 'Bytes a second',
      initial: bytesWritten(quota?.bytesPerSecond ?? null),
      check: checkByteRate,
    },
  ];
}

function quotaOf(values: Values) {
  const whole = (name: string): number | null =>
    of(values, name) === '' ? null : wholeOf(of(values, name), 1, most);
  const bytes = (name: string): number | null =>
    of(values, name) === '' ? null : bytesOf(of(values, name), 1);
  return {
    capacityBytes: bytes('quota.capacityBytes'),
    volumes: whole('quota.volumes'),
    snapshots: whole('quota.snapshots'),
    iops: whole('quota.iops'),
    bytesPerSecond: bytes('quota.bytesPerSecond'),
  };
}

/** Flags of what differs from `fields`. */
function flagsOf(values: Values, fields: readonly Field[]): string {
  const initial = (name: string) => fields.find((each) => each.name === name)?.initial ?? '';
  return Object.entries(quotaFlags)
    .filter(([name]) => of(values, name) !== initial(name))
    .map(([name, flag]) => `${flag} ${word(of(values, name).replaceAll(',', '') || 'none')}`)
    .join(' ');
}

export async function createTenant(): Promise<Task> {
  const fields: Field[] = [
    { name: 'name', label: 'Name', hint: nameHint, check: checkName },
    ...quotaFields(null),
    ...(await policyChoice(null)),
  ];
  return {
    title: 'Create a tenant',
    verb: 'Create',
    about: <p>Its volumes are in a subsystem of their own; others see nothing of them.</p>,
    fields,
    cli: (values) =>
      cli(
        'tenant create',
        word(of(values, 'name') || 'NAME'),
        flagsOf(values, fields),
        policyFlag(values),
      ),
    run: async (values) => {
      const policy = policyOf(values);
      const { name } = await call('createTenant', {
        body: {
          name: of(values, 'name'),
          quota: quotaOf(values),
          ...(policy === null ? {} : { policy }),
        },
      });
      return `Tenant '${name}' created.`;
    },
  };
}

export async function changeTenant(tenant: string): Promise<Task> {
  const { value, tag } = await read('getTenant', { params: { tenant } });
  // The first tenant keeps its name.
  const rename: Field = {
    name: 'name',
    label: 'Name',
    initial: tenant,
    hint: nameHint,
    check: checkName,
  };
  const fields: Field[] = [
    ...(tenant === 'default' ? [] : [rename]),
    ...quotaFields(value),
    ...(await policyChoice(value.policy)),
  ];
  return {
    title: `Change tenant '${tenant}'`,
    verb: 'Change',
    about: (
      <p>
        A quota below what it has takes nothing away; it can only make no more. Limits a second hold
        at once, for all its volumes together.
      </p>
    ),
    fields,
    cli: (values) => {
      const [name, policy] = [of(values, 'name') || tenant, policyOf(values)];
      return cli(
        'tenant set',
        word(tenant),
        flagsOf(values, fields),
        policy !== value.policy && `--policy ${word(policy ?? 'none')}`,
        name !== tenant && `--name ${word(name)}`,
      );
    },
    run: async (values) => {
      const name = of(values, 'name') || tenant;
      const body = {
        quota: quotaOf(values),
        policy: policyOf(values),
        ...(name === tenant ? {} : { name }),
      };
      await call('changeTenant', { params: { tenant }, body }, undefined, tag);
      return `Tenant '${name}' is changed, from now on.`;
    },
  };
}

export function deleteTenant({ name, volumes, snapshots }: Tenant): Task {
  return {
    title: `Delete tenant '${name}'`,
    verb: 'Delete for good',
    loses: (
      <p>
        <strong>Its hosts, keys and tokens are lost.</strong> It has {plural(volumes, 'volume')} and{' '}
        {plural(snapshots, 'snapshot')}; with any it is refused.
      </p>
    ),
    confirmName: name,
    cli: () => cli('tenant delete', word(name)),
    run: async () => {
      await call('deleteTenant', { params: { tenant: name } });
      return `Tenant '${name}' deleted.`;
    },
  };
}
