/** The commands of portals and ANA states; see program.ts. */
import { Argument, type Command, Option } from 'commander';
import { addCommand, addGroup, wholeNumber } from './command.js';

const lastingStates = ['optimized', 'non-optimized', 'inaccessible', 'persistent-loss'];

export function addPortals(program: Command): void {
  const portal = addGroup(program, 'portal', 'Where the daemon listens.');
  addCommand(portal, {
    usage: 'add <address>',
    description:
      'Listen on a further address, port 4420 when none is given, also after every restart.',
    daemon: true,
    examples: [
      ['ashlar portal add 192.0.2.7', 'hosts that ask for discovery are told of it'],
      ['ashlar portal add "[2001:db8::7]:4421"', 'IPv6, and another port'],
      ['ashlar portal add 192.0.2.7 --discovery-only', 'discovery alone, on port 8009'],
    ],
    build: (command) =>
      command
        .option('--discovery-only', 'serve discovery alone, port 8009 when none is given')
        .option('--if-missing', 'succeed when the same portal exists already')
        .action(async (address, options) =>
          (await import('./portal.js')).addPortal(address, options),
        ),
  });
  addCommand(portal, {
    usage: 'list',
    description: 'List portals: where each is from, its state, and who is connected.',
    daemon: true,
    list: 'listPortals',
    examples: [['ashlar portal list', 'one that waits for its address says why']],
    build: (command) =>
      command.action(async (options) => (await import('./portal.js')).listPortals(options)),
  });
  addCommand(portal, {
    usage: 'show <portal>',
    description: 'Show one portal, by number or address.',
    daemon: true,
    watch: true,
    examples: [['ashlar portal show 2', "the number is of 'portal list'"]],
    build: (command) =>
      command.action(async (name, options) =>
        (await import('./portal.js')).showPortal(name, options),
      ),
  });
  addPortalChanges(portal);
}

function addPortalChanges(portal: Command): void {
  addCommand(portal, {
    usage: 'remove <portal>',
    description:
      'Stop listening there, by number or address. Hosts that are connected have to move away ' +
      "first ('portal drain').",
    daemon: true,
    examples: [
      ['ashlar portal remove 3', "the number is of 'portal list'"],
      ['ashlar portal remove 192.0.2.7', 'as it was added'],
    ],
    build: (command) =>
      command
        .option('--force', 'end the connections through it, even the last of a host')
        .option('--if-exists', 'succeed when it is gone already')
        .action(async (name, options) => (await import('./portal.js')).removePortal(name, options)),
  });
  addCommand(portal, {
    usage: 'drain <portal>',
    description:
      'Let hosts move away: every ANA group becomes inaccessible through the portal, until it is ' +
      'resumed or removed. Their connections stay.',
    daemon: true,
    examples: [['ashlar portal drain 3', 'refused when it is the last path of a host']],
    build: (command) =>
      command
        .option('--force', 'even when it is the last path of a host')
        .action(async (name, options) => (await import('./portal.js')).drainPortal(name, options)),
  });
  addCommand(portal, {
    usage: 'resume <portal>',
    description: 'Let hosts use a drained portal again: every ANA group is as it was set.',
    daemon: true,
    examples: [['ashlar portal resume 3', 'hosts use it again at once']],
    build: (command) =>
      command.action(async (name, options) =>
        (await import('./portal.js')).resumePortal(name, options),
      ),
  });
}

export function addAna(program: Command): void {
  const ana = addGroup(program, 'ana', 'Which portals hosts are to use (ANA states).');
  addCommand(ana, {
    usage: 'set',
    description:
      'Set the state of an ANA group through a portal, also after every restart. Hosts are told ' +
      "at once. The state 'change' ends by itself before 10 s are over.",
    daemon: true,
    examples: [
      ['ashlar ana set 2 non-optimized', 'hosts prefer the other portals'],
      ['ashlar ana set 192.0.2.7 inaccessible', 'refused when it is the last path of a host'],
      ['ashlar ana set 2 change --next inaccessible', 'hosts wait, and then go elsewhere'],
    ],
    build: (command) =>
      command
        .argument('<portal>', 'its number or address')
        .addArgument(
          new Argument('<state>', 'how hosts may use it').choices([...lastingStates, 'change']),
        )
        .option(
          '--group <number>',
          'the ANA group (default: 1, of all volumes)',
          wholeNumber(1, 128),
        )
        .addOption(
          new Option('--next <state>', "what follows 'change' (default: what was before)").choices(
            lastingStates,
          ),
        )
        .option('--force', 'even when it is the last path of a host')
        .action(async (portal, state, options) =>
          (await import('./portal.js')).setAna(portal, state, options),
        ),
  });
  addCommand(ana, {
    usage: 'list',
    description: 'List the states of ANA groups through each portal.',
    daemon: true,
    list: 'listAna',
    examples: [['ashlar ana list', 'group 1, and every other that was set']],
    build: (command) =>
      command.action(async (options) => (await import('./portal.js')).listAna(options)),
  });
}
