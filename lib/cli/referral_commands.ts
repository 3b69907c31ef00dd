/** The commands of referrals; see program.ts. */
import type { Command } from 'commander';
import { addCommand, addGroup, wholeNumber } from './command.js';

export function addReferrals(program: Command): void {
  const referral = addGroup(program, 'referral', 'Other nodes that discovery tells hosts of.');
  addCommand(referral, {
    usage: 'add <address>',
    description: "Tell hosts of another node's discovery service, port 8009 when none is given.",
    daemon: true,
    examples: [
      ['ashlar referral add 192.0.2.7', 'hosts that ask this node find that one too'],
      ['ashlar referral add "[2001:db8::7]:4420"', 'IPv6, and another port'],
    ],
    build: (command) =>
      command
        .option(
          '--portal-id <number>',
          "the portal's number there, if known",
          wholeNumber(0, 65535),
        )
        .option('--if-missing', 'succeed when the same referral exists already')
        .action(async (endpoint, options) =>
          (await import('./referral.js')).addReferral(endpoint, options),
        ),
  });
  addCommand(referral, {
    usage: 'list',
    description: 'List referrals, also those of the configuration file.',
    daemon: true,
    list: 'listReferrals',
    examples: [['ashlar referral list', 'where hosts are referred to']],
    build: (command) =>
      command.action(async (options) => (await import('./referral.js')).listReferrals(options)),
  });
  addCommand(referral, {
    usage: 'show <address>',
    description: 'Show one referral.',
    daemon: true,
    watch: true,
    examples: [['ashlar referral show 192.0.2.7:8009', "as 'referral list' has it"]],
    build: (command) =>
      command.action(async (endpoint, options) =>
        (await import('./referral.js')).showReferral(endpoint, options),
      ),
  });
  addCommand(referral, {
    usage: 'remove <address>',
    description: 'Tell hosts of another node no more. Their connections to it stay.',
    daemon: true,
    examples: [['ashlar referral remove 192.0.2.7', 'as it was added']],
    build: (command) =>
      command
        .option('--if-exists', 'succeed when it is gone already')
        .action(async (endpoint, options) =>
          (await import('./referral.js')).removeReferral(endpoint, options),
        ),
  });
}
