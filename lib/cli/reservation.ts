/** `ashlar reservation …`: who holds what, and ending it. */
import type { Reservation } from '../api/contract.js';
import { type DaemonOptions, type TenantOptions, tenantQuery, withDaemon } from './daemon.js';
import type { ListOptions } from './filters.js';
import { type LookOptions, look, lookAtList } from './look.js';
import { type Column, table } from './table.js';
import { printJson, printLines } from './terminal.js';

interface Row {
  reservation: Reservation;
  registrant: Reservation['registrants'][number];
}

const columns: readonly Column<Row>[] = [
  {
    title: 'volume',
    value: ({ reservation: { volume, snapshot } }) =>
      snapshot === null ? volume : `${volume}@${snapshot}`,
  },
  { title: 'tenant', value: ({ reservation }) => reservation.tenant },
  { title: 'type', value: ({ reservation }) => reservation.type ?? '(none)' },
  { title: 'persistent', value: ({ reservation }) => (reservation.persistent ? 'yes' : 'no') },
  { title: 'holds', value: ({ registrant }) => (registrant.holds ? 'yes' : '') },
  { title: 'key', value: ({ registrant }) => `0x${registrant.key.replace(/^0+(?=.)/, '')}` },
  {
    title: 'host',
    value: ({ registrant: { hosts, hostid } }) =>
      hosts.length === 0 ? `${hostid} (not connected)` : hosts.join(', '),
  },
];

const rowsOf = (reservations: readonly Reservation[]): Row[] =>
  reservations.flatMap((reservation) =>
    reservation.registrants.map((registrant) => ({ reservation, registrant })),
  );

export function listReservations(options: LookOptions & ListOptions): Promise<void> {
  return lookAtList('listReservations', options, {
    lines: (reservations, width) => table(rowsOf(reservations), columns, width),
    none: 'No host has reserved anything.',
  });
}

export async function showReservation(
  volume: string,
  options: LookOptions & TenantOptions,
): Promise<void> {
  await look(options, {
    read: (client) =>
      client.call('getReservation', { params: { volume }, query: tenantQuery(options) }),
    lines: (found, width) =>
      found.registrants.length === 0
        ? [`No host is registered with '${volume}'.`]
        : table(rowsOf([found]), columns, width),
  });
}

export async function clearReservations(
  volume: string,
  options: DaemonOptions & { tenant?: string },
): Promise<void> {
  const { tenant } = options;
  const query = tenant === undefined ? {} : { tenant };
  const { registrants } = await withDaemon(options, (client) =>
    client.call('clearReservations', { params: { volume }, query }),
  );
  if (options.json === true) return printJson({ volume, registrants });
  const hosts = registrants === 1 ? '1 host was' : `${registrants} hosts were`;
  printLines([
    registrants === 0
      ? `No host was registered with '${volume}'.`
      : `'${volume}' is free again; ${hosts} registered.`,
  ]);
}
