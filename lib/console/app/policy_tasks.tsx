/** What can be done with policies, and with the limits of a volume. */
import type { Policy, Volume } from '../../api/contract.js';
import { call, read } from './api.js';
import { cli, tenantFlag, word } from './format.js';
import {
  bytesOf,
  checkBurstPercent,
  checkBurstSeconds,
  checkByteRate,
  checkName,
  checkRate,
  checkWeight,
  formatSize,
  nameHint,
  of,
  wholeOf,
  written,
} from './input.js';
import { policyChoice, policyOf } from './policy_choice.js';
import { usersText } from './policy_text.js';
import type { Field, Task, Values } from './task.js';

const rates = ['iops', 'readIops', 'writeIops'] as const;
const byteRates = ['bytesPerSecond', 'readBytesPerSecond', 'writeBytesPerSecond'] as const;
const flags: Readonly<Record<(typeof rates)[number] | (typeof byteRates)[number], string>> = {
  iops: '--iops',
  readIops: '--read-iops',
  writeIops: '--write-iops',
  bytesPerSecond: '--rate',
  readBytesPerSecond: '--read-rate',
  writeBytesPerSecond: '--write-rate',
};
const most = Number.MAX_SAFE_INTEGER;
const limits = 'At most, a second (empty: no limit)';
const bursts = 'Bursts, from what was not used before';
const crowd = 'Where several want more than there is';

export const sizeWritten = (bytes: number | null): string =>
  bytes === null ? '' : formatSize(BigInt(bytes));

/** @param now as it is; null: a new one. */
function limitFields(now: Policy | null): Field[] {
  const rate = (name: (typeof rates)[number], label: string): Field => ({
    name,
    label,
    initial: written(now?.[name] ?? null),
    optional: true,
    check: checkRate,
    half: true,
    group: limits,
  });
  const bytes = (name: (typeof byteRates)[number], label: string): Field => ({
    ...rate('iops', label),
    name,
    initial: sizeWritten(now?.[name] ?? null),
    check: checkByteRate,
  });
  return [
    { ...rate('iops', 'Commands'), hint: "Such as '500' or '5k'." },
    { ...bytes('bytesPerSecond', 'Bytes'), hint: "Such as '50MiB'." },
    rate('readIops', 'Reads'),
    bytes('readBytesPerSecond', 'Bytes read'),
    rate('writeIops', 'Writes'),
    bytes('writeBytesPerSecond', 'Bytes written'),
    {
      name: 'burstPercent',
      label: 'As fast as, in percent',
      initial: String(now?.burstPercent ?? 100),
      check: checkBurstPercent,
      hint: '100: no bursts.',
      half: true,
      group: bursts,
    },
    {
      name: 'burstSeconds',
      label: 'For so many seconds',
      initial: String(now?.burstSeconds ?? 0),
      check: checkBurstSeconds,
      half: true,
      group: bursts,
    },
    {
      name: 'weight',
      label: 'Weight',
      initial: String(now?.weight ?? 100),
      check: checkWeight,
      hint: '100 is that of all who have no policy.',
      half: true,
      group: crowd,
    },
  ];
}

const offeredField = (now: Policy | null): Field => ({
  name: 'offered',
  label: 'Admins of tenants may give it to their volumes',
  kind: 'check',
  initial: String(now?.offered ?? false),
});

function settingsOf(values: Values) {
  const rate = (name: string): number | null =>
    of(values, name) === '' ? null : wholeOf(of(values, name), 1, most);
  const bytes = (name: string): number | null =>
    of(values, name) === '' ? null : bytesOf(of(values, name), 1);
  return {
    readIops: rate('readIops'),
    writeIops: rate('writeIops'),
    iops: rate('iops'),
    readBytesPerSecond: bytes('readBytesPerSecond'),
    writeBytesPerSecond: bytes('writeBytesPerSecond'),
    bytesPerSecond: bytes('bytesPerSecond'),
    burstPercent: wholeOf(of(values, 'burstPercent'), 0, most),
    burstSeconds: wholeOf(of(values, 'burstSeconds'), 0, most),
    weight: wholeOf(of(values, 'weight'), 0, most),
  };
}

/** Flags of what is not as it is without them; of a policy that is, of what differs from it. */
function settingFlags(values: Values, fields: readonly Field[], fresh: boolean): string {
  const initial = (name: string): string =>
    fields.find((field) => field.name === name)?.initial ?? '';
  const differs = (name: string): boolean => of(values, name) !== initial(name);
  const parts = [...rates, ...byteRates]
    .filter(differs)
    .map((name) => `${flags[name]} ${word(of(values, name).replaceAll(',', '') || 'none')}`);
  if (differs('burstPercent') || differs('burstSeconds')) {
    const none = of(values, 'burstPercent') === '100' || of(values, 'burstSeconds') === '0';
    const burst = `${of(values, 'burstPercent')}%/${of(values, 'burstSeconds')}s`;
    if (!none || !fresh) parts.push(`--burst ${none ? 'none' : word(burst)}`);
  }
  if (differs('weight')) parts.push(`--weight ${word(of(values, 'weight'))}`);
  if (differs('offered')) parts.push(values['offered'] === 'true' ? '--offered' : '--no-offered');
  return parts.join(' ');
}

