/** The commands of reservations; see program.ts. */
import type { Command } from 'commander';
import { addCommand, addGroup } from './command.js';

export function addReservations(program: Command): void {
  const reservation = addGroup(program, 'reservation', 'Volumes that hosts keep others away from.');
  addCommand(reservation, {
    usage: 'list',
    description: 'List reservations and the hosts that are registered.',
    tenant: true,
    list: 'listReservations',
    examples: [['ashlar reservation list', 'who holds what, after a "Reservation Conflict"']],
    build: (command) =>
      command.action(async (options) =>
        (await import('./reservation.js')).listReservations(options),
      ),
  });
  addCommand(reservation, {
    usage: 'show <volume>',
    description: 'Show who is registered with a volume or snapshot, and who holds it.',
    tenant: true,
    watch: true,
    examples: [['ashlar reservation show db', 'one line for each host']],
    build: (command) =>
      command.action(async (volume, options) =>
        (await import('./reservation.js')).showReservation(volume, options),
      ),
  });
  addCommand(reservation, {
    usage: 'clear <volume>',
    description:
      'End the reservation and all registrations of a volume or snapshot. Hosts are told. For ' +
      'when the host that holds it is gone: the others may write at once.',
    tenant: true,
    examples: [['ashlar reservation clear db', 'its cluster begins anew']],
    build: (command) =>
      command.action(async (volume, options) =>
        (await import('./reservation.js')).clearReservations(volume, options),
      ),
  });
}
