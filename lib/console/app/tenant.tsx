/** One tenant: how it is used now, what is wrong with what it has, and what it may have. */
import type { ComponentChildren } from 'preact';
import type { Tenant } from '../../api/contract.js';
import { sumOf } from '../readings.js';
import { Rates } from './access.js';
import { call, may } from './api.js';
import { IoCharts } from './charts.js';
import { Conditions, Health, useExplanation } from './conditions.js';
import { cli, count, plural, size, word } from './format.js';
import { allPages, useLive } from './live.js';
import { Card, Facts, Head, Problem, UseOf, Waiting } from './parts.js';
import { Link } from './router.js';
import { TaskButton } from './task.js';
import { changeTenant } from './tenant_tasks.js';

interface PageProps {
  tenant: string;
  /** The page that it is below; a tenant's own token has this as the first. */
  above?: ComponentChildren;
  /** Further cards. */
  children?: ComponentChildren;
}

export function TenantPage({ tenant, above, children }: PageProps) {
  const { value, error } = useLive(`tenant ${tenant}`, (aborter) =>
    call('getTenant', { params: { tenant } }, aborter),
  );
  const explanation = useExplanation(`tenant ${tenant}`, (aborter) =>
    call('explainTenant', { params: { tenant } }, aborter),
  );
  return (
    <>
      <Head title={`Tenant ${tenant}`} above={above}>
        {value !== null && <Health {...explanation} />}
        {value !== null && may('changeTenant') && (
          <TaskButton task={() => changeTenant(tenant)}>Change</TaskButton>
        )}
      </Head>
      {value === null ? (
        <Waiting error={error} />
      ) : (
        <>
          <Problem error={error} />
          <div class="cards">
            <TenantsIo tenant={tenant} />
            <Conditions
              live={explanation}
              none="Nothing is wrong with what it has."
              line={cli('explain tenant', word(tenant))}
            />
            <Has tenant={value} />
            {children}
          </div>
        </>
      )}
    </>
  );
}

function Has({ tenant }: { tenant: Tenant }) {
  const { name, provisionedBytes, volumes, snapshots, hosts, quota } = tenant;
  const of = `?tenant=${encodeURIComponent(name)}`;
  const use = (label: string, value: number, most: number | null, show = count) =>
    [label, <UseOf key={label} value={value} most={most} show={show} label={label} />] as const;
  return (
    <Card title="What it has, and may have" actions={<Link href={`/volumes${of}`}>Volumes</Link>}>
      <Facts
        facts={[
          use('Capacity', provisionedBytes, quota.capacityBytes, size),
          use('Volumes', volumes, quota.volumes),
          use('Snapshots', snapshots, quota.snapshots),
          ['Limits a second', <Rates key="rates" tenant={tenant} />],
          [
            'Hosts',
            <Link key="hosts" href={`/hosts${of}`}>
              {plural(hosts, 'host')}
            </Link>,
          ],
        ]}
      />
    </Card>
  );
}

/** Of a tenant, or of all together. */
export function TenantsIo({ tenant }: { tenant: string | null }) {
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
