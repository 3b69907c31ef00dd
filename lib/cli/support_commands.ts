/** `ashlar support-bundle` on the command line. */
import type { Command } from 'commander';
import { addCommand } from './command.js';

export function addSupport(program: Command): void {
  addCommand(program, {
    usage: 'support-bundle',
    description:
      'Write what somebody who helps needs to see into one .tar.gz: state, lists, events, jobs, ' +
      'metrics, logs, configuration, kernel. No secrets, no data of volumes. Needs no daemon: what ' +
      'cannot be had is named in it.',
    daemon: true,
    examples: [
      ['ashlar support-bundle', 'in this folder, for you alone; it says what is in it'],
      ['ashlar support-bundle --anonymous', 'names and addresses become numbers'],
      ['ashlar support-bundle --log /var/log/ashlar.log', 'of a daemon that is no service'],
    ],
    build: (command) =>
      command
        .option('-o, --output <file>', 'a new file (default: ashlar-support-HOST-TIME.tar.gz)')
        .option('--anonymous', 'hide names, NQNs, addresses and paths; the table stays with you')
        .option('--log <file>', "the daemon's log (default: the service's, from the journal)")
        .option('-c, --config <file>', "the daemon's file (default: the installed service's)")
        .action(async (options) => (await import('./support.js')).supportBundle(options)),
  });
}
