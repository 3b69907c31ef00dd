/** What is the node's: its pool, reactors, hosts, jobs and process. */
import { jobKinds, jobStates } from '../jobs/types.js';
import type { PoolStatus, ReactorCounters } from '../native.js';
import { endReasons } from '../target/associations.js';
import { each, type Family, one, type Sample } from './family.js';
import type { NodeReading } from './reading.js';

const pool =
  (value: (status: PoolStatus) => number | bigint) =>
  ({ status }: NodeReading) =>
    value(status.pool);
const chunks = (value: (status: PoolStatus) => bigint) =>
  pool((status) => value(status) * status.chunkBytes);

const nodeFamilies: readonly Family[] = [
  each('gauge', 'ashlar_build_info', 'Always 1', ['version', 'node', 'format'], ({ status }) => [
    {
      labels: {
        version: status.version,
        node: process.versions.node,
        format: status.pool.formatVersion,
      },
      value: 1,
    },
  ]),
  one('gauge', 'ashlar_serving', '1 while the node serves, 0 when its pool has failed', (node) =>
    node.status.state === 'failed' ? 0 : 1,
  ),
  one('gauge', 'ashlar_tenants', 'Tenants', ({ status }) => status.tenants),
  one('gauge', 'ashlar_volumes', 'Volumes', ({ status }) => status.volumes),
  one('gauge', 'ashlar_snapshots', 'Snapshots', ({ status }) => status.snapshots),
  one(
    'gauge',
    'ashlar_volumes_summed',
    'Volumes without series of their own, in those of volume="(others)"',
    ({ summedVolumes }) => summedVolumes,
  ),
  each(
    'gauge',
    'ashlar_portal_listening',
    '1 while the portal listens, 0 while its address cannot be listened on',
    ['portal'],
    ({ status }) =>
      status.portals.map(({ endpoint: portal, problem }) => {
        return { labels: { portal }, value: problem === null ? 1 : 0 };
      }),
  ),
];

const poolFamilies: readonly Family[] = [
  one(
    'gauge',
    'ashlar_pool_size_bytes',
    'Size of the pool, all devices',
    pool((s) => s.sizeBytes),
  ),
  one(
    'gauge',
    'ashlar_pool_usable_bytes',
    'What of it can be given out, free or not',
    chunks((s) => s.totalChunks),
  ),
  one(
    'gauge',
    'ashlar_pool_free_bytes',
    'Free, with what is promised to reserved volumes',
    chunks((s) => s.freeChunks),
  ),
  one(
    'gauge',
    'ashlar_pool_available_bytes',
    'Free and promised to nobody',
    chunks((s) => (s.freeChunks > s.reservedChunks ? s.freeChunks - s.reservedChunks : 0n)),
  ),
  one(
    'gauge',
    'ashlar_pool_reserved_bytes',
    'Free, promised to reserved volumes',
    chunks((s) => s.reservedChunks),
  ),
  one(
    'gauge',
    'ashlar_pool_data_bytes',
    'In use by data',
    chunks((s) => s.dataChunks),
  ),
  one(
    'gauge',
    'ashlar_pool_metadata_bytes',
    'In use by metadata',
    chunks((s) => s.metadataChunks),
  ),
  one(
    'gauge',
    'ashlar_pool_provisioned_bytes',
    'Sum of the sizes of all volumes',
    ({ status }) => status.provisionedBytes,
  ),
  one(
    'gauge',
    'ashlar_pool_map_memory_bytes',
    'Memory for pages of maps',
    pool((s) => s.mapMemoryBytes),
  ),
  one(
    'gauge',
    'ashlar_pool_layers',
    'Layers, deleted ones that are still there included',
    pool((s) => s.layerCount),
  ),
  one(
    'counter',
    'ashlar_pool_commits_total',
    'Commits of the journal since the pool was opened',
    pool((s) => s.commits),
  ),
  one(
    'counter',
    'ashlar_pool_checkpoints_total',
    'Checkpoints since the pool was opened',
    pool((s) => s.checkpoints),
  ),
  one(
    'gauge',
    'ashlar_journal_size_bytes',
    'Size of the journal',
    pool((s) => s.journalBytes),
  ),
  one(
    'gauge',
    'ashlar_journal_used_bytes',
    'What a start after a crash would replay',
    pool((s) => s.journalUsedBytes),
  ),
  one(
    'gauge',
    'ashlar_journal_replayed_records',
    'Records that this start replayed',
    pool((s) => s.replayedRecords),
  ),
  one(
    'gauge',
    'ashlar_reclaim_pending_bytes',
    'Space of deleted layers that the background has still to give back',
    chunks((s) => s.reclaimingChunks),
  ),
  one(
    'gauge',
    'ashlar_reclaim_pending_layers',
    'Deleted layers that the background works on',
    pool((s) => s.reclaimingLayers),
  ),
  one(
    'gauge',
    'ashlar_reclaim_hidden_layers',
    'Deleted layers that wait until only one stands on them',
    pool((s) => s.hiddenLayers),
  ),
  device('gauge', 'online', '1 while the device is online, 0 while it is missing or failed', (d) =>
    d.state === 'online' ? 1 : 0,
  ),
  device('counter', 'read_errors_total', 'Reads of the device that failed', (d) => d.readErrors),
  device('counter', 'write_errors_total', 'Writes to the device that failed', (d) => d.writeErrors),
];

function device(
  type: 'counter' | 'gauge',
  name: string,
  help: string,
  value: (device: PoolStatus['devices'][number]) => number | bigint,
): Family {
  return each(type, `ashlar_device_${name}`, help, ['device'], ({ status }) =>
    status.pool.devices.map((found) => {
      return { labels: { device: found.index }, value: Number(value(found)) };
    }),
  );
}