export function createPolicy(): Task {
  const fields: Field[] = [
    { name: 'name', label: 'Name', hint: nameHint, check: checkName },
    ...limitFields(null),
    offeredField(null),
  ];
  return {
    title: 'Create a policy',
    verb: 'Create',
    about: <p>Commands over a limit wait in the target; none fails.</p>,
    fields,
    cli: (values) =>
      cli('policy create', word(of(values, 'name') || 'NAME'), settingFlags(values, fields, true)),
    run: async (values) => {
      const { name } = await call('createPolicy', {
        body: {
          name: of(values, 'name'),
          ...settingsOf(values),
          offered: values['offered'] === 'true',
        },
      });
      return `Policy '${name}' created. A volume's page gives it to the volume.`;
    },
  };
}

export async function changePolicy(policy: string): Promise<Task> {
  const { value, tag } = await read('getPolicy', { params: { policy } });
  const fields: Field[] = [
    { name: 'name', label: 'Name', initial: value.name, hint: nameHint, check: checkName },
    ...limitFields(value),
    offeredField(value),
  ];
  return {
    title: `Change policy '${policy}'`,
    verb: 'Change',
    about: (
      <p>
        At once for all that have it ({usersText(value)}), and for commands that wait at this
        moment.
      </p>
    ),
    fields,
    cli: (values) =>
      cli(
        'policy set',
        word(policy),
        settingFlags(values, fields, false),
        of(values, 'name') !== policy && `--name ${word(of(values, 'name'))}`,
      ),
    run: async (values) => {
      const name = of(values, 'name');
      const body = { ...settingsOf(values), name, offered: values['offered'] === 'true' };
      await call('changePolicy', { params: { policy }, body }, undefined, tag);
      return `Policy '${name}' is changed, from now on.`;
    },
  };
}

export function deletePolicy({ name, volumes, tenants }: Policy): Task {
  const used = volumes + tenants > 0;
  return {
    title: `Delete policy '${name}'`,
    verb: 'Delete',
    loses: used ? (
      <p>It is refused while a volume or a tenant has it; give them another, or none.</p>
    ) : (
      <p>Nobody has it.</p>
    ),
    cli: () => cli('policy delete', word(name)),
    run: async () => {
      await call('deletePolicy', { params: { policy: name } });
      return `Policy '${name}' deleted.`;
    },
  };
}

/** Which policy a volume has. */
export async function limitVolume({ uuid, tenant, name }: Volume): Promise<Task> {
  const query = { tenant };
  const { value, tag } = await read('getVolume', { params: { volume: uuid }, query });
  const fields = await policyChoice(value.policy);
  return {
    title: `Limits of '${value.name}'`,
    verb: 'Give it',
    about: (
      <p>
        {fields.length > 0
          ? 'A policy holds from now on, over all its hosts together, beside what limits its tenant.'
          : 'There is no policy to choose: a policy says how much hosts may do a second.'}
      </p>
    ),
    fields,
    cli: (values) =>
      cli(
        'volume limit',
        word(name),
        `--policy ${word(policyOf(values) ?? 'none')}`,
        tenantFlag(tenant),
      ),
    run: async (values) => {
      const policy = policyOf(values);
      await call(
        'changeVolume',
        { params: { volume: uuid }, query, body: { policy } },
        undefined,
        tag,
      );
      return policy === null
        ? `Volume '${name}' has no limits of its own.`
        : `Volume '${name}' has policy '${policy}', from now on.`;
    },
  };
}

/**
 * Limits of one volume alone: those of a policy that nobody else has. It is made when the volume
 * has none like that, and changed when it has.
 */
export async function ownLimits(volume: Volume): Promise<Task> {
  const { uuid, tenant, name } = volume;
  const query = { tenant };
  const seen = await read('getVolume', { params: { volume: uuid }, query });
  const { policy } = seen.value;
  const now = policy === null ? null : await read('getPolicy', { params: { policy } });
  const users = now === null ? 0 : now.value.volumes + now.value.tenants;
  if (policy !== null && users === 1 && now?.value.offered === false) {
    const change = await changePolicy(policy);
    return { ...change, title: `Limits of '${name}', policy '${policy}'` };
  }
  const fields: Field[] = [
    {
      name: 'name',
      label: 'Name of its policy',
      initial: name.slice(0, 63),
      hint: nameHint,
      check: checkName,
    },
    ...limitFields(now?.value ?? null),
  ];
  const shared =
    policy === null ? '' : ` Its policy '${policy}', which others may have too, stays as it is.`;
  return {
    title: `Limits of '${name}' alone`,
    verb: 'Set',
    about: <p>A policy for this volume is made, and given to it.{shared}</p>,
    fields,
    cli: (values) => {
      const named = word(of(values, 'name') || 'NAME');
      const create = cli('policy create', named, settingFlags(values, limitFields(null), true));
      return `${create} && ${cli('volume limit', word(name), `--policy ${named}`, tenantFlag(tenant))}`;
    },
    run: async (values) => {
      const body = { name: of(values, 'name'), ...settingsOf(values) };
      const made = await call('createPolicy', { body });
      try {
        const change = { params: { volume: uuid }, query, body: { policy: made.name } };
        await call('changeVolume', change, undefined, seen.tag);
      } catch (thrown) {
        await call('deletePolicy', { params: { policy: made.name } }).catch(() => undefined);
        throw thrown;
      }
      return `Volume '${name}' has limits of its own, in policy '${made.name}'.`;
    },
  };
}
