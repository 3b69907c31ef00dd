/**
 * Volumes, their snapshots, and the clones made of those, as a tree: nested lists, whose branches
 * open and close by buttons.
 */
import { useState } from 'preact/hooks';
import type { Snapshot, Volume } from '../../api/contract.js';
import { call, rights } from './api.js';
import { plural, size } from './format.js';
import { allPages, useLive } from './live.js';
import { Badge, Empty, Problem, Waiting, When } from './parts.js';
import { Link } from './router.js';
import { TaskButton } from './task.js';
import {
  cloneOf,
  createSnapshot,
  deleteSnapshot,
  grant,
  rollBack,
  volumePath,
} from './volume_tasks.js';

/** Snapshots of a volume, the oldest first, and what was cloned from it or them. */
function useBranch(tenant: string, volume: string, own: string | null) {
  return useLive(
    `branch ${tenant}/${volume}`,
    async (aborter) => {
      const snapshots = await allPages((cursor) =>
        call('listSnapshots', { query: { tenant, volume, ...(cursor && { cursor }) } }, aborter),
      );
      const clones = new Map<string, Volume[]>();
      const of = own === null ? snapshots[0]?.uuid : own;
      if (of === undefined) return { snapshots, clones };
      const found = await allPages((cursor) =>
        call(
          'listVolumes',
          { query: { tenant, cloneOf: volume, ...(cursor && { cursor }) } },
          aborter,
        ),
      );
      for (const clone of found) {
        const source = clone.sourceUuid ?? '';
        clones.set(source, [...(clones.get(source) ?? []), clone]);
      }
      return { snapshots, clones };
    },
    5000,
  );
}

/** @param depth how far from the root. */
export function VolumeTree({ volume, depth = 0 }: { volume: Volume; depth?: number }) {
  return (
    <Branch
      tenant={volume.tenant}
      name={volume.name}
      uuid={volume.uuid}
      connections={volume.connections}
      depth={depth}
    />
  );
}

interface BranchProps {
  tenant: string;
  name: string;
  /** null: the volume is deleted, and its snapshots are still there. */
  uuid: string | null;
  connections: number;
  depth: number;
}

export function Branch({ tenant, name, uuid, connections, depth }: BranchProps) {
  const { value, error } = useBranch(tenant, name, uuid);
  if (value === null) return <Waiting error={error} />;
  const { snapshots, clones } = value;
  const direct = uuid === null ? [] : (clones.get(uuid) ?? []);
  if (snapshots.length === 0 && direct.length === 0) {
    if (depth > 0) return <p class="soft leaf">No snapshots of its own.</p>;
    return (
      <Empty title="No snapshots yet." line={`ashlar snapshot create ${name}@monday`}>
        <p>One is taken at once, whatever the size, while hosts write.</p>
      </Empty>
    );
  }
  return (
    <>
      <Problem error={error} />
      <ul class="tree" aria-label={`Snapshots and clones of ${name}`}>
        {snapshots.map((snapshot) => (
          <li key={snapshot.uuid}>
            <SnapshotRow snapshot={snapshot} connections={connections} rollable={uuid !== null} />
            <Clones clones={clones.get(snapshot.uuid) ?? []} depth={depth} />
          </li>
        ))}
        {direct.map((clone) => (
          <li key={clone.uuid}>
            <CloneRow clone={clone} depth={depth} />
          </li>
        ))}
      </ul>
    </>
  );
}

function SnapshotRow({
  snapshot,
  connections,
  rollable,
}: {
  snapshot: Snapshot;
  connections: number;
  rollable: boolean;
}) {
  const { name, reference, tenant, createdAt, freesBytes, groupUuid, grants } = snapshot;
  return (
    <div class="node">
      <span class="kind snapshot" aria-hidden="true" />
      <span class="name">
        <span class="quiet">Snapshot </span>
        {name}
      </span>
      <span class="soft">
        <When at={createdAt} />
      </span>
      <span class="soft">{`frees ${size(freesBytes)}`}</span>
      {groupUuid !== null && <Badge tone="info">group</Badge>}
      {grants.length > 0 && <Badge tone="calm">{plural(grants.length, 'grant')}</Badge>}
      {rights().change && (
        <span class="row-actions">
          <TaskButton
            label={`Clone ${reference}`}
            task={() => cloneOf(reference, tenant, snapshot.sizeBytes)}
          >
            Clone
          </TaskButton>
          <TaskButton label={`Grant ${reference}`} task={() => grant(reference, tenant)}>
            Grant
          </TaskButton>
          {rollable && (
            <TaskButton
              kind="danger"
              label={`Roll back to ${reference}`}
              task={() => rollBack(snapshot, connections)}
            >
              Roll back
            </TaskButton>
          )}
          <TaskButton
            kind="danger"
            label={`Delete ${reference}`}
            task={() => deleteSnapshot(snapshot)}
          >
            Delete
          </TaskButton>
        </span>
      )}
    </div>
  );
}

function Clones({ clones, depth }: { clones: readonly Volume[]; depth: number }) {
  if (clones.length === 0) return null;
  return (
    <ul>
      {clones.map((clone) => (
        <li key={clone.uuid}>
          <CloneRow clone={clone} depth={depth} />
        </li>
      ))}
    </ul>
  );
}

function CloneRow({ clone, depth }: { clone: Volume; depth: number }) {
  const [open, setOpen] = useState(false);
  return (
    <>
      <div class="node">
        {clone.snapshots > 0 ? (
          <Toggle open={open} name={clone.name} onToggle={() => setOpen(!open)} />
        ) : (
          <span class="kind volume" aria-hidden="true" />
        )}
        <span class="name">
          <span class="quiet">Clone </span>
          <Link href={volumePath(clone)}>{clone.name}</Link>
        </span>
        <span class="soft">{size(clone.sizeBytes)}</span>
        {clone.snapshots > 0 && <span class="soft">{plural(clone.snapshots, 'snapshot')}</span>}
        {clone.connections > 0 && <Badge tone="good">{`${clone.connections} connected`}</Badge>}
      </div>
      {open && <VolumeTree volume={clone} depth={depth + 1} />}
    </>
  );
}

export function Toggle({
  open,
  name,
  onToggle,
}: {
  open: boolean;
  name: string;
  onToggle: () => void;
}) {
  return (
    <button
      type="button"
      class="toggle"
      aria-expanded={open}
      aria-label={`Snapshots of ${name}`}
      onClick={onToggle}
    >
      <span aria-hidden="true">{open ? '▾' : '▸'}</span>
    </button>
  );
}

/** A volume at the root of a tree. */
export function Root({ volume }: { volume: Volume }) {
  const [open, setOpen] = useState(false);
  return (
    <>
      <div class="node root">
        <Toggle open={open} name={volume.name} onToggle={() => setOpen(!open)} />
        <span class="name">
          <Link href={volumePath(volume)}>{volume.name}</Link>
        </span>
        <span class="soft">{plural(volume.snapshots, 'snapshot')}</span>
        <span class="soft">{size(volume.sizeBytes)}</span>
        {rights().change && (
          <span class="row-actions">
            <TaskButton label={`Snapshot of ${volume.name}`} task={() => createSnapshot(volume)}>
              Snapshot
            </TaskButton>
          </span>
        )}
      </div>
      {open && <VolumeTree volume={volume} depth={1} />}
    </>
  );
}