function reactor(
  type: 'counter' | 'gauge',
  name: string,
  help: string,
  value: (counters: ReactorCounters) => number | bigint,
): Family {
  return each(type, `ashlar_reactor_${name}`, help, ['reactor'], ({ status }) =>
    status.reactors.map((counters, index) => {
      return { labels: { reactor: index }, value: Number(value(counters)) };
    }),
  );
}

const reactorFamilies: readonly Family[] = [
  reactor('counter', 'busy_seconds_total', 'Time with work, out of each second', (r) => {
    return Number(r.busyNs) / 1e9;
  }),
  reactor('counter', 'turns_total', 'Turns of the loop', (r) => r.turns),
  reactor('counter', 'sleeps_total', 'Sleeps for want of work', (r) => r.sleeps),
  reactor('counter', 'commands_total', 'I/O commands answered', (r) => r.commands),
  reactor('counter', 'read_bytes_total', 'Bytes sent to hosts', (r) => r.readBytes),
  reactor('counter', 'write_bytes_total', 'Bytes taken from hosts', (r) => r.writtenBytes),
  reactor('gauge', 'connections', 'Connections', (r) => r.connections),
  reactor('gauge', 'buffers_in_use', 'I/O buffers in use', (r) => r.buffersInUse),
  reactor(
    'counter',
    'io_path_allocations_total',
    'Allocations on the I/O path; 0 once warm',
    (r) => r.ioPathAllocations,
  ),
];

const hostFamilies: readonly Family[] = [
  each(
    'gauge',
    'ashlar_host_connections',
    'Queue pairs of the host that are connected, admin queues included',
    ['host'],
    ({ hosts }) => hosts.map(({ hostnqn: host, queues: value }) => ({ labels: { host }, value })),
  ),
  each(
    'counter',
    'ashlar_host_associations_total',
    'I/O associations that the host has begun: one a subsystem and portal, and one a reconnect',
    ['host'],
    ({ hosts }) => hosts.map(({ hostnqn: host, begun: value }) => ({ labels: { host }, value })),
  ),
  each(
    'counter',
    'ashlar_host_associations_ended_total',
    'Of these, the ones that have ended, by reason; "destroyed": by this node',
    ['host', 'reason'],
    function* ({ hosts }): Iterable<Sample> {
      for (const { hostnqn: host, ended } of hosts) {
        for (const reason of endReasons) yield { labels: { host, reason }, value: ended[reason] };
      }
    },
  ),
  one(
    'counter',
    'ashlar_connects_refused_total',
    'Connect commands and authentications that were refused',
    ({ refused }) => refused,
  ),
];

const jobFamilies: readonly Family[] = [
  each('gauge', 'ashlar_jobs', 'Jobs, by state: all since the start', ['state'], ({ jobs }) =>
    jobStates.map((state) => {
      if (state === 'running') return { labels: { state }, value: jobs.running };
      const value = jobKinds.reduce((sum, kind) => sum + jobs.ended[kind][state], 0);
      return { labels: { state }, value };
    }),
  ),
  each(
    'counter',
    'ashlar_jobs_ended_total',
    'Jobs that have ended, by kind and how',
    ['kind', 'state'],
    function* ({ jobs }): Iterable<Sample> {
      for (const kind of jobKinds) {
        for (const [state, value] of Object.entries(jobs.ended[kind])) {
          yield { labels: { kind, state }, value };
        }
      }
    },
  ),
];

const processFamilies: readonly Family[] = [
  each(
    'gauge',
    'ashlar_event_loop_lag_seconds',
    'How late timers of the event loop were since the scrape before; it carries no I/O',
    ['statistic'],
    ({ lag }) =>
      Object.entries(lag ?? {}).map(([statistic, value]) => ({ labels: { statistic }, value })),
  ),
  one(
    'counter',
    'ashlar_event_loop_busy_seconds_total',
    'Time in which the event loop had work',
    (node) => node.process.loopBusySeconds,
  ),
  one(
    'counter',
    'process_cpu_seconds_total',
    'CPU time of all threads',
    ({ process: p }) => p.userSeconds + p.systemSeconds,
  ),
  one(
    'counter',
    'process_cpu_user_seconds_total',
    'CPU time in user mode',
    (node) => node.process.userSeconds,
  ),
  one(
    'counter',
    'process_cpu_system_seconds_total',
    'CPU time in the kernel',
    (node) => node.process.systemSeconds,
  ),
  one(
    'gauge',
    'process_resident_memory_bytes',
    'Memory in RAM',
    (node) => node.process.residentBytes,
  ),
  one(
    'gauge',
    'process_virtual_memory_bytes',
    'Address space in use',
    (node) => node.process.virtualBytes,
  ),
  one('gauge', 'process_open_fds', 'Open files', (node) => node.process.openFiles),
  one('gauge', 'process_max_fds', 'Open files at most', (node) => node.process.maxFiles),
  one(
    'gauge',
    'process_start_time_seconds',
    'When the process started, since 1970',
    (node) => node.process.startSeconds,
  ),
  one(
    'gauge',
    'nodejs_heap_size_used_bytes',
    'JavaScript heap in use',
    (node) => node.process.heapUsedBytes,
  ),
  one(
    'gauge',
    'nodejs_heap_size_total_bytes',
    'JavaScript heap',
    (node) => node.process.heapTotalBytes,
  ),
  one(
    'gauge',
    'nodejs_external_memory_bytes',
    'Memory of JavaScript buffers',
    (node) => node.process.externalBytes,
  ),
];

/** No tenant sees these. */
export const allNodeFamilies: readonly Family[] = [
  ...nodeFamilies,
  ...poolFamilies,
  ...reactorFamilies,
  ...hostFamilies,
  ...jobFamilies,
  ...processFamilies,
];
