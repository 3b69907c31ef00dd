/** Hosts, and each one's paths: a controller through a portal, with the ANA states there. */
import type { Controller, Host, Portal } from '../../api/contract.js';
import { call, may } from './api.js';
import { Conditions, Health, useExplanation } from './conditions.js';
import { cli, duration, plural, tenantFlag, word } from './format.js';
import { HostKeys, Psks } from './keys.js';
import { allPages, useLive } from './live.js';
import { addHost, removeHost } from './node_tasks.js';
import { listState, Pager, usePaged } from './paged.js';
import {
  Badge,
  Card,
  type Column,
  Empty,
  FilterBar,
  Head,
  Problem,
  Table,
  TenantChoice,
  TextFilter,
  type Tone,
  Waiting,
  When,
} from './parts.js';
import { go, Link, pathTo, place, withQuery } from './router.js';
import { TaskButton } from './task.js';
import { homeTenant, useTenants } from './tenants.js';

const hostColumns = (several: boolean): Column<Host>[] => [
  {
    title: 'Host NQN',
    value: ({ tenant, nqn }) => (
      <Link href={pathTo('hosts', tenant, nqn)} class="mono">
        {nqn}
      </Link>
    ),
  },
  ...(several ? [{ title: 'Tenant', value: ({ tenant }: Host) => tenant } as Column<Host>] : []),
  {
    title: 'Volumes',
    value: ({ volumes }) => String(volumes.length),
    number: true,
  },
  {
    title: 'State',
    value: ({ connections }) =>
      connections === 0 ? (
        <Badge tone="calm">not connected</Badge>
      ) : (
        <Badge tone="good">{plural(connections, 'path')}</Badge>
      ),
  },
  { title: 'Known since', value: ({ createdAt }) => <When at={createdAt} />, minor: true },
];

export function Hosts() {
  const { query } = place.value;
  const tenants = useTenants();
  const [nqn, tenant] = [query.get('nqn') ?? '', query.get('tenant') ?? ''];
  const asked = { ...(nqn && { nqn }), ...(tenant && { tenant }) };
  const paged = usePaged(JSON.stringify(asked), (page, aborter) =>
    call('listHosts', { query: { ...asked, ...page } }, aborter),
  );
  const set = (key: string) => (value: string) => go(withQuery({ [key]: value }), true);
  return (
    <>
      <Head title="Hosts and paths">
        {may('createHost') && (
          <TaskButton kind="primary" task={() => addHost(tenant || homeTenant(tenants))}>
            Add host
          </TaskButton>
        )}
      </Head>
      <FilterBar>
        <TextFilter label="Filter by NQN" value={nqn} onValue={set('nqn')} />
        <TenantChoice tenants={tenants} value={tenant} onValue={set('tenant')} />
      </FilterBar>
      <Problem error={paged.value === null ? null : paged.error} />
      {listState(
        paged,
        <Empty title="No host is known." line={cli('grant add VOLUME "$(cat /etc/nvme/hostnqn)"')}>
          <p>A host is known once a volume is granted to it. How it connects then:</p>
        </Empty>,
        <Waiting error={paged.error} />,
      ) ?? (
        <Table
          caption="Hosts"
          columns={hostColumns(tenants.length > 1)}
          rows={paged.items}
          rowKey={(host) => `${host.tenant}/${host.nqn}`}
          busy={paged.waiting}
        />
      )}
      {paged.value !== null && <Pager paged={paged} noun="hosts" />}
      <Paths tenant={tenant} host={null} title="All paths" />
    </>
  );
}

export interface Path {
  controller: Controller;
  portal: Portal | null;
}

/** Paths of a host, or all. */
function usePaths(tenant: string, host: string | null) {
  return useLive(`paths ${tenant} ${host ?? ''}`, async (aborter): Promise<Path[]> => {
    const of = { ...(tenant && { tenant }), ...(host !== null && { host }) };
    const [controllers, portals] = await Promise.all([
      allPages(
        (cursor) =>
          call('listControllers', { query: { ...of, ...(cursor && { cursor }) } }, aborter),
        1000,
      ),
      call('listPortals', {}, aborter),
    ]);
    return controllers.map((controller) => ({
      controller,
      portal: portals.items.find(({ portalId }) => portalId === controller.portalId) ?? null,
    }));
  });
}

const anaTones: Readonly<Record<string, Tone>> = {
  optimized: 'good',
  'non-optimized': 'info',
  inaccessible: 'warn',
  'persistent-loss': 'bad',
  change: 'warn',
};

