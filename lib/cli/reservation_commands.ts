/** The commands of reservations; see program.ts. */
import type { Command } from 'commander';
import { addCommand, addGroup } from './command.js';

export function addReservations(program: Command): void {
  const reservation = addGroup(program, 'reservation', 'Volumes that hosts keep others away from.');
  addCommand(reservation, {
    usage: 'list',
    description: 'List reservations and the hosts that are registered.',
    daemon: true,
    examples: [['ashlar reservation list', 'who holds what, after a "Reservation Conflict"']],
    build: (command) =>
      command
        .option('--tenant <name>', 'only of this tenant')
        .action(async (options) => (await import('./reservation.js')).listReservations(options)),
  });
  addCommand(reservation, {
    usage: 'clear <volume>',
    description:
      'End the reservation and all registrations of a volume or snapshot. Hosts are told. For ' +
      'when the host that holds it is gone: the others may write at once.',
    daemon: true,
    examples: [['ashlar reservation clear db', 'its cluster begins anew']],
    build: (command) =>
      command
        .option('--tenant <name>', "tenant of the volume (default: 'default')")
        .action(async (volume, options) =>
          (await import('./reservation.js')).clearReservations(volume, options),
        ),
  });
}
