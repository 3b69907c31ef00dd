/** The commands of policies; see program.ts. */
import type { Command } from 'commander';
import { addCommand, addGroup } from './command.js';

export function addPolicies(program: Command): void {
  const policy = addGroup(
    program,
    'policy',
    'Policies: how much the hosts of a volume, or of a tenant, may do a second.',
  );
  const settings = (command: Command): Command =>
    command
      .option('--read-iops <count>', "reads a second, such as 500 or 5k; 'none' for no limit")
      .option('--write-iops <count>', 'writes a second')
      .option('--iops <count>', 'reads and writes a second')
      .option('--read-rate <size>', "bytes read a second, such as 100MiB; 'none' for no limit")
      .option('--write-rate <size>', 'bytes written a second')
      .option('--rate <size>', 'bytes read and written a second')
      .option('--burst <burst>', "PERCENT%/DURATION, such as 300%/30s; 'none' for no bursts")
      .option('--weight <weight>', 'share where several want more than there is (default: 100)')
      .option('--offered', 'tenants may choose it for their volumes')
      .option('--no-offered', 'only admins of the node give it (default)');
  addCommand(policy, {
    usage: 'create <name>',
    description: 'Create a policy. What is not given is not limited.',
    daemon: true,
    examples: [
      ['ashlar policy create bronze --iops 1k --rate 50MiB --weight 50', 'a little'],
      ['ashlar policy create silver --iops 5k --rate 200MiB --burst 200%/1m', 'with bursts'],
      ['ashlar policy create gold --weight 400', 'no limit, and first in a crowd'],
    ],
    build: (command) =>
      settings(command)
        .option('--if-missing', 'succeed when the same policy exists already')
        .action(async (name, options) => (await import('./policy.js')).createPolicy(name, options)),
  });
  addCommand(policy, {
    usage: 'set <name>',
    description: 'Change a policy, at once for all that have it.',
    daemon: true,
    examples: [['ashlar policy set silver --iops 8k', 'the rest stays']],
    build: (command) =>
      settings(command)
        .option('--name <name>', 'its new name')
        .action(async (name, options) => (await import('./policy.js')).setPolicy(name, options)),
  });
  addCommand(policy, {
    usage: 'list',
    description: 'List policies.',
    daemon: true,
    list: 'listPolicies',
    examples: [['ashlar policy list', 'what each limits, and who has it']],
    build: (command) =>
      command.action(async (options) => (await import('./policy.js')).listPolicies(options)),
  });
  addCommand(policy, {
    usage: 'show <name>',
    description: 'Show one policy.',
    daemon: true,
    watch: true,
    examples: [['ashlar policy show gold', 'what it limits, and who has it']],
    build: (command) =>
      command.action(async (name, options) =>
        (await import('./policy.js')).showPolicy(name, options),
      ),
  });
  addCommand(policy, {
    usage: 'delete <name>',
    description: 'Delete a policy that no volume and no tenant has.',
    daemon: true,
    examples: [['ashlar policy delete bronze --yes', 'refused while somebody has it']],
    build: (command) =>
      command
        .option('--yes', 'do not ask')
        .option('--if-exists', 'succeed when it is gone already')
        .action(async (name, options) => (await import('./policy.js')).deletePolicy(name, options)),
  });
}

/** Among the commands that change a volume. */
export function addLimit(volume: Command): void {
  addCommand(volume, {
    usage: 'limit <volume>',
    description: "Give a volume a policy: what its hosts may do a second. 'none' takes it away.",
    tenant: true,
    examples: [
      ['ashlar volume limit web --policy bronze', 'from now on, also for what is under way'],
      ['ashlar volume limit web --policy none', 'only what its tenant may do limits it'],
    ],
    build: (command) =>
      command
        .option('--policy <name>', "required: its name, or 'none'")
        .action(async (name, options) => (await import('./policy.js')).limitVolume(name, options)),
  });
}
