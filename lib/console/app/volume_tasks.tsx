/** What can be done with volumes and snapshots. */
import type { Input, Snapshot, Volume } from '../../api/contract.js';
import { call, read } from './api.js';
import { cli, plural, size, tenantFlag, word } from './format.js';
import {
  bytesOf,
  checkName,
  checkNqnOrAny,
  checkSize,
  formatSize,
  linesOf,
  nameHint,
  of,
} from './input.js';
import { policyChoice, policyFlag, policyOf } from './policy_choice.js';
import { pathTo } from './router.js';
import type { Field, Task, Values } from './task.js';

export const volumePath = ({ tenant, name }: { tenant: string; name: string }): string =>
  pathTo('volumes', tenant, name);

const sizeHint = "For example '10GiB', '1.5TiB' or '500GB'. Space is taken as it is written.";
const hostsField: Field = {
  name: 'hosts',
  label: 'Hosts that may use it',
  kind: 'lines',
  optional: true,
  check: checkNqnOrAny,
  hint: "One NQN a line (it is in /etc/nvme/hostnqn), or '*' for any host.",
};
const reservedField: Field = {
  name: 'reserved',
  label: 'Reserve room for all its blocks',
  kind: 'check',
  hint: 'Its writes then never find the pool full.',
};
const forceField = (connections: number): Field[] =>
  connections === 0
    ? []
    : [
        {
          name: 'force',
          label: `Although ${plural(connections, 'controller')} of hosts have it`,
          kind: 'check',
          hint: 'Their I/O on it fails from then on. Unmount and disconnect there first, rather.',
        },
      ];
const forced = (values: Values): { force?: 'true' } =>
  values['force'] === 'true' ? { force: 'true' } : {};
const forceFlag = (values: Values): string => (values['force'] === 'true' ? '--force' : '');

function hostFlags(values: Values): string {
  const hosts = linesOf(of(values, 'hosts'));
  return hosts.length === 0 ? '' : `--host ${hosts.map(word).join(' ')}`;
}

/** Names of volumes, for a text field. */
export async function suggestVolumes(tenant: string, typed: string): Promise<string[]> {
  const name = typed === '' ? {} : { name: typed };
  const { items } = await call('listVolumes', { query: { tenant, limit: '20', ...name } });
  return items.map((each) => each.name);
}

export async function createVolume(tenants: readonly string[], tenant: string): Promise<Task> {
  const policies = await policyChoice(null);
  const tenantOf = (values: Values): string => of(values, 'tenant') || tenant;
  return {
    title: 'Create a volume',
    verb: 'Create',
    fields: [
      { name: 'name', label: 'Name', hint: nameHint, check: checkName },
      { name: 'sizeBytes', label: 'Size', hint: sizeHint, check: checkSize },
      ...tenantChoice(tenants, tenant),
      hostsField,
      {
        name: 'block',
        label: 'Block size',
        kind: 'choice',
        initial: '4096',
        options: [
          ['4096', '4,096 bytes'],
          ['512', '512 bytes, for what cannot do with more'],
        ],
      },
      ...policies,
      reservedField,
    ],
    cli: (values) =>
      cli(
        'volume create',
        word(of(values, 'name') || 'NAME'),
        `--size ${word(of(values, 'sizeBytes') || 'SIZE')}`,
        values['block'] === '512' && '--block-size 512',
        hostFlags(values),
        policyFlag(values),
        values['reserved'] === 'true' && '--reserved',
        tenantFlag(tenantOf(values)),
      ),
    run: async (values) => {
      const made = await call('createVolume', {
        query: { tenant: tenantOf(values) },
        body: {
          name: of(values, 'name'),
          sizeBytes: bytesOf(of(values, 'sizeBytes')),
          blockBytes: values['block'] === '512' ? 512 : 4096,
          hosts: linesOf(of(values, 'hosts')),
          reserved: values['reserved'] === 'true',
          policy: policyOf(values),
        },
      });
      return {
        said: `Volume '${made.name}' of ${size(made.sizeBytes)} created.`,
        to: volumePath(made),
      };
    },
  };
}

function tenantChoice(tenants: readonly string[], initial: string): Field[] {
  if (tenants.length < 2) return [];
  const options = tenants.map((name): [string, string] => [name, name]);
  return [{ name: 'tenant', label: 'Tenant', kind: 'choice', initial, options }];
}

/** A volume as it is now; by its UUID, which stays when somebody renames it. */
const fresh = ({ uuid, tenant }: Volume) =>
  read('getVolume', { params: { volume: uuid }, query: { tenant } });

type VolumeChange = Input<'changeVolume'>['body'];

/** Refused when somebody has changed the volume since it was read. */
const change = ({ uuid, tenant }: Volume, body: VolumeChange, tag: string) =>
  call('changeVolume', { params: { volume: uuid }, query: { tenant }, body }, undefined, tag);

