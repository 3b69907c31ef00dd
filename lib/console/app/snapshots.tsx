/** Snapshots of all volumes: a tree of those that have some, and of what deleted volumes left. */

import { useState } from 'preact/hooks';
import type { Snapshot } from '../../api/contract.js';
import { call, rights } from './api.js';
import { cli, plural } from './format.js';
import { useLive } from './live.js';
import { listState, Pager, usePaged } from './paged.js';
import {
  Card,
  Empty,
  FilterBar,
  Head,
  Problem,
  TenantChoice,
  TextFilter,
  Waiting,
} from './parts.js';
import { go, place, withQuery } from './router.js';
import type { Task } from './task.js';
import { TaskButton } from './task.js';
import { homeTenant, useTenants } from './tenants.js';
import { Branch, Root } from './tree.js';
import { createSnapshot, suggestVolumes } from './volume_tasks.js';

export function Snapshots() {
  const { query } = place.value;
  const tenants = useTenants();
  const [name, tenant] = [query.get('name') ?? '', query.get('tenant') ?? ''];
  const asked = { ...(name && { name }), ...(tenant && { tenant }) };
  const paged = usePaged(JSON.stringify(asked), (page, aborter) =>
    call('listVolumes', { query: { ...asked, snapshots: 'true', ...page } }, aborter),
  );
  const set = (key: string) => (value: string) => go(withQuery({ [key]: value }), true);
  const filtered = Object.keys(asked).length > 0;
  return (
    <>
      <Head title="Snapshots">
        {rights().change && (
          <TaskButton kind="primary" task={() => snapshotOfAny(tenant || homeTenant(tenants))}>
            Take a snapshot
          </TaskButton>
        )}
      </Head>
      <FilterBar>
        <TextFilter label="Filter volumes by name" value={name} onValue={set('name')} />
        <TenantChoice tenants={tenants} value={tenant} onValue={set('tenant')} />
      </FilterBar>
      <Problem error={paged.value === null ? null : paged.error} />
      {listState(
        paged,
        <Empty
          title={filtered ? 'No volume like that has snapshots.' : 'No snapshots yet.'}
          line={cli('snapshot create web@monday')}
        >
          <p>A snapshot is taken at once, whatever the size of the volume, while hosts write.</p>
        </Empty>,
        <Waiting error={paged.error} />,
      ) ?? (
        <ul class="tree roots" aria-label="Volumes with snapshots">
          {paged.items.map((volume) => (
            <li key={volume.uuid}>
              <Root volume={volume} />
            </li>
          ))}
        </ul>
      )}
      {paged.value !== null && <Pager paged={paged} noun="volumes with snapshots" />}
      <Left tenant={tenant} />
    </>
  );
}

/** The task, with the volume asked for. */
function snapshotOfAny(tenant: string): Task {
  const made = (values: Readonly<Record<string, string>>): Task =>
    createSnapshot({ name: values['volume'] ?? '', tenant });
  const plain = createSnapshot({ name: '', tenant });
  return {
    ...plain,
    title: 'Take a snapshot',
    fields: [
      { name: 'volume', label: 'Volume', suggest: (typed) => suggestVolumes(tenant, typed) },
      ...(plain.fields ?? []),
    ],
    cli: (values) => made(values).cli(values),
    run: (values) => made(values).run(values),
  };
}

/** Snapshots outlive their volume. */
function Left({ tenant }: { tenant: string }) {
  const { value } = useLive(
    `left ${tenant}`,
    async (aborter) => {
      const { items } = await call(
        'listSnapshots',
        { query: { deletedVolume: 'true', limit: '1000', ...(tenant && { tenant }) } },
        aborter,
      );
      return byVolume(items);
    },
    15_000,
  );
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  if (value === null || value.length === 0) return null;
  const toggle = (key: string): void => {
    const next = new Set(open);
    if (!next.delete(key)) next.add(key);
    setOpen(next);
  };
  return (
    <Card title="Of deleted volumes" wide>
      <ul class="tree roots">
        {value.map(({ key, volume, tenant: owner, count }) => (
          <li key={key}>
            <div class="node root">
              <button
                type="button"
                class="toggle"
                aria-expanded={open.has(key)}
                aria-label={`Snapshots of ${volume}, deleted`}
                onClick={() => toggle(key)}
              >
                <span aria-hidden="true">{open.has(key) ? '▾' : '▸'}</span>
              </button>
              <span class="name">{volume}</span>
              <span class="soft">{plural(count, 'snapshot')}</span>
            </div>
            {open.has(key) && (
              <Branch tenant={owner} name={volume} uuid={null} connections={0} depth={1} />
            )}
          </li>
        ))}
      </ul>
    </Card>
  );
}

interface LeftVolume {
  key: string;
  volume: string;
  tenant: string;
  count: number;
}

function byVolume(snapshots: readonly Snapshot[]): LeftVolume[] {
  const found = new Map<string, LeftVolume>();
  for (const { volume, tenant } of snapshots) {
    const key = `${tenant}/${volume}`;
    const before = found.get(key)?.count ?? 0;
    found.set(key, { key, volume, tenant, count: before + 1 });
  }
  return [...found.values()];
}
