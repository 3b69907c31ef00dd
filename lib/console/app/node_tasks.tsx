/** What can be done with hosts, portals, schedules, jobs, tenants and tokens. */
import type { Host, Job, Portal, Schedule, Tenant, Token } from '../../api/contract.js';
import { parseDurationMs, parseSize } from '../../config/units.js';
import { call } from './api.js';
import { cli, plural, tenantFlag, word } from './format.js';
import { Copy } from './parts.js';
import type { Field, Task, Values } from './task.js';
import { suggestVolumes } from './volume_tasks.js';

const of = (values: Values, name: string): string => (values[name] ?? '').trim();

export function addHost(tenant: string): Task {
  return {
    title: 'Add a host',
    verb: 'Add',
    about: <p>It may connect before it has volumes. A grant adds its host by itself.</p>,
    fields: [{ name: 'nqn', label: 'Host NQN', hint: 'It is in /etc/nvme/hostnqn there.' }],
    cli: (values) => cli('host add', word(of(values, 'nqn') || 'HOSTNQN'), tenantFlag(tenant)),
    run: async (values) => {
      const { nqn } = await call('createHost', {
        query: { tenant },
        body: { nqn: of(values, 'nqn') },
      });
      return `Host ${nqn} added.`;
    },
  };
}

export function removeHost({ nqn, tenant, volumes }: Host): Task {
  return {
    title: 'Remove a host',
    verb: 'Remove',
    loses: (
      <p>
        <code>{nqn}</code> loses {plural(volumes.length, 'volume')} at once, and its keys. The data
        stays.
      </p>
    ),
    cli: () => cli('host remove', word(nqn), tenantFlag(tenant)),
    run: async () => {
      await call('deleteHost', { params: { host: nqn }, query: { tenant } });
      return `Host ${nqn} removed.`;
    },
  };
}

const portalForce: Field = {
  name: 'force',
  label: 'Even when it is the last path of a host',
  kind: 'check',
};
const forced = (values: Values): { force?: 'true' } =>
  values['force'] === 'true' ? { force: 'true' } : {};

export function drainPortal({ portalId, endpoint, controllers }: Portal): Task {
  return {
    title: `Drain portal ${endpoint}`,
    verb: 'Drain',
    about: (
      <p>
        Hosts move their I/O to other portals at once; {plural(controllers, 'controller')} stay
        connected. Resume it when the work on it is done.
      </p>
    ),
    fields: [portalForce],
    cli: (values) => cli('portal drain', String(portalId), values['force'] === 'true' && '--force'),
    run: async (values) => {
      await call('drainPortal', {
        params: { portal: String(portalId) },
        query: forced(values),
      });
      return `Portal ${endpoint} is drained.`;
    },
  };
}

export function resumePortal({ portalId, endpoint }: Portal): Task {
  return {
    title: `Resume portal ${endpoint}`,
    verb: 'Resume',
    about: <p>Hosts may use it again, with the ANA states that were set for it.</p>,
    cli: () => cli('portal resume', String(portalId)),
    run: async () => {
      await call('resumePortal', { params: { portal: String(portalId) } });
      return `Portal ${endpoint} is used again.`;
    },
  };
}

const lasting = ['optimized', 'non-optimized', 'inaccessible', 'persistent-loss'] as const;

export function setAna(portalId: number, anagrpid: number, state: string): Task {
  const chosen = (values: Values) => lasting.find((each) => each === values['state']) ?? lasting[0];
  const group = anagrpid === 1 ? '' : `--group ${anagrpid}`;
  return {
    title: `ANA state of group ${anagrpid} through portal ${portalId}`,
    verb: 'Set',
    about: <p>Hosts are told at once and prefer better paths.</p>,
    fields: [
      {
        name: 'state',
        label: 'State',
        kind: 'choice',
        initial: state,
        options: lasting.map((each) => [each, each]),
      },
      portalForce,
    ],
    cli: (values) =>
      cli(
        'ana set',
        String(portalId),
        chosen(values),
        group,
        values['force'] === 'true' && '--force',
      ),
    run: async (values) => {
      await call('setAna', {
        params: { portal: String(portalId) },
        query: forced(values),
        body: { state: chosen(values), anagrpid },
      });
      return `Group ${anagrpid} is ${chosen(values)} through portal ${portalId}.`;
    },
  };
}

export function cancelJob({ id, title }: Job): Task {
  return {
    title: 'Cancel a job',
    verb: 'Cancel the job',
    about: <p>‘{title}’ ends. What it has done by then stays.</p>,
    cli: () => cli('job cancel', id),
    run: async () => {
      await call('cancelJob', { params: { job: id } });
      return `Cancelled: ${title}.`;
    },
  };
}