export async function resizeVolume(volume: Volume): Promise<Task> {
  const { value, tag } = await fresh(volume);
  const { name, tenant, sizeBytes } = value;
  return {
    title: `Resize '${name}'`,
    verb: 'Resize',
    about: (
      <p>
        It has {size(sizeBytes)}. Hosts see a larger size at once; then grow the file system there.
      </p>
    ),
    fields: [
      {
        name: 'sizeBytes',
        label: 'New size',
        initial: formatSize(BigInt(sizeBytes)),
        hint: sizeHint,
        check: checkSize,
      },
      {
        name: 'shrink',
        label: 'Let it become smaller',
        kind: 'check',
        hint: 'Shrink the file system and run fstrim first, then disconnect its hosts. Refused while anything is mapped beyond the new end.',
      },
    ],
    cli: (values) =>
      cli(
        'volume resize',
        word(name),
        `--size ${word(of(values, 'sizeBytes') || 'SIZE')}`,
        values['shrink'] === 'true' && '--shrink',
        tenantFlag(tenant),
      ),
    run: async (values) => {
      const body = {
        sizeBytes: bytesOf(of(values, 'sizeBytes')),
        ...(values['shrink'] === 'true' ? { shrink: true } : {}),
      };
      const { sizeBytes: now } = await change(value, body, tag);
      return `Volume '${name}' has ${size(now)} now.`;
    },
  };
}

export async function renameVolume(volume: Volume): Promise<Task> {
  const { value, tag } = await fresh(volume);
  const { name, tenant } = value;
  return {
    title: `Rename '${name}'`,
    verb: 'Rename',
    about: <p>Hosts notice nothing.</p>,
    fields: [{ name: 'name', label: 'New name', initial: name, hint: nameHint, check: checkName }],
    cli: (values) =>
      cli('volume rename', word(name), word(of(values, 'name') || 'NAME'), tenantFlag(tenant)),
    run: async (values) => {
      const to = of(values, 'name');
      const renamed = await change(value, { name: to }, tag);
      return { said: `Volume '${name}' is called '${to}' now.`, to: volumePath(renamed) };
    },
  };
}

export async function reserveVolume(volume: Volume): Promise<Task> {
  const { value, tag } = await fresh(volume);
  const { name, tenant, reserved } = value;
  return {
    title: reserved ? `Give the room of '${name}' back` : `Reserve room for '${name}'`,
    verb: reserved ? 'Give back' : 'Reserve',
    about: reserved ? (
      <p>Others may then use the room that it has not written, and its writes may find none.</p>
    ) : (
      <p>Room for all its blocks is then its own, and its writes never find the pool full.</p>
    ),
    cli: () => cli('volume reserve', word(name), reserved && '--off', tenantFlag(tenant)),
    run: async () => {
      await change(value, { reserved: !reserved }, tag);
      return reserved ? `Room of '${name}' given back.` : `Room for '${name}' reserved.`;
    },
  };
}

export function deleteVolume({ name, tenant, mappedBytes, connections, snapshots }: Volume): Task {
  const kept = snapshots === 0 ? '' : ` Its ${plural(snapshots, 'snapshot')} stay.`;
  return {
    title: `Delete volume '${name}'`,
    verb: 'Delete for good',
    loses: (
      <p>
        <strong>{size(mappedBytes)} of data are lost</strong>, for good.{kept}
      </p>
    ),
    fields: forceField(connections),
    confirmName: name,
    cli: (values) => cli('volume delete', word(name), forceFlag(values), tenantFlag(tenant)),
    run: async (values) => {
      await call('deleteVolume', {
        params: { volume: name },
        query: { tenant, ...forced(values) },
      });
      return { said: `Volume '${name}' deleted.`, to: '/volumes' };
    },
  };
}

/** `nameForNow`: a name that sorts by time. */
function nameForNow(): string {
  const at = new Date().toISOString();
  return at.slice(0, 16).replaceAll(':', '-');
}

export function createSnapshot({ name, tenant }: { name: string; tenant: string }): Task {
  const volumesOf = (values: Values): string[] => [name, ...linesOf(of(values, 'with'))];
  return {
    title: `Snapshot of '${name}'`,
    verb: 'Take it',
    about: (
      <p>
        At once and without stopping I/O. For a file system it is what a power loss now would have
        left; fsfreeze on the host makes more of it.
      </p>
    ),
    fields: [
      {
        name: 'name',
        label: 'Name of the snapshot',
        initial: nameForNow(),
        hint: nameHint,
        check: checkName,
      },
      {
        name: 'with',
        label: 'Other volumes at the same instant',
        kind: 'lines',
        optional: true,
        hint: 'One a line; all or none.',
      },
    ],
    cli: (values) => {
      const snapshot = of(values, 'name') || 'NAME';
      const all = volumesOf(values).map((volume) => word(`${volume}@${snapshot}`));
      return cli('snapshot create', all.join(' '), tenantFlag(tenant));
    },
    run: async (values) => {
      const { items } = await call('createSnapshots', {
        query: { tenant },
        body: { volumes: volumesOf(values), name: of(values, 'name') },
      });
      return `Taken: ${items.map(({ reference }) => reference).join(', ')}.`;
    },
  };
}

