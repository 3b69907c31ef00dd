/** The node at one glance; of a tenant's token, the tenant. */
import type { Status } from '../../api/contract.js';
import { sumOf } from '../readings.js';
import { Rates } from './access.js';
import { EventList, JobList } from './activity.js';
import { call, rights } from './api.js';
import { IoCharts } from './charts.js';
import { count, duration, plural, size } from './format.js';
import { allPages, useLive } from './live.js';
import { Badge, Card, Facts, Head, Problem, UseOf, Waiting } from './parts.js';
import { PoolSpace } from './pool.js';
import { Link } from './router.js';

export function Overview() {
  const { node, tenant } = rights();
  return node ? <NodeOverview /> : <TenantOverview tenant={tenant ?? ''} />;
}

function NodeOverview() {
  const { value, error } = useLive('status', (aborter) => call('getStatus', {}, aborter));
  return (
    <>
      <Head title="Overview">{value !== null && <State status={value} />}</Head>
      <Problem error={value === null ? null : error} />
      {value === null ? (
        <Waiting error={error} />
      ) : (
        <>
          {value.problem !== null && (
            <p class="problem" role="alert">
              {value.problem}
            </p>
          )}
          <Tiles status={value} />
          <div class="cards">
            <TenantsIo tenant={null} />
            {value.pools.map((pool) => (
              <Card
                key={pool.uuid}
                title={`Pool ${pool.name}`}
                actions={<Link href="/pool">Devices</Link>}
              >
                <PoolSpace pool={pool} />
              </Card>
            ))}
            <NodeFacts status={value} />
            <Card title="Jobs under way" actions={<Link href="/jobs">All jobs</Link>}>
              <JobList state="running" />
            </Card>
            <Card title="Newest events" actions={<Link href="/events">All events</Link>}>
              <EventList most={8} />
            </Card>
          </div>
        </>
      )}
    </>
  );
}

function State({ status }: { status: Status }) {
  const degraded = status.pools.some(({ state }) => state !== 'healthy');
  if (status.state !== 'serving') return <Badge tone="bad">{status.state}</Badge>;
  if (degraded) return <Badge tone="warn">serving, degraded</Badge>;
  return <Badge tone="good">serving</Badge>;
}

function Tiles({ status }: { status: Status }) {
  const tiles: readonly (readonly [string, number, string])[] = [
    ['Volumes', status.volumes, '/volumes'],
    ['Snapshots', status.snapshots, '/snapshots'],
    ['Connected controllers', status.controllers, '/hosts'],
    ['Tenants', status.tenants, '/tenants'],
  ];
  return (
    <ul class="tiles">
      {tiles.map(([name, value, href]) => (
        <li key={name}>
          <Link href={href}>
            <span class="big">{count(value)}</span>
            <span>{name}</span>
          </Link>
        </li>
      ))}
    </ul>
  );
}

function NodeFacts({ status }: { status: Status }) {
  const { portals, reactors, tls, version, pid, startedAt } = status;
  const waiting = portals.filter(({ problem }) => problem !== null).length;
  const commands = reactors.reduce((sum, each) => sum + each.commands, 0);
  return (
    <Card title="Node">
      <Facts
        facts={[
          ['Version', `${version}, process ${pid}`],
          ['Up', duration(Date.now() - Date.parse(startedAt))],
          ['Commands since then', count(commands)],
          ['I/O threads', String(reactors.length)],
          [
            'Portals',
            <span key="portals">
              {portals.map(({ endpoint }) => endpoint).join(', ')}
              {waiting > 0 && <Badge tone="bad">{`${waiting} do not listen`}</Badge>}
            </span>,
          ],
          ['TLS', tls.mode === 'none' ? 'none' : `${tls.mode}, records by the ${tls.records}`],
        ]}
      />
    </Card>
  );
}

function TenantOverview({ tenant }: { tenant: string }) {
  const { value, error } = useLive(`tenant ${tenant}`, (aborter) =>
    call('getTenant', { params: { tenant } }, aborter),
  );
  return (
    <>
      <Head title={`Tenant ${tenant}`} />
      {value === null ? (
        <Waiting error={error} />
      ) : (
        <div class="cards">
          <TenantsIo tenant={tenant} />
          <Card title="What it has, and may have">
            <Facts
              facts={[
                [
                  'Capacity',
                  <UseOf
                    key="capacity"
                    value={value.provisionedBytes}
                    most={value.quota.capacityBytes}
                    show={size}
                    label="Capacity"
                  />,
                ],
                [
                  'Volumes',
                  <UseOf
                    key="volumes"
                    value={value.volumes}
                    most={value.quota.volumes}
                    show={count}
                    label="Volumes"
                  />,
                ],
                [
                  'Snapshots',
                  <UseOf
                    key="snapshots"
                    value={value.snapshots}
                    most={value.quota.snapshots}
                    show={count}
                    label="Snapshots"
                  />,
                ],
                ['Limits a second', <Rates key="rates" tenant={value} />],
                ['Hosts', plural(value.hosts, 'host')],
              ]}
            />
          </Card>
          <Card title="Jobs under way" actions={<Link href="/jobs">All jobs</Link>}>
            <JobList state="running" />
          </Card>
          <Card title="Newest events" wide actions={<Link href="/events">All events</Link>}>
            <EventList most={8} />
          </Card>
        </div>
      )}
    </>
  );
}

/** Of a tenant, or of all together. */
function TenantsIo({ tenant }: { tenant: string | null }) {
  return (
    <IoCharts
      of={tenant === null ? 'node' : `tenant ${tenant}`}
      ask={async (aborter) => {
        const of = tenant === null ? {} : { tenant };
        return sumOf(
          await allPages((cursor) =>
            call('listTenantStatistics', { query: { ...of, ...(cursor && { cursor }) } }, aborter),
          ),
        );
      }}
    />
  );
}
