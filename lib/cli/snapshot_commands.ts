/** The commands of snapshots, clones and devices; see program.ts. */
import type { Command } from 'commander';
import { addCommand, addGroup } from './command.js';
import { addDiff } from './stream_commands.js';

export function addSnapshots(program: Command): void {
  const snapshot = addGroup(program, 'snapshot', 'Snapshots: what a volume was at one instant.');
  addCommand(snapshot, {
    usage: 'create <snapshot...>',
    description: 'Take a snapshot, VOLUME@NAME; several are of one instant, all or none.',
    tenant: true,
    examples: [
      ['ashlar snapshot create web@monday', 'at once, whatever the size; I/O goes on'],
      ['ashlar snapshot create data@noon log@noon', 'both volumes at the same instant'],
    ],
    build: (command) =>
      command
        .option('--uuid <uuid...>', 'identities, one for each snapshot; random otherwise')
        .option('--group-uuid <uuid>', 'identity of their group, which also one alone makes then')
        .option('--if-missing', 'succeed when the same snapshot exists already')
        .action(async (references, options) =>
          (await import('./snapshot.js')).createSnapshots(references, options),
        ),
  });
  addCommand(snapshot, {
    usage: 'list [volume]',
    description: 'List snapshots, of all volumes or of one (also a deleted one), oldest first.',
    tenant: true,
    list: 'listSnapshots',
    examples: [
      ['ashlar snapshot list web', 'FREES is what deleting that one now would give back'],
      ['ashlar snapshot list --limit 100', 'a page; it says how to get the next'],
    ],
    build: (command) =>
      command.action(async (volume, options) =>
        (await import('./snapshot.js')).listSnapshots(volume, options),
      ),
  });
  addCommand(snapshot, {
    usage: 'show <snapshot>',
    description: 'Show one snapshot, by VOLUME@NAME or UUID.',
    tenant: true,
    watch: true,
    examples: [['ashlar snapshot show web@monday', 'everything known about it']],
    build: (command) =>
      command.action(async (reference, options) =>
        (await import('./snapshot.js')).showSnapshot(reference, options),
      ),
  });
  addDiff(snapshot);
  addSnapshotUses(snapshot);
  addGroups(snapshot);
}

function addGroups(snapshot: Command): void {
  const group = addGroup(snapshot, 'group', 'Snapshots of several volumes of one instant.');
  addCommand(group, {
    usage: 'list',
    description: 'List groups, by their instant.',
    tenant: true,
    list: 'listGroups',
    examples: [['ashlar snapshot group list', "what 'snapshot create a@x b@x' and schedules made"]],
    build: (command) =>
      command.action(async (options) => (await import('./group.js')).listGroups(options)),
  });
  addCommand(group, {
    usage: 'show <group>',
    description: 'Show one group, by UUID.',
    tenant: true,
    watch: true,
    examples: [['ashlar snapshot group show "$UUID"', 'which of its snapshots are still there']],
    build: (command) =>
      command.action(async (uuid, options) =>
        (await import('./group.js')).showGroup(uuid, options),
      ),
  });
  addCommand(group, {
    usage: 'delete <group>',
    description:
      'Delete the snapshots of a group, one after the other; when one is refused, those before it ' +
      'are gone.',
    tenant: true,
    examples: [['ashlar snapshot group delete "$UUID" --yes', 'for programs']],
    build: (command) =>
      command
        .option('-y, --yes', 'do not ask')
        .option('--if-exists', 'succeed when it is gone already')
        .option('--force', 'take them from hosts that have them connected')
        .action(async (uuid, options) => (await import('./group.js')).deleteGroup(uuid, options)),
  });
}

