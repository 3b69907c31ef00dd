/** What can be done with hosts, the pool, jobs and tokens. */
import type { Host, Job, Token } from '../../api/contract.js';
import { parseDurationMs } from '../../config/units.js';
import { call } from './api.js';
import { cli, plural, tenantFlag, word } from './format.js';
import { checkName, checkNqn, nameHint, of } from './input.js';
import { Copy } from './parts.js';
import type { Field, Task, Values } from './task.js';

export function addHost(tenant: string): Task {
  return {
    title: 'Add a host',
    verb: 'Add',
    about: <p>It may connect before it has volumes. A grant adds its host by itself.</p>,
    fields: [
      {
        name: 'nqn',
        label: 'Host NQN',
        hint: 'It is in /etc/nvme/hostnqn there.',
        check: checkNqn,
      },
    ],
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

/** A secret that is seen once. */
export function shownOnce(what: string, secret: string | null) {
  if (secret === null) return <p>It stands for a certificate, and has no secret.</p>;
  return (
    <>
      <p>
        {what}. <strong>It is not shown again</strong>: keep it now.
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
      { name: 'name', label: 'Name', hint: `Who has it. ${nameHint}`, check: checkName },
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
      {
        name: 'expires',
        label: 'Good for',
        optional: true,
        hint: "For example '720h'.",
        check: (text) => parseDurationMs(text, ''),
      },
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
      return {
        show: shownOnce(`The secret of ‘${name}’`, secret),
        said: `Token '${name}' created.`,
      };
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
        check: (text) => parseDurationMs(text, ''),
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
      return {
        show: shownOnce(`The secret of ‘${name}’`, secret),
        said: `Token '${name}' has a new secret.`,
      };
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
