/** Tenants and tokens. */
import type { Tenant, Token } from '../../api/contract.js';
import { call, rights } from './api.js';
import { cli, count, size, time } from './format.js';
import { createTenant, createToken, deleteTenant, deleteToken, rotateToken } from './node_tasks.js';
import { listState, Pager, usePaged } from './paged.js';
import { Badge, type Column, Empty, Head, Problem, Table, Waiting, When } from './parts.js';
import { Link } from './router.js';
import { TaskButton } from './task.js';
import { useTenants } from './tenants.js';

const most = (value: number, limit: number | null, show: (value: number) => string): string =>
  limit === null ? show(value) : `${show(value)} of ${show(limit)}`;

const tenantColumns = (may: boolean): Column<Tenant>[] => [
  {
    title: 'Name',
    value: ({ name }) => <Link href={`/volumes?tenant=${encodeURIComponent(name)}`}>{name}</Link>,
  },
  {
    title: 'Capacity',
    value: ({ provisionedBytes, quota }) => most(provisionedBytes, quota.capacityBytes, size),
    number: true,
  },
  {
    title: 'Volumes',
    value: ({ volumes, quota }) => most(volumes, quota.volumes, count),
    number: true,
  },
  {
    title: 'Snapshots',
    value: ({ snapshots, quota }) => most(snapshots, quota.snapshots, count),
    number: true,
  },
  { title: 'Hosts', value: ({ hosts }) => count(hosts), number: true },
  { title: 'Subsystem', value: ({ subnqn }) => <span class="mono">{subnqn}</span>, minor: true },
  ...(may
    ? [
        {
          title: 'Actions',
          quiet: true,
          value: (tenant: Tenant) =>
            tenant.name === 'default' ? null : (
              <TaskButton
                kind="danger"
                label={`Delete tenant ${tenant.name}`}
                task={() => deleteTenant(tenant)}
              >
                Delete
              </TaskButton>
            ),
        } as Column<Tenant>,
      ]
    : []),
];

export function Tenants() {
  const { change, node } = rights();
  const paged = usePaged('', (page, aborter) => call('listTenants', { query: page }, aborter));
  const may = change && node;
  return (
    <>
      <Head title="Tenants">
        {may && (
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
          columns={tenantColumns(may)}
          rows={paged.items}
          rowKey={({ uuid }) => uuid}
        />
      )}
      {paged.value !== null && <Pager paged={paged} noun="tenants" />}
    </>
  );
}

const tokenColumns = (may: boolean): Column<Token>[] => [
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
  ...(may
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
  const { change, tenant } = rights();
  const tenants = useTenants();
  const paged = usePaged('', (page, aborter) => call('listTokens', { query: page }, aborter));
  return (
    <>
      <Head title="Tokens">
        {change && (
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
          columns={tokenColumns(change)}
          rows={paged.items}
          rowKey={(token) => `${token.tenant ?? ''}/${token.name}`}
        />
      )}
      {paged.value !== null && <Pager paged={paged} noun="tokens" />}
    </>
  );
}
