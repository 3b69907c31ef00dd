/** With what hosts prove who they are, and connect over TLS. Nothing secret is shown of them. */
import type { HostKey, Psk } from '../../api/contract.js';
import { call, may } from './api.js';
import { cli } from './format.js';
import { deleteHostKey, deletePsk, setHostKey, setPsk } from './key_tasks.js';
import { listState, Pager, usePaged } from './paged.js';
import {
  Card,
  type Column,
  Empty,
  FilterBar,
  Head,
  Problem,
  Table,
  TenantChoice,
  Waiting,
  When,
} from './parts.js';
import { go, Link, pathTo, place, withQuery } from './router.js';
import { TaskButton } from './task.js';
import { homeTenant, useTenants } from './tenants.js';

/** Of which keys a list is. */
interface Of {
  tenants: readonly string[];
  /** Empty: of all. */
  tenant: string;
  /** Null: of all. */
  host: string | null;
}

function hostColumns<T extends { host: string; tenant: string }>(of: Of): Column<T>[] {
  if (of.host !== null) return [];
  return [
    {
      title: 'Host NQN',
      value: ({ tenant, host }) => (
        <Link href={pathTo('hosts', tenant, host)} class="mono">
          {host}
        </Link>
      ),
    },
    ...(of.tenants.length > 1
      ? [{ title: 'Tenant', value: ({ tenant }: T) => tenant, minor: true }]
      : []),
  ];
}

const askedOf = ({ tenant, host }: Of) => ({
  ...(tenant && { tenant }),
  ...(host !== null && { host }),
});

const ownerOf = ({ tenants, tenant, host }: Of) => ({
  tenants: tenant === '' ? tenants : [],
  tenant: tenant || homeTenant(tenants),
  host,
});

const keyColumns = (of: Of, all: readonly HostKey[]): Column<HostKey>[] => [
  ...hostColumns<HostKey>(of),
  { title: 'Key', value: ({ fingerprint }) => <span class="mono nowrap">{fingerprint}</span> },
  { title: 'Proves', value: ({ role }) => `the ${role}` },
  { title: 'Hash', value: ({ hash }) => hash ?? 'none', minor: true },
  { title: 'Bytes', value: ({ lengthBytes }) => String(lengthBytes), number: true, minor: true },
  { title: 'Since', value: ({ createdAt }) => <When at={createdAt} /> },
  ...(may('createHostKey')
    ? [
        {
          title: 'Actions',
          quiet: true,
          value: (key: HostKey) => (
            <span class="row-actions">
              <TaskButton
                label={`New key beside ${key.fingerprint}`}
                task={() => setHostKey({ ...ownerOf(of), ...key, tenants: [] }, key.role)}
              >
                Rotate
              </TaskButton>
              <TaskButton
                kind="danger"
                label={`Delete key ${key.fingerprint}`}
                task={() =>
                  deleteHostKey(
                    key,
                    all.filter(({ host, tenant, role }) => {
                      return host === key.host && tenant === key.tenant && role === 'host';
                    }).length === 1,
                  )
                }
              >
                Delete
              </TaskButton>
            </span>
          ),
        } as Column<HostKey>,
      ]
    : []),
];

export function HostKeys(of: Of) {
  const asked = askedOf(of);
  const paged = usePaged(`keys ${JSON.stringify(asked)}`, (page, aborter) =>
    call('listHostKeys', { query: { ...asked, ...page } }, aborter),
  );
  return (
    <Card
      title="DH-HMAC-CHAP keys"
      wide
      actions={
        may('createHostKey') && (
          <TaskButton task={() => setHostKey(ownerOf(of))}>
            {of.host === null ? 'Generate a key' : 'New key'}
          </TaskButton>
        )
      }
    >
      <Problem error={paged.value === null ? null : paged.error} />
      {listState(
        paged,
        <Empty
          title={of.host === null ? 'No host has a key.' : 'It has none.'}
          line={cli('host key generate', of.host ?? 'HOSTNQN')}
        >
          <p>A host without a key connects without proving who it is.</p>
        </Empty>,
        <Waiting error={paged.error} />,
      ) ?? (
        <Table
          caption="DH-HMAC-CHAP keys"
          columns={keyColumns(of, paged.items)}
          rows={paged.items}
          rowKey={(key) => `${key.tenant} ${key.host} ${key.role} ${key.fingerprint}`}
        />
      )}
      {paged.value !== null && paged.items.length > 0 && <Pager paged={paged} noun="keys" />}
    </Card>
  );
}

const pskColumns = (of: Of): Column<Psk>[] => [
  ...hostColumns<Psk>(of),
  { title: 'PSK', value: ({ id }) => <span class="mono nowrap">{id}</span> },
  { title: 'Bits', value: ({ bits }) => String(bits), number: true },
  { title: 'Transform', value: ({ transform }) => transform, minor: true },
  { title: 'Since', value: ({ createdAt }) => <When at={createdAt} /> },
  ...(may('createPsk')
    ? [
        {
          title: 'Actions',
          quiet: true,
          value: (psk: Psk) => (
            <span class="row-actions">
              <TaskButton
                label={`New PSK beside ${psk.id}`}
                task={() => setPsk({ ...ownerOf(of), ...psk, tenants: [] })}
              >
                Rotate
              </TaskButton>
              <TaskButton kind="danger" label={`Delete PSK ${psk.id}`} task={() => deletePsk(psk)}>
                Delete
              </TaskButton>
            </span>
          ),
        } as Column<Psk>,
      ]
    : []),
];

export function Psks(of: Of) {
  const asked = askedOf(of);
  const paged = usePaged(`psks ${JSON.stringify(asked)}`, (page, aborter) =>
    call('listPsks', { query: { ...asked, ...page } }, aborter),
  );
  return (
    <Card
      title="PSKs for TLS"
      wide
      actions={
        may('createPsk') && (
          <TaskButton task={() => setPsk(ownerOf(of))}>
            {of.host === null ? 'Generate a PSK' : 'New PSK'}
          </TaskButton>
        )
      }
    >
      <Problem error={paged.value === null ? null : paged.error} />
      {listState(
        paged,
        <Empty
          title={of.host === null ? 'No host has a PSK.' : 'It has none.'}
          line={cli('host psk generate', of.host ?? 'HOSTNQN')}
        >
          <p>With a PSK a host connects over TLS, where a portal allows it.</p>
        </Empty>,
        <Waiting error={paged.error} />,
      ) ?? (
        <Table
          caption="PSKs"
          columns={pskColumns(of)}
          rows={paged.items}
          rowKey={({ tenant, host, id }) => `${tenant} ${host} ${id}`}
        />
      )}
      {paged.value !== null && paged.items.length > 0 && <Pager paged={paged} noun="PSKs" />}
    </Card>
  );
}

export function Keys() {
  const tenants = useTenants();
  const tenant = place.value.query.get('tenant') ?? '';
  const of = { tenants, tenant, host: null };
  return (
    <>
      <Head title="Keys of hosts" />
      {tenants.length > 1 && (
        <FilterBar>
          <TenantChoice
            tenants={tenants}
            value={tenant}
            onValue={(value) => go(withQuery({ tenant: value }), true)}
          />
        </FilterBar>
      )}
      <div class="cards">
        <HostKeys {...of} />
        <Psks {...of} />
      </div>
    </>
  );
}
