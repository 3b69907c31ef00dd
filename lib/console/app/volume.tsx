/** One volume: what it has, who uses it, its snapshots and clones, and how it is used now. */
import type { Grant, Volume } from '../../api/contract.js';
import { call, may, rights } from './api.js';
import { IoCharts } from './charts.js';
import { Conditions, Health, type Judged, useExplanation } from './conditions.js';
import { cli, count, plural, size, tenantFlag, word } from './format.js';
import { LimitsCard } from './limits.js';
import { type Live, useLive } from './live.js';
import {
  Badge,
  Card,
  type Column,
  Copy,
  Empty,
  Facts,
  Head,
  Problem,
  Stack,
  Table,
  Waiting,
  When,
} from './parts.js';
import { Link, pathTo } from './router.js';
import { TaskButton } from './task.js';
import { VolumeTree } from './tree.js';
import {
  cloneOf,
  createSnapshot,
  deleteVolume,
  grant,
  renameVolume,
  reserveVolume,
  resizeVolume,
  revoke,
} from './volume_tasks.js';

export function VolumePage({ tenant, name }: { tenant: string; name: string }) {
  const { value, error } = useLive(`volume ${tenant}/${name}`, (aborter) =>
    call('getVolume', { params: { volume: name }, query: { tenant } }, aborter),
  );
  const uuid = value?.uuid ?? '';
  const explanation = useExplanation(uuid === '' ? null : `volume ${uuid}`, (aborter) =>
    call('explainVolume', { params: { volume: uuid }, query: { tenant } }, aborter),
  );
  return (
    <>
      <Head title={value?.name ?? name} above={<Link href="/volumes">Volumes</Link>}>
        {value !== null && <Health {...explanation} />}
        {value !== null && may('changeVolume') && <Actions volume={value} />}
      </Head>
      {value === null ? (
        <Waiting error={error} />
      ) : (
        <>
          <Problem error={error} />
          <Cards volume={value} explanation={explanation} />
        </>
      )}
    </>
  );
}

function Cards({ volume, explanation }: { volume: Volume; explanation: Live<Judged | null> }) {
  const { name, tenant, uuid } = volume;
  return (
    <div class="cards">
      <IoCharts
        of={`volume ${uuid}`}
        ask={(aborter) =>
          call('getVolumeStatistics', { params: { volume: name }, query: { tenant } }, aborter)
        }
      />
      <Conditions
        live={explanation}
        none="Nothing keeps hosts from using it."
        line={cli('explain volume', word(name), tenantFlag(tenant))}
      />
      <div class="pile">
        <Space volume={volume} />
        <LimitsCard volume={volume} />
      </div>
      <Identity volume={volume} />
      <Grants volume={volume} />
      <Card
        title="Snapshots and clones"
        wide
        actions={
          may('createSnapshots') && (
            <TaskButton task={() => createSnapshot(volume)}>Take a snapshot</TaskButton>
          )
        }
      >
        <VolumeTree volume={volume} />
      </Card>
    </div>
  );
}

function Actions({ volume }: { volume: Volume }) {
  return (
    <>
      <TaskButton kind="primary" task={() => createSnapshot(volume)}>
        Snapshot
      </TaskButton>
      <TaskButton task={() => cloneOf(volume.name, volume.tenant, volume.sizeBytes)}>
        Clone
      </TaskButton>
      <TaskButton task={() => resizeVolume(volume)}>Resize</TaskButton>
      <TaskButton task={() => grant(volume.name, volume.tenant)}>Grant</TaskButton>
      <TaskButton task={() => renameVolume(volume)}>Rename</TaskButton>
      <TaskButton task={() => reserveVolume(volume)}>
        {volume.reserved ? 'Unreserve' : 'Reserve'}
      </TaskButton>
      <TaskButton kind="danger" task={() => deleteVolume(volume)}>
        Delete
      </TaskButton>
    </>
  );
}

function Space({ volume }: { volume: Volume }) {
  const { sizeBytes, mappedBytes, sharedBytes, exclusiveBytes } = volume;
  const own = Math.max(0, mappedBytes - sharedBytes);
  return (
    <Card title="Space">
      <Stack
        label="Written"
        total={sizeBytes}
        parts={[
          { name: 'Written, its own', bytes: own, kind: 'data' },
          { name: 'Written, shared', bytes: sharedBytes, kind: 'shared' },
          { name: 'Not written', bytes: sizeBytes - own - sharedBytes, kind: 'free' },
        ]}
      />
      <Facts
        facts={[
          ['Size', size(sizeBytes)],
          ['Pool space of its own', size(exclusiveBytes)],
          [
            'Room',
            volume.reserved
              ? `reserved, ${size(volume.reservedBytes)} still unused`
              : 'as it is written',
          ],
        ]}
      />
    </Card>
  );
}

function Identity({ volume }: { volume: Volume }) {
  const { uuid, subnqn, nsid, nguid, blockBytes, anagrpid, createdAt, connections } = volume;
  return (
    <Card title="For hosts">
      <Facts
        facts={[
          [
            'State',
            connections === 0 ? (
              <Badge tone="calm">not connected</Badge>
            ) : (
              <Badge tone="good">{plural(connections, 'controller')}</Badge>
            ),
          ],
          ['Tenant', volume.tenant],
          ['Namespace (NSID)', `${nsid}, ANA group ${anagrpid}`],
          ['Blocks', `${count(blockBytes)} bytes`],
          ['UUID', <Long key="uuid" text={uuid} what="the UUID" />],
          ['NGUID', <Long key="nguid" text={nguid} what="the NGUID" />],
          ['Subsystem', <Long key="subnqn" text={subnqn} what="the subsystem NQN" />],
          ['Created', <When key="created" at={createdAt} />],
        ]}
      />
    </Card>
  );
}

export function Long({ text, what }: { text: string; what: string }) {
  return (
    <span class="long">
      <code>{text}</code> <Copy text={text} what={what} />
    </span>
  );
}

function Grants({ volume }: { volume: Volume }) {
  const { change } = rights();
  const columns: Column<Grant>[] = [
    {
      title: 'Host',
      value: ({ host }) =>
        host === '*' ? (
          'any host'
        ) : (
          <Link href={pathTo('hosts', volume.tenant, host)} class="mono">
            {host}
          </Link>
        ),
    },
    { title: 'May', value: ({ access }) => access },
    { title: 'Since', value: ({ createdAt }) => <When at={createdAt} />, minor: true },
    ...(change
      ? [
          {
            title: 'Actions',
            quiet: true,
            value: ({ host }: Grant) => (
              <TaskButton
                kind="danger"
                label={`Revoke the grant of ${host === '*' ? 'any host' : host}`}
                task={() => revoke(volume.name, volume.tenant, host)}
              >
                Revoke
              </TaskButton>
            ),
          } as Column<Grant>,
        ]
      : []),
  ];
  return (
    <Card
      title="Who may use it"
      wide
      actions={
        change && (
          <TaskButton task={() => grant(volume.name, volume.tenant)}>Grant to a host</TaskButton>
        )
      }
    >
      {volume.grants.length === 0 ? (
        <Empty
          title="No host may use it yet."
          line={`ashlar grant add ${volume.name} "$(cat /etc/nvme/hostnqn)"`}
        />
      ) : (
        <Table
          caption={`Grants of ${volume.name}`}
          columns={columns}
          rows={volume.grants}
          rowKey={({ host }) => host}
        />
      )}
    </Card>
  );
}
