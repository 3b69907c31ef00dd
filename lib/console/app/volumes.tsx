/** The list of volumes. */
import type { Volume } from '../../api/contract.js';
import { call, rights } from './api.js';
import { cli, count, size } from './format.js';
import { useLive } from './live.js';
import { listState, Pager, usePaged } from './paged.js';
import {
  Badge,
  Choice,
  type Column,
  Empty,
  FilterBar,
  Head,
  Meter,
  Problem,
  Table,
  TenantChoice,
  TextFilter,
  Waiting,
  When,
} from './parts.js';
import { go, Link, place, withQuery } from './router.js';
import { TaskButton } from './task.js';
import { homeTenant, useTenants } from './tenants.js';
import { createVolume, volumePath } from './volume_tasks.js';

const columns = (several: boolean): Column<Volume>[] => [
  {
    title: 'Name',
    value: (volume) => <Link href={volumePath(volume)}>{volume.name}</Link>,
  },
  ...(several
    ? [{ title: 'Tenant', value: ({ tenant }: Volume) => tenant, minor: true } as Column<Volume>]
    : []),
  { title: 'Size', value: ({ sizeBytes }) => size(sizeBytes), number: true },
  { title: 'Written', value: ({ mappedBytes }) => size(mappedBytes), number: true, minor: true },
  {
    title: 'Full',
    value: ({ mappedBytes, sizeBytes }) => (
      <Meter value={mappedBytes} of={sizeBytes} label="Written" />
    ),
  },
  {
    title: 'Own space',
    value: ({ exclusiveBytes }) => size(exclusiveBytes),
    number: true,
    minor: true,
  },
  { title: 'Snapshots', value: ({ snapshots }) => count(snapshots), number: true, minor: true },
  {
    title: 'Hosts',
    value: ({ grants, connections }) =>
      connections > 0 ? (
        <Badge tone="good">{`${connections} connected`}</Badge>
      ) : grants.length > 0 ? (
        <Badge tone="calm">{`${grants.length} granted`}</Badge>
      ) : (
        <Badge tone="warn">not granted</Badge>
      ),
  },
  { title: 'Created', value: ({ createdAt }) => <When at={createdAt} />, minor: true },
];

const [ofOne, ofSeveral] = [columns(false), columns(true)];

export function Volumes() {
  const { query } = place.value;
  const tenants = useTenants();
  const { change, node } = rights();
  const [name, tenant, host, reserved] = ['name', 'tenant', 'host', 'reserved'].map(
    (key) => query.get(key) ?? '',
  );
  const filter = { name, tenant, host, reserved };
  const asked = Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== ''));
  const paged = usePaged(JSON.stringify(asked), (page, aborter) =>
    call('listVolumes', { query: { ...asked, ...page } }, aborter),
  );
  const total = useLive(
    'volumes',
    async (aborter) => (node ? (await call('getStatus', {}, aborter)).volumes : undefined),
    15_000,
  ).value;
  const set = (key: string) => (value: string) => go(withQuery({ [key]: value }), true);
  const filtered = Object.keys(asked).length > 0;
  const create = () => createVolume(tenants, tenant || homeTenant(tenants));
  return (
    <>
      <Head title="Volumes">
        {change && (
          <TaskButton kind="primary" task={create}>
            Create volume
          </TaskButton>
        )}
      </Head>
      <FilterBar>
        <TextFilter label="Filter by name" value={name ?? ''} onValue={set('name')} />
        <TenantChoice tenants={tenants} value={tenant ?? ''} onValue={set('tenant')} />
        <Choice
          label="Room"
          value={reserved ?? ''}
          options={[
            ['', 'All'],
            ['true', 'Reserved'],
            ['false', 'Not reserved'],
          ]}
          onValue={set('reserved')}
        />
        {host !== '' && (
          <button type="button" onClick={() => set('host')('')}>
            {`Of host ${host} ✕`}
          </button>
        )}
      </FilterBar>
      <Problem error={paged.value === null ? null : paged.error} />
      {listState(
        paged,
        filtered ? (
          <Empty title="No volume is like that.">
            <p>Change the filter above.</p>
          </Empty>
        ) : (
          <Empty title="No volumes yet." line={cli('volume create web --size 10GiB')}>
            <p>Create one here, or with the command line.</p>
          </Empty>
        ),
        <Waiting error={paged.error} />,
      ) ?? (
        <Table
          caption="Volumes"
          columns={tenants.length > 1 ? ofSeveral : ofOne}
          rows={paged.items}
          rowKey={({ uuid }) => uuid}
          busy={paged.waiting}
        />
      )}
      {paged.value !== null && (
        <Pager
          paged={paged}
          noun="volumes"
          {...(filtered || typeof total !== 'number' ? {} : { total })}
        />
      )}
    </>
  );
}
