/** The pool: where its space is, and its devices. */
import type { Device, Pool } from '../../api/contract.js';
import { call, may } from './api.js';
import { Conditions, useExplanation } from './conditions.js';
import { cli, count, size, word } from './format.js';
import { useLive } from './live.js';
import { checkPool } from './node_tasks.js';
import {
  Badge,
  Card,
  Cli,
  type Column,
  Facts,
  Head,
  Meter,
  Problem,
  Stack,
  Table,
  Waiting,
} from './parts.js';
import { TaskButton } from './task.js';

export function PoolSpace({ pool }: { pool: Pool }) {
  const provisioned = pool.provisionedBytes ?? 0;
  const ratio = provisioned / pool.sizeBytes;
  return (
    <>
      {pool.problem !== null && (
        <p class="problem" role="alert">
          {pool.problem}
        </p>
      )}
      <Stack
        label={`Space of pool ${pool.name}`}
        total={pool.sizeBytes}
        parts={[
          { name: 'Data', bytes: pool.dataBytes, kind: 'data' },
          { name: 'Metadata', bytes: pool.metadataBytes, kind: 'meta' },
          { name: 'Coming back', bytes: pool.reclaimingBytes, kind: 'shared' },
          { name: 'Reserved', bytes: pool.reservedBytes, kind: 'reserved' },
          { name: 'Available', bytes: pool.availableBytes, kind: 'free' },
        ]}
      />
      <Facts
        facts={[
          ['Size', size(pool.sizeBytes)],
          [
            'Provisioned to volumes',
            `${size(provisioned)}${ratio > 1 ? `, ${ratio.toFixed(1)} times the pool` : ''}`,
          ],
        ]}
      />
    </>
  );
}

const columns: readonly Column<Device>[] = [
  {
    title: 'Device',
    value: ({ path, index }) => <span class="mono">{path ?? `device ${index}, in memory`}</span>,
  },
  { title: 'Index', value: ({ index }) => String(index), number: true },
  {
    title: 'State',
    value: ({ state }) => (
      <Badge tone={state === 'online' ? 'good' : state === 'missing' ? 'warn' : 'bad'}>
        {state}
      </Badge>
    ),
  },
  { title: 'Size', value: ({ sizeBytes }) => size(sizeBytes), number: true },
  {
    title: 'Used',
    value: ({ sizeBytes, freeBytes }) => (
      <Meter value={sizeBytes - freeBytes} of={sizeBytes} label="Used" />
    ),
  },
  { title: 'Read errors', value: ({ readErrors }) => count(readErrors), number: true },
  { title: 'Write errors', value: ({ writeErrors }) => count(writeErrors), number: true },
];

export function PoolPage() {
  const { value, error } = useLive('pools', (aborter) => call('listPools', {}, aborter));
  return (
    <>
      <Head title="Pool and devices">
        {may('startPoolCheck') &&
          value?.items.map(({ name, uuid }) => (
            <TaskButton key={uuid} task={() => checkPool(name)}>
              Check
            </TaskButton>
          ))}
      </Head>
      {value === null ? (
        <Waiting error={error} />
      ) : (
        <>
          <Problem error={error} />
          {value.items.map((pool) => (
            <OnePool key={pool.uuid} pool={pool} />
          ))}
        </>
      )}
    </>
  );
}

function OnePool({ pool }: { pool: Pool }) {
  const tone = pool.state === 'healthy' ? 'good' : pool.state === 'degraded' ? 'warn' : 'bad';
  const explanation = useExplanation(`pool ${pool.uuid}`, (aborter) =>
    call('explainPool', { params: { pool: pool.name } }, aborter),
  );
  return (
    <div class="cards">
      <Conditions
        live={explanation}
        none="Nothing is wrong with it."
        line={cli('explain pool', word(pool.name))}
        mark
      />
      <Card title={`Pool ${pool.name}`} actions={<Badge tone={tone}>{pool.state}</Badge>}>
        <PoolSpace pool={pool} />
      </Card>
      <Card title="Inside">
        <Facts
          facts={[
            ['Layers', count(pool.layers)],
            ['Deleted layers being given back', count(pool.reclaimingLayers)],
            ['Journal', `${size(pool.journalUsedBytes)} of ${size(pool.journalBytes)} to replay`],
            ['Commits, checkpoints', `${count(pool.commits)}, ${count(pool.checkpoints)}`],
            ['Maps in memory', size(pool.mapMemoryBytes)],
            ['Atomic write', size(pool.atomicWriteBytes)],
            ['Format', String(pool.formatVersion)],
          ]}
        />
      </Card>
      <Card title="Devices" wide>
        <Table
          caption={`Devices of ${pool.name}`}
          columns={columns}
          rows={pool.devices}
          rowKey={({ uuid }) => uuid}
        />
        <p class="same">More space, while I/O goes on:</p>
        <Cli line={cli('pool device add /dev/nvme2n1')} />
      </Card>
    </div>
  );
}
