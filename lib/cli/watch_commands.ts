/** The commands that look at what goes on; see program.ts. */
import { type Command, Option } from 'commander';
import { addCommand } from './command.js';

export function addTop(program: Command): void {
  addCommand(program, {
    usage: 'top',
    description: 'Watch what the hosts of each volume do, busiest first.',
    tenant: true,
    examples: [
      ['ashlar top', 'keys: i b l d n sort, / filters, p pauses, q quits'],
      ['ashlar top --once --sort latency', 'one look of a second, for a log'],
      ['ashlar top --json', 'the same, a line of JSON for each volume'],
    ],
    build: (command) =>
      command
        .option('--interval <duration>', 'between two readings, 200ms to 1m (default: 1s)')
        .addOption(
          new Option('--sort <key>', 'what comes first (default: iops)').choices([
            'iops',
            'bytes',
            'latency',
            'depth',
            'name',
          ]),
        )
        .option('--filter <text>', 'only volumes with this in their name')
        .option('--once', 'print one table and end')
        .action(async (options) => (await import('./top.js')).top(options)),
  });
}
