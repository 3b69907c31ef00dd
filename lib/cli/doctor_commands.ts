/** `ashlar doctor` on the command line. */
import type { Command } from 'commander';
import { addCommand } from './command.js';

export function addDoctor(program: Command, outcome: { exitCode: number }): void {
  addCommand(program, {
    usage: 'doctor',
    description:
      'Look at this machine and say what to change, with the command that does. Changes nothing ' +
      'itself; needs no daemon. Exits with 0 (fine), 1 (warnings) or 2 (failures).',
    daemon: true,
    examples: [
      ['ashlar doctor', 'the side that serves: kernel, limits, network, pool, daemon'],
      ['ashlar doctor --host', 'the side that uses volumes: modules, names, paths'],
      ['ashlar doctor --json | jq \'.findings[] | select(.level == "fail")\'', 'for programs'],
    ],
    build: (command) =>
      command
        .option('--host', 'look at this machine as a host of volumes')
        .option('-c, --config <file>', "the daemon's file (default: the installed service's)")
        .action(async (options) => {
          outcome.exitCode = await (await import('./doctor.js')).doctor(options);
        }),
  });
}
