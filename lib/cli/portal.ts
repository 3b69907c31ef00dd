/** `ashlar portal …` and `ashlar ana …`: where hosts connect, and which ways they are to take. */
import type { Ana, Portal } from '../api/contract.js';
import { discoveryPort, portalPort } from '../config/config.js';
import { parseEndpoint } from '../config/endpoint.js';
import { type DaemonOptions, withDaemon } from './daemon.js';
import type { ListOptions } from './filters.js';
import { type LookOptions, look, lookAtList } from './look.js';
import { type Column, pairs, table } from './table.js';
import { localTime, plural, printJson, printLines } from './terminal.js';

const portalColumns: readonly Column<Portal>[] = [
  { title: 'id', value: ({ portalId }) => String(portalId), align: 'right' },
  { title: 'endpoint', value: ({ endpoint }) => endpoint },
  { title: 'serves', value: ({ discoveryOnly }) => (discoveryOnly ? 'discovery' : 'all') },
  { title: 'tls', value: ({ tls }) => tls },
  { title: 'origin', value: ({ origin }) => origin },
  { title: 'state', value: stateText, flexible: true },
  { title: 'controllers', value: ({ controllers }) => String(controllers), align: 'right' },
  { title: 'ana', value: groupsText, flexible: true },
];

function stateText({ drained, problem }: Portal): string {
  const listening = problem === null ? 'listening' : `waiting: ${problem}`;
  return drained ? `drained, ${listening}` : listening;
}

function groupsText({ ana, discoveryOnly }: Portal): string {
  if (discoveryOnly) return '';
  return ana.map(({ anagrpid, state }) => `group ${anagrpid} ${state}`).join(', ') || 'optimized';
}

const anaColumns: readonly Column<Ana>[] = [
  { title: 'portal', value: ({ portalId }) => String(portalId), align: 'right' },
  { title: 'endpoint', value: ({ endpoint }) => endpoint },
  { title: 'group', value: ({ anagrpid }) => String(anagrpid), align: 'right' },
  { title: 'state', value: ({ state }) => state },
  { title: 'then', value: thenText, flexible: true },
];

/** What follows, where the state does not last. */
function thenText({ state, lasting, changeEndsAt }: Ana): string {
  if (state === lasting) return '';
  if (state !== 'change') return `${lasting}, when the portal is resumed`;
  return changeEndsAt === null ? lasting : `${lasting}, at ${localTime(changeEndsAt)}`;
}

export function listPortals(options: LookOptions & ListOptions): Promise<void> {
  return lookAtList('listPortals', options, {
    lines: (portals, width) => table(portals, portalColumns, width),
    none: 'The daemon listens nowhere. Add a portal: ashlar portal add ADDRESS',
  });
}

export async function showPortal(name: string, options: LookOptions): Promise<void> {
  await look(options, {
    read: (client) => client.call('getPortal', { params: { portal: name } }),
    lines: (portal) =>
      pairs([
        ['Portal', `${portal.portalId}, ${portal.endpoint}`],
        ['Serves', portal.discoveryOnly ? 'discovery' : 'volumes and discovery'],
        ['State', stateText(portal)],
        ['TLS', portal.tls],
        ['Origin', portal.origin],
        ['Controllers', String(portal.controllers)],
        ...(portal.discoveryOnly ? [] : [['ANA', groupsText(portal)] as const]),
      ]),
  });
}

export async function addPortal(
  written: string,
  options: DaemonOptions & { discoveryOnly?: boolean; ifMissing?: boolean },
): Promise<void> {
  const discoveryOnly = options.discoveryOnly === true;
  const usual = discoveryOnly ? discoveryPort : portalPort;
  const { address, port } = parseEndpoint(written, usual, 'portal');
  const portal = await withDaemon(options, (client) =>
    client.call('createPortal', {
      query: options.ifMissing === true ? { repeatable: 'true' } : {},
      body: { address, port, discoveryOnly },
    }),
  );
  if (options.json === true) return printJson(portal);
  printLines([`Portal ${portal.portalId} listens on ${portal.endpoint}.`]);
}

type Forceable = DaemonOptions & { force?: boolean };

const forceQuery = ({ force }: Forceable): { force?: 'true' } =>
  force === true ? { force: 'true' } : {};

export async function removePortal(
  portal: string,
  options: Forceable & { ifExists?: boolean },
): Promise<void> {
  await withDaemon(options, (client) =>
    client.call('deletePortal', {
      params: { portal },
      query: {
        ...forceQuery(options),
        ...(options.ifExists === true ? { repeatable: 'true' } : {}),
      },
    }),
  );
  if (options.json === true) return printJson({ removed: portal });
  printLines([`Nothing listens on portal ${portal} any more.`]);
}

export async function drainPortal(portal: string, options: Forceable): Promise<void> {
  const drained = await withDaemon(options, (client) =>
    client.call('drainPortal', { params: { portal }, query: forceQuery(options) }),
  );
  if (options.json === true) return printJson(drained);
  const { controllers, endpoint } = drained;
  const connected = controllers === 0 ? 'none is' : `${plural(controllers, 'controller')} is`;
  printLines([`Hosts are to leave portal ${endpoint}; ${connected} connected through it.`]);
}

export async function resumePortal(portal: string, options: DaemonOptions): Promise<void> {
  const resumed = await withDaemon(options, (client) =>
    client.call('resumePortal', { params: { portal } }),
  );
  if (options.json === true) return printJson(resumed);
  printLines([`Portal ${resumed.endpoint} is in use; ANA: ${groupsText(resumed)}.`]);
}

export function listAna(options: LookOptions & ListOptions): Promise<void> {
  return lookAtList('listAna', options, {
    lines: (states, width) => table(states, anaColumns, width),
    none: 'No portal serves volumes.',
  });
}

export async function setAna(
  portal: string,
  state: Ana['state'],
  options: Forceable & { group?: number; next?: Ana['lasting'] },
): Promise<void> {
  const { group, next } = options;
  const set = await withDaemon(options, (client) =>
    client.call('setAna', {
      params: { portal },
      query: forceQuery(options),
      body: {
        state,
        ...(group === undefined ? {} : { anagrpid: group }),
        ...(next === undefined ? {} : { next }),
      },
    }),
  );
  if (options.json === true) return printJson(set);
  const then = thenText(set);
  const follows = then === '' ? '' : `; then ${then}`;
  printLines([
    `ANA group ${set.anagrpid} is ${set.state} through portal ${set.endpoint}${follows}.`,
  ]);
}
