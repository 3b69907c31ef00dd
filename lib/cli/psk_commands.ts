/** The commands of PSKs, in the group of hosts; see program.ts. */
import { type Command, Option } from 'commander';
import { addCommand, addGroup } from './command.js';

export function addPsks(host: Command): void {
  const psk = addGroup(host, 'psk', 'Pre-shared keys with which hosts connect over TLS.');
  addCommand(psk, {
    usage: 'generate <host>',
    description:
      'Make a PSK for a host, beside those it has, and write it to stdout: it is not shown again.',
    tenant: true,
    examples: [
      ['ashlar host psk generate HOSTNQN > host.psk', 'for "nvme connect --tls --tls-key"'],
    ],
    build: (command) =>
      command
        .addOption(
          new Option('--hash <hash>', 'SHA-256 or SHA-384, and AES-128 or AES-256').choices([
            'sha256',
            'sha384',
          ]),
        )
        .action(async (nqn, options) => (await import('./psk.js')).generatePsk(nqn, options)),
  });
  addCommand(psk, {
    usage: 'set <host> <file>',
    description: "Let a host connect with a PSK made elsewhere; '-' reads it from stdin.",
    tenant: true,
    examples: [
      ['nvme gen-tls-key --hmac 1 | ashlar host psk set HOSTNQN -', 'as nvme-cli makes them'],
    ],
    build: (command) =>
      command
        .option('--if-missing', 'succeed when the host has it already')
        .action(async (nqn, file, options) =>
          (await import('./psk.js')).setPsk(nqn, file, options),
        ),
  });
  addCommand(psk, {
    usage: 'list',
    description: 'List PSKs, without the keys.',
    tenant: true,
    list: 'listPsks',
    examples: [['ashlar host psk list', 'which hosts can connect over TLS']],
    build: (command) =>
      command.action(async (options) => (await import('./psk.js')).listPsks(options)),
  });
  addCommand(psk, {
    usage: 'show <host> [psk]',
    description: 'Show the PSK of a host, without the key; by its id when it has several.',
    tenant: true,
    watch: true,
    examples: [['ashlar host psk show HOSTNQN', 'since when it is good']],
    build: (command) =>
      command.action(async (nqn, id, options) =>
        (await import('./psk.js')).showPsk(nqn, id, options),
      ),
  });
  addCommand(psk, {
    usage: 'remove <host> [psk]',
    description: 'Take a PSK, or all, from a host. Connections that it has stay.',
    tenant: true,
    examples: [
      ['ashlar host psk remove HOSTNQN 17', 'after a rotation: the old one'],
      ['ashlar host psk remove HOSTNQN', 'all of them'],
    ],
    build: (command) =>
      command
        .option('--if-exists', 'succeed when it is gone already')
        .action(async (nqn, id, options) => (await import('./psk.js')).removePsk(nqn, id, options)),
  });
}
