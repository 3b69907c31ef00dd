/** The commands of keys of hosts; see program.ts. */
import { type Command, Option } from 'commander';
import { addCommand, addGroup } from './command.js';

/** @param host the group `ashlar host`. */
export function addHostKeys(host: Command): void {
  const key = addGroup(host, 'key', 'Keys by which hosts prove who they are (DH-HMAC-CHAP).');
  addChanges(key);
  addCommand(key, {
    usage: 'list',
    description: 'List keys, by fingerprint. What they are is never shown.',
    tenant: true,
    list: 'listHostKeys',
    examples: [
      ['ashlar host key list', 'which hosts have to authenticate'],
      [
        'printf %s "$KEY" | sha256sum | head -c 12',
        'the fingerprint of a key that you have, to find it in the list',
      ],
    ],
    build: (command) =>
      command.action(async (options) => (await import('./host_key.js')).listHostKeys(options)),
  });
  addCommand(key, {
    usage: 'show <nqn> <fingerprint>',
    description: 'Show one key by its fingerprint; never what it is.',
    tenant: true,
    watch: true,
    examples: [['ashlar host key show "$HOSTNQN" 5f2b9c0d1e3a', 'whose it is, since when']],
    build: (command) =>
      command.action(async (nqn, fingerprint, options) =>
        (await import('./host_key.js')).showHostKey(nqn, fingerprint, options),
      ),
  });
  addCommand(key, {
    usage: 'remove <nqn> <fingerprint>',
    description: 'Take a key away. Without its last one the host connects without authentication.',
    tenant: true,
    examples: [['ashlar host key remove "$HOSTNQN" 5f2b9c0d1e3a', 'once the host uses another']],
    build: (command) =>
      command
        .option('--if-exists', 'succeed when it is gone already')
        .action(async (nqn, fingerprint, options) =>
          (await import('./host_key.js')).removeHostKey(nqn, fingerprint, options),
        ),
  });
}

const controllerOption = [
  '--controller',
  'the key with which the controller proves itself to the host',
] as const;
const replaceOption = [
  '--replace',
  'the key before is not good any more; otherwise both are, until one is removed',
] as const;

function addChanges(key: Command): void {
  addCommand(key, {
    usage: 'generate <nqn>',
    description: 'Make a key and print it, once. The host must authenticate from now on.',
    tenant: true,
    examples: [
      ['ashlar host key generate "$(cat /etc/nvme/hostnqn)"', 'print what the host is to give'],
      ['ashlar host key generate "$HOSTNQN" --controller', 'for authentication both ways'],
    ],
    build: (command) =>
      command
        .addOption(
          new Option('--hash <hash>', 'hash that transforms the key (default: sha256)').choices([
            'sha256',
            'sha384',
            'sha512',
          ]),
        )
        .option(...controllerOption)
        .option(...replaceOption)
        .action(async (nqn, options) =>
          (await import('./host_key.js')).generateHostKey(nqn, options),
        ),
  });
  addCommand(key, {
    usage: 'set <nqn>',
    description: 'Set a key that was made elsewhere, of the form DHHC-1:hh:base64:.',
    tenant: true,
    examples: [
      ['nvme gen-dhchap-key -m 1 | ashlar host key set "$HOSTNQN"', 'from standard input'],
      ['ashlar host key set "$HOSTNQN" --file key.txt --replace', 'this one alone'],
    ],
    build: (command) =>
      command
        .option('--file <path>', 'read it from a file (default: standard input)')
        .option('--if-missing', 'succeed when the host has it already')
        .option(...controllerOption)
        .option(...replaceOption)
        .action(async (nqn, options) => (await import('./host_key.js')).setHostKey(nqn, options)),
  });
}