/** @param source a volume's name, or a snapshot's reference. */
export function cloneOf(source: string, tenant: string, sizeBytes: number): Task {
  return {
    title: `Clone '${source}'`,
    verb: 'Clone',
    about: <p>A writable volume that begins with its data. Nothing is copied.</p>,
    fields: [
      { name: 'name', label: 'Name of the new volume', hint: nameHint, check: checkName },
      {
        name: 'sizeBytes',
        label: 'Size',
        optional: true,
        check: checkSize,
        hint: `${size(sizeBytes)} when not given, and at least that.`,
      },
      hostsField,
      reservedField,
    ],
    cli: (values) =>
      cli(
        'volume clone',
        word(source),
        word(of(values, 'name') || 'NAME'),
        of(values, 'sizeBytes') !== '' && `--size ${word(of(values, 'sizeBytes'))}`,
        hostFlags(values),
        values['reserved'] === 'true' && '--reserved',
        tenantFlag(tenant),
      ),
    run: async (values) => {
      const bytes = of(values, 'sizeBytes');
      const made = await call('cloneVolume', {
        query: { tenant },
        body: {
          source,
          name: of(values, 'name'),
          ...(bytes === '' ? {} : { sizeBytes: bytesOf(bytes) }),
          hosts: linesOf(of(values, 'hosts')),
          reserved: values['reserved'] === 'true',
        },
      });
      return { said: `Volume '${made.name}' cloned from '${source}'.`, to: volumePath(made) };
    },
  };
}

export function deleteSnapshot(snapshot: Snapshot): Task {
  const { reference, tenant, freesBytes, connections } = snapshot;
  return {
    title: `Delete snapshot '${reference}'`,
    verb: 'Delete for good',
    loses: (
      <p>
        <strong>What '{snapshot.volume}' was at that instant is lost</strong>, for good. Clones of
        it stay. It gives {size(freesBytes)} back.
      </p>
    ),
    fields: forceField(connections),
    confirmName: reference,
    cli: (values) => cli('snapshot delete', word(reference), forceFlag(values), tenantFlag(tenant)),
    run: async (values) => {
      await call('deleteSnapshot', {
        params: { snapshot: snapshot.uuid },
        query: { tenant, ...forced(values) },
      });
      return `Snapshot '${reference}' deleted.`;
    },
  };
}

export function rollBack(snapshot: Snapshot, connections: number): Task {
  const { reference, volume, tenant } = snapshot;
  return {
    title: `Roll '${volume}' back to '${snapshot.name}'`,
    verb: 'Roll back',
    loses: (
      <p>
        <strong>Everything written to '{volume}' since then is lost</strong>, unless a newer
        snapshot holds it. Unmount it and disconnect its hosts first.
      </p>
    ),
    fields: forceField(connections),
    confirmName: volume,
    cli: (values) =>
      cli('snapshot rollback', word(reference), forceFlag(values), tenantFlag(tenant)),
    run: async (values) => {
      await call('rollbackSnapshot', {
        params: { snapshot: snapshot.uuid },
        query: { tenant, ...forced(values) },
      });
      return `Volume '${volume}' is as it was at '${snapshot.name}'.`;
    },
  };
}

/** @param target a volume's name, or a snapshot's reference. */
export function grant(target: string, tenant: string): Task {
  const snapshot = target.includes('@');
  return {
    title: `Grant '${target}' to a host`,
    verb: 'Grant',
    about: <p>The host sees it at once{snapshot ? ', read-only' : ''}.</p>,
    fields: [
      {
        name: 'host',
        label: 'Host NQN',
        check: checkNqnOrAny,
        hint: "It is in /etc/nvme/hostnqn there; '*' for any host.",
        suggest: async (typed) => {
          const nqn = typed === '' ? {} : { nqn: typed };
          const { items } = await call('listHosts', { query: { tenant, limit: '20', ...nqn } });
          return items.map((each) => each.nqn);
        },
      },
      ...(snapshot
        ? []
        : [{ name: 'read', label: 'For reading alone', kind: 'check' } satisfies Field]),
    ],
    cli: (values) =>
      cli(
        'grant add',
        word(target),
        word(of(values, 'host') || 'HOSTNQN'),
        values['read'] === 'true' && '--read-only',
        tenantFlag(tenant),
      ),
    run: async (values) => {
      const made = await call('createGrant', {
        query: { tenant },
        body: {
          volume: target,
          host: of(values, 'host'),
          ...(values['read'] === 'true' ? { access: 'read-only' } : {}),
        },
      });
      return `'${target}' granted to ${made.host === '*' ? 'any host' : made.host}.`;
    },
  };
}

export function revoke(target: string, tenant: string, host: string): Task {
  return {
    title: `Take '${target}' from ${host === '*' ? 'any host' : 'a host'}`,
    verb: 'Take it away',
    loses: (
      <p>
        <code>{host}</code> loses '{target}' once its commands under way have ended. The data stays.
      </p>
    ),
    cli: () => cli('grant remove', word(target), word(host), tenantFlag(tenant)),
    run: async () => {
      await call('deleteGrant', { params: { volume: target, host }, query: { tenant } });
      return `'${target}' taken from ${host === '*' ? 'any host' : host}.`;
    },
  };
}
