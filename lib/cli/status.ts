/** `ashlar status`, `ashlar controller …`, `ashlar connect-info`: the daemon and how to reach it. */
import type { Controller, Portal, Status } from '../api/contract.js';
import { formatDurationMs, formatSizeShort } from '../config/units.js';
import { AshlarError } from '../errors.js';
import { connectLines } from './connect_lines.js';
import { type DaemonOptions, remoteDaemon, socketOf, withDaemon } from './daemon.js';
import type { ListOptions } from './filters.js';
import { type LookOptions, look, lookAtList } from './look.js';
import { type Column, pairs, table } from './table.js';
import { localTime, plural, printJson, printLines } from './terminal.js';

export async function showStatus(options: LookOptions): Promise<void> {
  const server = (await remoteDaemon(options))?.url;
  const place: [string, string] =
    server === undefined ? ['Socket', socketOf(options)] : ['Server', server];
  const status = await look(options, {
    read: (client) => client.call('getStatus', {}),
    lines: (found) => statusLines(found, place),
  });
  if (status?.state === 'failed') {
    throw new AshlarError('pool-failed', status.problem ?? 'the pool has failed');
  }
}

function statusLines(status: Status, place: [string, string]): string[] {
  const uptime = formatDurationMs(Math.max(0, Date.now() - Date.parse(status.startedAt)));
  const commands = status.reactors.reduce((sum, reactor) => sum + reactor.commands, 0);
  const entries: [string, string][] = [
    ['State', status.problem === null ? status.state : `${status.state}: ${status.problem}`],
    ['Version', `${status.version}, process ${status.pid}, up ${uptime}`],
    place,
  ];
  for (const pool of status.pools) {
    const used = pool.sizeBytes - pool.freeBytes;
    entries.push([
      'Pool',
      `${pool.device.path ?? 'memory'}: ${size(used)} of ${size(pool.sizeBytes)} used` +
        (pool.provisionedBytes === null ? '' : `, ${size(pool.provisionedBytes)} provisioned`) +
        (pool.reservedBytes === 0 ? '' : `, ${size(pool.reservedBytes)} reserved`),
    ]);
    if (pool.reclaimingBytes > 0) {
      const layers = plural(pool.reclaimingLayers, 'deleted layer');
      entries.push(['', `reclaiming ${size(pool.reclaimingBytes)} of ${layers}`]);
    }
    if (pool.state === 'degraded') entries.push(['', `degraded: ${pool.problem ?? ''}`]);
  }
  const snapshots = status.snapshots === 0 ? '' : ` and ${plural(status.snapshots, 'snapshot')}`;
  entries.push([
    'Serving',
    `${plural(status.volumes, 'volume')}${snapshots} of ${plural(status.tenants, 'tenant')} ` +
      `to ${plural(status.controllers, 'controller')}`,
  ]);
  for (const portal of status.portals) {
    entries.push(['Portal', portalText(portal)]);
  }
  if (status.tls.mode !== 'none') entries.push(['TLS', tlsText(status.tls)]);
  entries.push(['Reactors', `${status.reactors.length}, ${commands} commands since the start`]);
  return pairs(entries);
}

function size(bytes: number): string {
  return formatSizeShort(BigInt(bytes));
}

function portalText({ endpoint, discoveryOnly, drained, problem }: Portal): string {
  const only = discoveryOnly ? ' (discovery only)' : '';
  const state = problem === null ? '' : `, waiting: ${problem}`;
  return `${endpoint}${only}${drained ? ', drained' : ''}${state}`;
}

function tlsText({ mode, records, problem, refused }: Status['tls']): string {
  const why = problem === null ? '' : ` (${problem})`;
  const not = refused === 0 ? '' : `, which did not take ${plural(refused, 'connection')}`;
  return `${mode}, records by the ${records}${why}${not}`;
}

const controllerColumns: readonly Column<Controller>[] = [
  { title: 'cntlid', value: (controller) => String(controller.cntlid), align: 'right' },
  { title: 'kind', value: (controller) => controller.kind },
  { title: 'host NQN', value: (controller) => controller.hostnqn, flexible: true },
  { title: 'peer', value: (controller) => controller.peer },
  { title: 'queues', value: (controller) => String(controller.ioQueues), align: 'right' },
  {
    title: 'keep-alive',
    value: ({ keepAliveMs }) => (keepAliveMs === 0 ? 'off' : formatDurationMs(keepAliveMs)),
    align: 'right',
  },
  { title: 'since', value: (controller) => localTime(controller.connectedAt) },
];

export function listControllers(options: LookOptions & ListOptions): Promise<void> {
  return lookAtList('listControllers', options, {
    lines: (controllers, width) => table(controllers, controllerColumns, width),
    none: 'No host is connected. How to connect one: ashlar connect-info',
  });
}

export async function connectInfo(options: DaemonOptions): Promise<void> {
  const { portals, tenants } = await withDaemon(options, async (client) => ({
    portals: await client.list('listPortals'),
    tenants: await client.list('listTenants'),
  }));
  const lines = connectLines(
    portals,
    tenants.map(({ subnqn }) => subnqn),
  );
  if (options.json === true) return printJson(lines);
  printLines([...lines.discover, ...lines.connect]);
}
