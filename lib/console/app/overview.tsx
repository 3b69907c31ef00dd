/** The node at one glance; of a tenant's token, the tenant. */
import type { Status } from '../../api/contract.js';
import { EventList, JobList } from './activity.js';
import { call, rights } from './api.js';
import { count, duration } from './format.js';
import { useLive } from './live.js';
import { Badge, Card, Facts, Head, Problem, Waiting } from './parts.js';
import { PoolSpace } from './pool.js';
import { Link } from './router.js';
import { TenantPage, TenantsIo } from './tenant.js';

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
  return (
    <TenantPage tenant={tenant}>
      <Card title="Jobs under way" actions={<Link href="/jobs">All jobs</Link>}>
        <JobList state="running" />
      </Card>
      <Card title="Newest events" wide actions={<Link href="/events">All events</Link>}>
        <EventList most={8} />
      </Card>
    </TenantPage>
  );
}
