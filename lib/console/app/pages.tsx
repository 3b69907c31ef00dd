/** Which page an address is of. */
import type { ComponentChildren } from 'preact';
import { type Section, sections } from '../paths.js';
import { Tenants, Tokens } from './access.js';
import { Events, Jobs } from './activity.js';
import { HostPage, Hosts } from './hosts.js';
import { Keys } from './keys.js';
import { Overview } from './overview.js';
import { Empty, Head } from './parts.js';
import { Policies } from './policies.js';
import { PoolPage } from './pool.js';
import { Portals } from './portals.js';
import { Link } from './router.js';
import { Schedules } from './schedules.js';
import { Snapshots } from './snapshots.js';
import { TenantPage } from './tenant.js';
import { VolumePage } from './volume.js';
import { Volumes } from './volumes.js';

const pages: Readonly<Record<Section, () => ComponentChildren>> = {
  volumes: () => <Volumes />,
  snapshots: () => <Snapshots />,
  schedules: () => <Schedules />,
  policies: () => <Policies />,
  hosts: () => <Hosts />,
  keys: () => <Keys />,
  portals: () => <Portals />,
  pool: () => <PoolPage />,
  jobs: () => <Jobs />,
  events: () => <Events />,
  tenants: () => <Tenants />,
  tokens: () => <Tokens />,
};

export function pageOf(parts: readonly string[]): ComponentChildren {
  const [word, tenant, name, ...rest] = parts;
  if (word === undefined) return <Overview />;
  const section = sections.find((each) => each === word);
  if (section !== undefined && tenant === undefined) return pages[section]();
  if (section === 'tenants' && tenant !== undefined && name === undefined) {
    return <TenantPage tenant={tenant} above={<Link href="/tenants">Tenants</Link>} />;
  }
  if (tenant !== undefined && name !== undefined && rest.length === 0) {
    if (section === 'volumes') return <VolumePage tenant={tenant} name={name} />;
    if (section === 'hosts') return <HostPage tenant={tenant} nqn={name} />;
  }
  return (
    <>
      <Head title="Not found" />
      <Empty title="There is no such page.">
        <p>
          <Link href="/">To the overview</Link>
        </p>
      </Empty>
    </>
  );
}