/** What is done with a snapshot. */
function addSnapshotUses(snapshot: Command): void {
  addCommand(snapshot, {
    usage: 'rollback <snapshot>',
    description:
      'Make the volume hold again what the snapshot holds. What was written since is lost, unless ' +
      'another snapshot has it. Refused while hosts are connected.',
    tenant: true,
    examples: [
      ['ashlar snapshot rollback web@monday', 'unmount and disconnect it on the hosts first'],
      ['ashlar snapshot create web@before && ashlar snapshot rollback web@monday', 'can be undone'],
    ],
    build: (command) =>
      command
        .option('-y, --yes', 'do not ask')
        .option(
          '--force',
          'under connected hosts: their caches are their own, and what they write back from ' +
            'them damages a mounted file system',
        )
        .action(async (reference, options) =>
          (await import('./snapshot.js')).rollbackSnapshot(reference, options),
        ),
  });
  addCommand(snapshot, {
    usage: 'delete <snapshot>',
    description:
      'Delete a snapshot, in any order with others, volumes and clones. Its space comes back in ' +
      'the background.',
    tenant: true,
    examples: [
      ['ashlar snapshot delete web@monday', 'asks first'],
      ['ashlar snapshot delete web@monday --yes', 'for programs'],
    ],
    build: (command) =>
      command
        .option('-y, --yes', 'do not ask')
        .option('--if-exists', 'succeed when it is gone already')
        .option('--force', 'take it from hosts that have it connected')
        .action(async (reference, options) =>
          (await import('./snapshot.js')).deleteSnapshot(reference, options),
        ),
  });
}

/** `volume clone`, in the group of volumes. */
export function addClone(volume: Command): void {
  addCommand(volume, {
    usage: 'clone <source> <name>',
    description:
      'Make a volume with the data of a snapshot (VOLUME@NAME) or of a volume as it is now. ' +
      'Nothing is copied; both are independent from then on.',
    tenant: true,
    examples: [
      ['ashlar volume clone web@monday test --host "*"', 'look at Monday, and write to it'],
      ['ashlar volume clone web web2 --size 20GiB', 'as it is now, and larger'],
    ],
    build: (command) =>
      command
        .option('--size <size>', "at least the source's size, which is the default")
        .option('--host <nqn...>', 'hosts that may use it: NQNs, or "*" for any')
        .option('--reserved', 'promise it room for all its blocks')
        .option('--policy <name>', 'what its hosts may do a second (see ashlar policy)')
        .option('--uuid <uuid>', 'its identity (default: a new one)')
        .option('--if-missing', 'succeed when the same clone exists already')
        .action(async (source, name, options) =>
          (await import('./snapshot.js')).cloneVolume(source, name, options),
        ),
  });
}

/** `pool device …`, in the group of pools. */
export function addDevices(pool: Command): void {
  const device = addGroup(pool, 'device', "Devices that the daemon's pool lies on.");
  addCommand(device, {
    usage: 'add <path>',
    description:
      'Add a block device, or a new file, while I/O goes on. It cannot be taken out again.',
    daemon: true,
    examples: [
      ['ashlar pool device add /dev/nvme2n1', 'its whole size'],
      ['ashlar pool device add /srv/more.ashlar --size 1TiB', 'a sparse file'],
    ],
    build: (command) =>
      command
        .option('--size <size>', 'size of a new file; a device has its own')
        .option('--if-missing', 'succeed when it is in the pool already')
        .action(async (path, options) => (await import('./device.js')).addDevice(path, options)),
  });
  addCommand(device, {
    usage: 'attach <path>',
    description: 'Bring back a device that was missing, from where it is now.',
    daemon: true,
    examples: [['ashlar pool device attach /dev/nvme3n1', 'the next start looks for it there']],
    build: (command) =>
      command
        .option('--if-missing', 'succeed when it is back already')
        .action(async (path, options) => (await import('./device.js')).attachDevice(path, options)),
  });
  addCommand(device, {
    usage: 'list',
    description: 'List the devices, their space and their health.',
    daemon: true,
    list: 'listDevices',
    examples: [['ashlar pool device list', 'missing and failed ones too']],
    build: (command) =>
      command.action(async (options) => (await import('./device.js')).listDevices(options)),
  });
  addCommand(device, {
    usage: 'show <device>',
    description: 'Show one device, by UUID or by its index in the list.',
    daemon: true,
    watch: true,
    examples: [['ashlar pool device show 0', 'the first one, which holds all metadata']],
    build: (command) =>
      command.action(async (name, options) =>
        (await import('./device.js')).showDevice(name, options),
      ),
  });
}