export function checkPool(pool: string): Task {
  return {
    title: `Check pool '${pool}'`,
    verb: 'Check',
    about: <p>Walks and proves every structure while I/O goes on. It is a job.</p>,
    cli: () => cli('pool check'),
    run: async () => {
      await call('startPoolCheck', { params: { pool } });
      return `The check of '${pool}' has begun; see Jobs.`;
    },
  };
}

export function createTenant(): Task {
  return {
    title: 'Create a tenant',
    verb: 'Create',
    about: <p>Its volumes are in a subsystem of their own; others see nothing of them.</p>,
    fields: [
      { name: 'name', label: 'Name' },
      {
        name: 'capacity',
        label: 'At most this capacity',
        optional: true,
        hint: "Sum of its volumes' sizes, e.g. '10TiB'.",
      },
      { name: 'volumes', label: 'At most so many volumes', optional: true },
    ],
    cli: (values) =>
      cli(
        'tenant create',
        word(of(values, 'name') || 'NAME'),
        of(values, 'capacity') !== '' && `--capacity ${word(of(values, 'capacity'))}`,
        of(values, 'volumes') !== '' && `--volumes ${word(of(values, 'volumes'))}`,
      ),
    run: async (values) => {
      const [capacity, volumes] = [of(values, 'capacity'), of(values, 'volumes')];
      const { name } = await call('createTenant', {
        body: {
          name: of(values, 'name'),
          quota: {
            ...(capacity === '' ? {} : { capacityBytes: Number(parseSize(capacity, 'capacity')) }),
            ...(volumes === '' ? {} : { volumes: Number(volumes) }),
          },
        },
      });
      return `Tenant '${name}' created.`;
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

/** A secret that is seen once. */
function shownOnce(name: string, secret: string | null) {
  if (secret === null) return <p>It stands for a certificate, and has no secret.</p>;
  return (
    <>
      <p>
        The secret of ‘{name}’. <strong>It is not shown again</strong>: keep it now.
      </p>
      <div class="cli">
        <code>{secret}</code>
        <Copy text={secret} what="the secret" />
      </div>
    </>
  );
}

const inMs = (text: string): string =>
  new Date(Date.now() + parseDurationMs(text, 'expires')).toISOString();

/** @param own the tenant that the caller is kept to; null: the node. */
export function createToken(tenants: readonly string[], own: string | null): Task {
  const roles = own === null ? ['viewer', 'tenant-admin', 'admin'] : ['viewer', 'tenant-admin'];
  const roleOf = (values: Values): Token['role'] =>
    values['role'] === 'admin' || values['role'] === 'tenant-admin' ? values['role'] : 'viewer';
  return {
    title: 'Create a token',
    verb: 'Create',
    fields: [
      { name: 'name', label: 'Name', hint: 'Who has it.' },
      {
        name: 'role',
        label: 'Role',
        kind: 'choice',
        initial: 'viewer',
        options: roles.map((role) => [role, role]),
        hint: 'viewer: looks. tenant-admin: everything of one tenant. admin: everything.',
      },
      ...(own === null
        ? [
            {
              name: 'tenant',
              label: 'Kept to the tenant',
              kind: 'choice',
              options: [['', 'none: of the node'], ...tenants.map((name) => [name, name] as const)],
              optional: true,
            } satisfies Field,
          ]
        : []),
      { name: 'expires', label: 'Good for', optional: true, hint: "For example '720h'." },
    ],
    cli: (values) =>
      cli(
        'token create',
        word(of(values, 'name') || 'NAME'),
        `--role ${roleOf(values)}`,
        of(values, 'expires') !== '' && `--expires ${word(of(values, 'expires'))}`,
        of(values, 'tenant') !== '' && `--tenant ${word(of(values, 'tenant'))}`,
      ),
    run: async (values) => {
      const [tenant, expires] = [of(values, 'tenant'), of(values, 'expires')];
      const name = of(values, 'name');
      const { secret } = await call('createToken', {
        query: tenant === '' ? {} : { tenant },
        body: {
          name,
          role: roleOf(values),
          ...(expires === '' ? {} : { expiresAt: inMs(expires) }),
        },
      });
      return { show: shownOnce(name, secret), said: `Token '${name}' created.` };
    },
  };
}

export function rotateToken({ name, tenant }: Token): Task {
  const query = tenant === null ? {} : { tenant };
  const flag = tenant === null ? '' : `--tenant ${word(tenant)}`;
  return {
    title: `New secret for '${name}'`,
    verb: 'Rotate',
    fields: [
      {
        name: 'grace',
        label: 'The old one stays good for',
        optional: true,
        hint: "For example '1h'; not at all when not given.",
      },
    ],
    cli: (values) =>
      cli(
        'token rotate',
        word(name),
        of(values, 'grace') !== '' && `--grace ${word(of(values, 'grace'))}`,
        flag,
      ),
    run: async (values) => {
      const grace = of(values, 'grace');
      const graceSeconds = grace === '' ? 0 : Math.ceil(parseDurationMs(grace, 'grace') / 1000);
      const { secret } = await call('rotateToken', {
        params: { token: name },
        query,
        body: { graceSeconds },
      });
      return { show: shownOnce(name, secret), said: `Token '${name}' has a new secret.` };
    },
  };
}

export function deleteToken({ name, tenant, role }: Token): Task {
  return {
    title: `Delete token '${name}'`,
    verb: 'Delete',
    loses: <p>Who has it ({role}) can call no more, from now on.</p>,
    cli: () => cli('token delete', word(name), tenant !== null && `--tenant ${word(tenant)}`),
    run: async () => {
      await call('deleteToken', {
        params: { token: name },
        query: tenant === null ? {} : { tenant },
      });
      return `Token '${name}' deleted.`;
    },
  };
}

const rules = ['last', 'hourly', 'daily', 'weekly', 'monthly'] as const;

export function createSchedule(tenant: string): Task {
  const volumesOf = (values: Values): string[] =>
    of(values, 'volumes')
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '');
  const kept = (values: Values) =>
    rules.flatMap((rule): [string, number][] => {
      const text = of(values, rule);
      return text === '' ? [] : [[rule, Number(text)]];
    });
  return {
    title: 'Create a schedule',
    verb: 'Create',
    about: (
      <p>All its volumes are taken at one instant. A snapshot stays while any rule keeps it.</p>
    ),
    fields: [
      { name: 'name', label: 'Name' },
      {
        name: 'cron',
        label: 'When',
        initial: '0 2 * * *',
        hint: 'Minute, hour, day, month, weekday; or @hourly, @daily, @weekly.',
      },
      {
        name: 'timezone',
        label: 'Time zone',
        initial: Intl.DateTimeFormat().resolvedOptions().timeZone,
      },
      { name: 'volumes', label: 'Volumes', kind: 'lines', hint: 'One a line, up to 64.' },
      { name: 'last', label: 'Keep the newest', optional: true },
      { name: 'hourly', label: 'Keep one of each of the last hours', optional: true },
      { name: 'daily', label: '… days', initial: '7', optional: true },
      { name: 'weekly', label: '… weeks', initial: '4', optional: true },
      { name: 'monthly', label: '… months', optional: true },
    ],
    cli: (values) =>
      cli(
        'schedule create',
        word(of(values, 'name') || 'NAME'),
        `--cron ${word(of(values, 'cron'))}`,
        `--timezone ${word(of(values, 'timezone') || 'UTC')}`,
        ...volumesOf(values).map((volume) => `--volume ${word(volume)}`),
        ...kept(values).map(([rule, number]) => `--keep-${rule} ${number}`),
        tenantFlag(tenant),
      ),
    run: async (values) => {
      const { name } = await call('createSchedule', {
        query: { tenant },
        body: {
          name: of(values, 'name'),
          cron: of(values, 'cron'),
          timezone: of(values, 'timezone'),
          volumes: volumesOf(values),
          keep: Object.fromEntries(kept(values)),
        },
      });
      return `Schedule '${name}' created.`;
    },
  };
}

export function runSchedule({ name, tenant }: Schedule): Task {
  return {
    title: `Run '${name}' now`,
    verb: 'Run',
    about: <p>Makes its snapshots, and deletes those that no rule keeps.</p>,
    cli: () => cli('schedule run', word(name), tenantFlag(tenant)),
    run: async () => {
      const { snapshots, made } = await call('runSchedule', {
        params: { schedule: name },
        query: { tenant },
      });
      return made ? `Taken: ${snapshots.join(', ')}.` : 'They were there already.';
    },
  };
}

export function enableSchedule({ name, tenant, enabled }: Schedule): Task {
  const to = enabled ? 'off' : 'on';
  return {
    title: `Switch '${name}' ${to}`,
    verb: `Switch ${to}`,
    about: (
      <p>
        {enabled ? 'It runs no more by itself; its snapshots stay.' : 'It runs by itself again.'}
      </p>
    ),
    cli: () =>
      cli(enabled ? 'schedule disable' : 'schedule enable', word(name), tenantFlag(tenant)),
    run: async () => {
      await call('changeSchedule', {
        params: { schedule: name },
        query: { tenant },
        body: { enabled: !enabled },
      });
      return `Schedule '${name}' is ${to}.`;
    },
  };
}

export function deleteSchedule({ name, tenant, snapshots }: Schedule): Task {
  return {
    title: `Delete schedule '${name}'`,
    verb: 'Delete',
    loses: (
      <p>No more snapshots are made or deleted by it. Its {plural(snapshots, 'snapshot')} stay.</p>
    ),
    cli: () => cli('schedule delete', word(name), tenantFlag(tenant)),
    run: async () => {
      await call('deleteSchedule', { params: { schedule: name }, query: { tenant } });
      return `Schedule '${name}' deleted.`;
    },
  };
}

export { suggestVolumes };
