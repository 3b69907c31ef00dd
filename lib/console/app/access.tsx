/** Tenants and tokens. */
import type { Tenant, Token } from '../../api/contract.js';
import { call, may, rights } from './api.js';
import { cli, count, size, time } from './format.js';
import { createToken, deleteToken, rotateToken } from './node_tasks.js';
import { listState, Pager, usePaged } from './paged.js';
import { Badge, type Column, Empty, Head, Problem, Table, UseOf, Waiting, When } from './parts.js';
import { Link, pathTo } from './router.js';
import { TaskButton } from './task.js';
import { changeTenant, createTenant, deleteTenant } from './tenant_tasks.js';
import { useTenants } from './tenants.js';

/** Limits a second of its volumes together: its quota's, and its policy. */
export function Rates({ tenant: { quota, policy } }: { tenant: Tenant }) {
  const parts = [
    ...(quota.iops === null ? [] : [`${count(quota.iops)} commands/s`]),
    ...(quota.bytesPerSecond === null ? [] : [`${size(quota.bytesPerSecond)}/s`]),
    ...(policy === null ? [] : [`policy ${policy}`]),
  ];
  const shown = parts.join(', ');
  return <span class={shown === '' ? 'soft' : ''}>{shown || 'none'}</span>;
}

const tenantColumns = (change: boolean): Column<Tenant>[] => [
  {
    title: 'Name',
    value: ({ name }) => <Link href={pathTo('tenants', name)}>{name}</Link>,
  },
  {
    title: 'Capacity',
    value: ({ provisionedBytes, quota }) => (
      <UseOf value={provisionedBytes} most={quota.capacityBytes} show={size} label="Capacity" />
    ),
  },
  {
    title: 'Volumes',
    value: ({ volumes, quota }) => (
      <UseOf value={volumes} most={quota.volumes} show={count} label="Volumes" />
    ),
  },
  {
    title: 'Snapshots',
    value: ({ snapshots, quota }) => (
      <UseOf value={snapshots} most={quota.snapshots} show={count} label="Snapshots" />
    ),
  },
  { title: 'Limits a second', value: (tenant) => <Rates tenant={tenant} /> },
  { title: 'Hosts', value: ({ hosts }) => count(hosts), number: true },
  {
    title: 'Subsystem',
    value: ({ subnqn }) => <span class="mono">{subnqn}</span>,
    minor: true,
    wrap: true,
  },
  ...(change
    ? [
        {
          title: 'Actions',
          quiet: true,
          value: (tenant: Tenant) => (
            <span class="row-actions">
              <TaskButton
                label={`Change tenant ${tenant.name}`}
                task={() => changeTenant(tenant.name)}
              >
                Change
              </TaskButton>
              {tenant.name !== 'default' && (
                <TaskButton
                  kind="danger"
                  label={`Delete tenant ${tenant.name}`}
                  task={() => deleteTenant(tenant)}
                >
                  Delete
                </TaskButton>
              )}
            </span>
          ),
        } as Column<Tenant>,
      ]
    : []),
];

export function Tenants() {
  const paged = usePaged('', (page, aborter) => call('listTenants', { query: page }, aborter));
  return (
    <>
      <Head title="Tenants">
        {may('createTenant') && (
          <TaskButton kind="primary" task={createTenant}>
            Create tenant
          </TaskButton>
        )}
      </Head>
      <Problem error={paged.value === null ? null : paged.error} />
      {listState(
        paged,
        <Empty title="No tenants." line={cli('tenant create blue')} />,
        <Waiting error={paged.error} />,
      ) ?? (
        <Table
          caption="Tenants"
          columns={tenantColumns(may('changeTenant'))}
          rows={paged.items}
          rowKey={({ uuid }) => uuid}
        />
      )}
      {paged.value !== null && <Pager paged={paged} noun="tenants" />}
    </>
  );
}

const tokenColumns = (change: boolean): Column<Token>[] => [
  { title: 'Name', value: ({ name }) => name },
  { title: 'Role', value: ({ role }) => role },
  { title: 'Tenant', value: ({ tenant }) => tenant ?? <span class="soft">the node</span> },
  { title: 'Kind', value: ({ kind, subject }) => subject ?? kind, minor: true },
  { title: 'Created', value: ({ createdAt }) => <When at={createdAt} />, minor: true },
  {
    title: 'Expires',
    value: ({ expiresAt }) =>
      expiresAt === null ? (
        'never'
      ) : Date.parse(expiresAt) < Date.now() ? (
        <Badge tone="bad">expired</Badge>
      ) : (
        <time dateTime={expiresAt}>{time(expiresAt)}</time>
      ),
  },
  ...(change
    ? [
        {
          title: 'Actions',
          quiet: true,
          value: (token: Token) => (
            <span class="row-actions">
              {token.kind === 'bearer' && (
                <TaskButton label={`Rotate ${token.name}`} task={() => rotateToken(token)}>
                  Rotate
                </TaskButton>
              )}
              <TaskButton
                kind="danger"
                label={`Delete token ${token.name}`}
                task={() => deleteToken(token)}
              >
                Delete
              </TaskButton>
            </span>
          ),
        } as Column<Token>,
      ]
    : []),
];

export function Tokens() {
  const { tenant } = rights();
  const tenants = useTenants();
  const paged = usePaged('', (page, aborter) => call('listTokens', { query: page }, aborter));
  return (
    <>
      <Head title="Tokens">
        {may('createToken') && (
          <TaskButton kind="primary" task={() => createToken(tenants, tenant)}>
            Create token
          </TaskButton>
        )}
      </Head>
      <Problem error={paged.value === null ? null : paged.error} />
      {listState(
        paged,
        <Empty title="No tokens." line={cli('token create NAME --role viewer')}>
          <p>A token lets a program or a person call the API and use this console.</p>
        </Empty>,
        <Waiting error={paged.error} />,
      ) ?? (
        <Table
          caption="Tokens"
          columns={tokenColumns(may('rotateToken'))}
          rows={paged.items}
          rowKey={(token) => `${token.tenant ?? ''}/${token.name}`}
        />
      )}
      {paged.value !== null && <Pager paged={paged} noun="tokens" />}
    </>
  );
}