/** States of the ANA groups as hosts see them through a portal; group 1 is that of all volumes. */
export function AnaStates({ portal }: { portal: Portal | null }) {
  if (portal === null) return <>–</>;
  const others = portal.ana.filter(({ anagrpid }) => anagrpid !== 1);
  const first = portal.ana.find(({ anagrpid }) => anagrpid === 1)?.state ?? 'optimized';
  if (portal.drained) return <Badge tone="warn">drained: inaccessible</Badge>;
  return (
    <span class="states">
      <Badge tone={anaTones[first] ?? 'calm'}>{`group 1: ${first}`}</Badge>
      {others.map(({ anagrpid, state }) => (
        <Badge
          key={anagrpid}
          tone={anaTones[state] ?? 'calm'}
        >{`group ${anagrpid}: ${state}`}</Badge>
      ))}
    </span>
  );
}

const pathColumns = (withHost: boolean): Column<Path>[] => [
  ...(withHost
    ? [
        {
          title: 'Host NQN',
          value: ({ controller }: Path) => <span class="mono">{controller.hostnqn}</span>,
        } as Column<Path>,
      ]
    : []),
  {
    title: 'Through portal',
    value: ({ controller, portal }) => (
      <Link href="/portals">{portal?.endpoint ?? String(controller.portalId)}</Link>
    ),
  },
  { title: 'ANA', value: ({ portal }) => <AnaStates portal={portal} /> },
  {
    title: 'From',
    value: ({ controller }) => <span class="mono nowrap">{controller.peer}</span>,
    minor: true,
  },
  {
    title: 'CNTLID',
    value: ({ controller }) => String(controller.cntlid),
    number: true,
    minor: true,
  },
  { title: 'I/O queues', value: ({ controller }) => String(controller.ioQueues), number: true },
  {
    title: 'Keep alive',
    value: ({ controller: { keepAliveMs } }) => (keepAliveMs === 0 ? 'off' : duration(keepAliveMs)),
    number: true,
    minor: true,
  },
  { title: 'Since', value: ({ controller }) => <When at={controller.connectedAt} /> },
];

export function Paths({
  tenant,
  host,
  title,
}: {
  tenant: string;
  host: string | null;
  title: string;
}) {
  const { value, error } = usePaths(tenant, host);
  const io = (value ?? []).filter(({ controller }) => controller.kind === 'io');
  return (
    <Card title={title} wide>
      {value === null ? (
        <Waiting error={error} />
      ) : io.length === 0 ? (
        <Empty title="Not connected." line={cli('connect-info')}>
          <p>This prints the commands with which a host connects:</p>
        </Empty>
      ) : (
        <Table
          caption={title}
          columns={pathColumns(host === null)}
          rows={io}
          rowKey={({ controller }) => `${controller.subnqn} ${controller.cntlid}`}
        />
      )}
    </Card>
  );
}

export function HostPage({ tenant, nqn }: { tenant: string; nqn: string }) {
  const { value, error } = useLive(`host ${tenant}/${nqn}`, (aborter) =>
    call('getHost', { params: { host: nqn }, query: { tenant } }, aborter),
  );
  const explanation = useExplanation(`host ${tenant}/${nqn}`, (aborter) =>
    call('explainHost', { params: { host: nqn }, query: { tenant } }, aborter),
  );
  const above = <Link href="/hosts">Hosts and paths</Link>;
  return (
    <>
      <Head title={nqn} above={above}>
        {value !== null && <Health {...explanation} />}
        {value !== null && may('deleteHost') && (
          <TaskButton kind="danger" task={() => removeHost(value)}>
            Remove
          </TaskButton>
        )}
      </Head>
      {value === null ? (
        <Waiting error={error} />
      ) : (
        <div class="cards">
          <Conditions
            live={explanation}
            none="Nothing keeps it from its volumes."
            line={cli('explain host', word(nqn), tenantFlag(tenant))}
          />
          <Paths tenant={tenant} host={nqn} title="Paths" />
          <Card title="Volumes granted by name" wide>
            {value.volumes.length === 0 ? (
              <Empty title="None." line={cli('grant add VOLUME', nqn)} />
            ) : (
              <ul class="columns">
                {value.volumes.map((volume) => (
                  <li key={volume}>
                    <Link href={pathTo('volumes', tenant, volume)}>{volume}</Link>
                  </li>
                ))}
              </ul>
            )}
          </Card>
          <HostKeys tenants={[]} tenant={tenant} host={nqn} />
          <Psks tenants={[]} tenant={tenant} host={nqn} />
        </div>
      )}
    </>
  );
}
