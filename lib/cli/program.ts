/**
 * The command line: every command with its options and examples. What a command does is in a
 * module of its own, loaded when it runs.
 */

import { Command, CommanderError, Option } from 'commander';
import { logLevels, tlsModes } from '../config/config.js';
import { AshlarError, toAshlarError } from '../errors.js';
import { version } from '../node/version.js';
import { addBench } from './bench_commands.js';
import { addCommand, addExamples, addGroup, cpuList, wholeNumber } from './command.js';
import { addCompletion } from './completion_commands.js';
import { addCsi } from './csi_commands.js';
import { addDoctor } from './doctor_commands.js';
import { addExplain } from './explain_commands.js';
import { addHostKeys } from './host_key_commands.js';
import { addLimit, addPolicies } from './policy_commands.js';
import { addAna, addPortals } from './portal_commands.js';
import { addPsks } from './psk_commands.js';
import { addReferrals } from './referral_commands.js';
import { addReservations } from './reservation_commands.js';
import { addSchedules } from './schedule_commands.js';
import { addClone, addDevices, addSnapshots } from './snapshot_commands.js';
import { addStreams } from './stream_commands.js';
import { addSupport } from './support_commands.js';
import { addJobs, addTenants, addTokens } from './tenant_commands.js';
import { reportError } from './terminal.js';
import { addTop } from './watch_commands.js';

/** Exit code of an action; commander's own actions return nothing. */
interface Outcome {
  exitCode: number;
}

/** Runs one command line; resolves to the exit code. Everything thrown has been reported. */
export async function run(args: readonly string[]): Promise<number> {
  const json = args.includes('--json');
  const outcome: Outcome = { exitCode: 0 };
  const written: string[] = [];
  const program = buildProgram(outcome, (text) => written.push(text));
  try {
    await program.parseAsync([...args], { from: 'user' });
    return outcome.exitCode;
  } catch (thrown) {
    if (!(thrown instanceof CommanderError))
      return reportError(toAshlarError(thrown), json).exitCode;
    // Asked for help or the version: done. A group without its command gets help too, as an error.
    if (thrown.exitCode === 0) return 0;
    if (thrown.code === 'commander.help') {
      process.stderr.write(written.join(''));
      return new AshlarError('usage', 'a command is missing').exitCode;
    }
    const message = thrown.message
      .replace(/^error: /, '')
      .replaceAll(/\s*\n\s*/g, ' ')
      .replace(/\.$/, '');
    const help = `see '${[...commandPath(program, args), '--help'].join(' ')}'`;
    return reportError(new AshlarError('usage', `${message}; ${help}`), json).exitCode;
  }
}

/** All commands. `outcome`: the exit code of an action that has one of its own. */
export function buildProgram(outcome: Outcome, writeErr: (text: string) => void): Command {
  const program = new Command('ashlar');
  program
    .description('Ashlar: thin volumes for Linux hosts over NVMe/TCP.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand(false)
    .configureOutput({ writeErr })
    .showSuggestionAfterError(true)
    .exitOverride();
  addRemote(program);
  addServe(program, outcome);
  addStatus(program);
  addVolume(program);
  addSnapshots(program);
  addSchedules(program);
  addAccess(program);
  addTenants(program);
  addPolicies(program);
  addTokens(program);
  addJobs(program);
  addReservations(program);
  addReferrals(program);
  addPool(program);
  addCsi(program, outcome);
  addBench(program, outcome);
  addDoctor(program, outcome);
  addSupport(program);
  addExplain(program, outcome);
  addCompletion(program);
  addHelp(program);
  addExamples(program, [
    ['ashlar serve --demo', 'a pool in .ashlar/, a first volume, and how to connect to it'],
    ['ashlar volume create web --size 10GiB --host "*"', 'a volume for any host'],
    ['ashlar help config', 'the configuration file; also: sizes, exit-codes'],
  ]);
  return program;
}

/** What all commands of a daemon share, wherever it stands on the line. */
function addRemote(program: Command): void {
  program
    .option('--server <url>', 'a daemon elsewhere: https://HOST:PORT ($ASHLAR_SERVER)')
    .option('--token-file <file>', "its token; '-': stdin ($ASHLAR_TOKEN_FILE, $ASHLAR_TOKEN)")
    .option('--ca <file>', 'who signed its certificate, in PEM ($ASHLAR_CA)')
    .option('--cert <file>', 'a client certificate, in PEM ($ASHLAR_CERT)')
    .option('--key <file>', 'the key of that, in PEM ($ASHLAR_KEY)')
    .hook('preAction', (_program, action) => {
      for (const [name, value] of Object.entries(program.opts())) {
        action.setOptionValue(name, value);
      }
    });
}

function addServe(program: Command, outcome: Outcome): void {
  addCommand(program, {
    usage: 'serve',
    description: 'Run the daemon: open or create a pool and serve its volumes.',
    examples: [
      ['ashlar serve --demo', 'the quickest start'],
      ['ashlar serve --pool /dev/nvme1n1 --portal 0.0.0.0', 'a whole device, every interface'],
      ['ashlar serve --config /etc/ashlar.toml', 'everything from a file'],
    ],
    build: (command) =>
      command
        .option('-c, --config <file>', "a TOML file ('ashlar help config'); flags override it")
        .option('--pool <path>', 'pool file or block device (default: .ashlar/pool.ashlar)')
        .option('--size <size>', 'size of a pool file that is not there yet (default: 64GiB)')
        .option('--memory <size>', 'keep the pool in memory; lost at the end')
        .option('--populate', 'take all of that memory at the start')
        .option('--no-create', 'fail when the pool is not there')
        .option('--write-through', 'make every acknowledged write durable')
        .option('--portal <address:port...>', 'where hosts connect (default: 127.0.0.1:4420)')
        .option('--discovery <address:port...>', 'discovery alone (default: port 8009)')
        .option('--no-discovery', 'no portal for discovery alone')
        .option('--no-mdns', 'do not announce discovery by mDNS')
        .addOption(new Option('--tls <mode>', 'TLS at every portal').choices([...tlsModes]))
        .option('--reactors <count>', 'I/O threads', wholeNumber(1, 64))
        .option('--cpus <list>', 'CPUs to pin them to, e.g. 0,1', cpuList)
        .option('--busy-poll-us <us>', 'poll so long before sleeping', wholeNumber(0, 1_000_000))
        .option('--socket <path>', 'control socket (default: .ashlar/ashlar.sock)')
        .option('--console <address:port>', 'web console on loopback (default: 127.0.0.1:8420)')
        .option('--no-console', 'no web console on loopback')
        .addOption(new Option('--log-level <level>', 'how much is logged').choices([...logLevels]))
        .option('--demo', "with a new pool, make a volume 'demo' of 10GiB for any host")
        .action(async (options) => {
          outcome.exitCode = await (await import('./serve.js')).serve(options);
        }),
  });
}

function addStatus(program: Command): void {
  addCommand(program, {
    usage: 'status',
    description: 'Show the daemon at one glance.',
    daemon: true,
    watch: true,
    examples: [
      ['ashlar status', 'pool, portals, volumes and hosts'],
      ['ashlar status --watch', 'drawn anew every 2 s, also over a restart of the daemon'],
      ['ashlar status --json', 'everything, with the counters of each I/O thread'],
    ],
    build: (command) =>
      command.action(async (options) => (await import('./status.js')).showStatus(options)),
  });
  addTop(program);
  addCommand(program, {
    usage: 'console',
    description: 'Print a link that signs a browser in at the web console, once.',
    daemon: true,
    examples: [
      ['ashlar console', 'open it within 5 minutes; the session lasts 12 hours'],
      [
        'ssh -L 8420:127.0.0.1:8420 node',
        "from elsewhere; then the link of 'ashlar console' there",
      ],
    ],
    build: (command) =>
      command.action(async (options) => (await import('./console.js')).printSignIn(options)),
  });
  addCommand(program, {
    usage: 'connect-info',
    description: 'Print the commands with which a host connects.',
    daemon: true,
    examples: [['ashlar connect-info', 'lines to paste into a root shell of the host']],
    build: (command) =>
      command.action(async (options) => (await import('./status.js')).connectInfo(options)),
  });
  addPortals(program);
  addAna(program);
  addCommand(addGroup(program, 'controller', 'Associations of hosts with the daemon.'), {
    usage: 'list',
    description: 'List controllers, one for each host and path.',
    tenant: true,
    list: 'listControllers',
    examples: [['ashlar controller list', 'which hosts are connected, from where, since when']],
    build: (command) =>
      command.action(async (options) => (await import('./status.js')).listControllers(options)),
  });
}

function addVolume(program: Command): void {
  const volume = addGroup(program, 'volume', 'Volumes: thin, served as NVMe namespaces.');
  addCommand(volume, {
    usage: 'create <name>',
    description: 'Create a volume.',
    tenant: true,
    examples: [
      ['ashlar volume create web --size 10GiB --host "*"', 'for any host'],
      ['ashlar volume create db --size 1.5TiB --host "$(cat /etc/nvme/hostnqn)"', 'for this host'],
    ],
    build: (command) =>
      command
        .option('--size <size>', "required: its size, e.g. 10GiB ('ashlar help sizes')")
        .option('--block-size <bytes>', 'logical block size, 4096 or 512 (default: 4096)')
        .option('--host <nqn...>', 'hosts that may use it: NQNs, or "*" for any')
        .option('--reserved', 'promise it room for all its blocks: it never finds the pool full')
        .option('--policy <name>', 'what its hosts may do a second (see ashlar policy)')
        .option('--uuid <uuid>', 'its identity (default: a new one)')
        .option('--if-missing', 'succeed when the same volume exists already')
        .action(async (name, options) => (await import('./volume.js')).createVolume(name, options)),
  });
  addClone(volume);
  addStreams(volume);
  addCommand(volume, {
    usage: 'list',
    description: 'List volumes.',
    tenant: true,
    list: 'listVolumes',
    examples: [
      ['ashlar volume list', 'WRITTEN is what reads as data, OWN the pool space it alone has'],
      ['ashlar volume list --name web --limit 100', 'a page of those with this in their name'],
      ["ashlar volume list --json | jq -r '.[].name'", 'for programs'],
    ],
    build: (command) =>
      command.action(async (options) => (await import('./volume.js')).listVolumes(options)),
  });
  addCommand(volume, {
    usage: 'show <volume>',
    description: 'Show one volume, by name or UUID.',
    tenant: true,
    watch: true,
    examples: [['ashlar volume show web', 'everything known about it']],
    build: (command) =>
      command.action(async (name, options) =>
        (await import('./volume.js')).showVolume(name, options),
      ),
  });
  addCommand(volume, {
    usage: 'statistics [volume]',
    description:
      "Show what hosts have done with volumes, or with one, since the daemon's start. Rates are in " +
      "'ashlar top'.",
    tenant: true,
    list: 'listVolumeStatistics',
    examples: [
      ['ashlar volume statistics web', 'NOW is what is under way, LIMITED what waited for a limit'],
      ['ashlar volume statistics --json', 'latencies too, for programs'],
    ],
    build: (command) =>
      command.action(async (name, options) =>
        (await import('./statistics.js')).volumeStatistics(name, options),
      ),
  });
  addVolumeChanges(volume);
}

function addVolumeChanges(volume: Command): void {
  addCommand(volume, {
    usage: 'resize <volume>',
    description: 'Grow a volume; hosts see the new size at once. Or shrink one that is at rest.',
    tenant: true,
    examples: [
      ['ashlar volume resize web --size 20GiB', 'then grow the file system on it'],
      ['ashlar volume resize web --size 5GiB --shrink', 'after the file system, and fstrim'],
    ],
    build: (command) =>
      command
        .option('--size <size>', 'required: the new size')
        .option(
          '--shrink',
          'let it become smaller: no host is connected, and neither it nor its snapshots hold ' +
            'anything beyond the new size',
        )
        .action(async (name, options) => (await import('./volume.js')).resizeVolume(name, options)),
  });
  addCommand(volume, {
    usage: 'reserve <volume>',
    description: 'Promise a volume room for all its blocks, so that it never finds the pool full.',
    tenant: true,
    examples: [
      ['ashlar volume reserve db', 'refused when the pool does not have that much free'],
      ['ashlar volume reserve db --off', 'give the room back'],
    ],
    build: (command) =>
      command
        .option('--off', 'take the promise back')
        .action(async (name, options) =>
          (await import('./volume.js')).reserveVolume(name, options),
        ),
  });
  addLimit(volume);
  addCommand(volume, {
    usage: 'rename <volume> <name>',
    description: 'Give a volume another name.',
    tenant: true,
    examples: [['ashlar volume rename web www', 'hosts notice nothing']],
    build: (command) =>
      command.action(async (name, newName, options) =>
        (await import('./volume.js')).renameVolume(name, newName, options),
      ),
  });
  addCommand(volume, {
    usage: 'delete <volume>',
    description: 'Delete a volume and its data, for good. Its snapshots stay.',
    tenant: true,
    examples: [
      ['ashlar volume delete web', 'asks first'],
      ['ashlar volume delete web --yes', 'for programs'],
    ],
    build: (command) =>
      command
        .option('-y, --yes', 'do not ask')
        .option('--if-exists', 'succeed when it is gone already')
        .option('--force', 'take it from hosts that have it connected')
        .action(async (name, options) => (await import('./volume.js')).deleteVolume(name, options)),
  });
}

function addAccess(program: Command): void {
  const grant = addGroup(
    program,
    'grant',
    'Which host may use which volume, or read which snapshot.',
  );
  addCommand(grant, {
    usage: 'add <volume> <host>',
    description: 'Let a host (its NQN, or "*" for any) use a volume, or read a snapshot.',
    tenant: true,
    examples: [
      ['ashlar grant add web "$(cat /etc/nvme/hostnqn)"', 'this host; it appears there at once'],
      ['ashlar grant add web "*"', 'any host'],
      ['ashlar grant add web@monday "*"', 'a snapshot, always read-only'],
    ],
    build: (command) =>
      command
        .option('--read-only', 'for reading alone')
        .option('--alone <of>', 'only while no other "host" has it, or no other "writer"')
        .option('--if-missing', 'succeed when it is given already')
        .action(async (volume, host, options) =>
          (await import('./access.js')).addGrant(volume, host, options),
        ),
  });
  addCommand(grant, {
    usage: 'list',
    description: 'List grants.',
    tenant: true,
    list: 'listGrants',
    examples: [['ashlar grant list', 'by volume and host']],
    build: (command) =>
      command.action(async (options) => (await import('./access.js')).listGrants(options)),
  });
  addCommand(grant, {
    usage: 'show <volume> <host>',
    description: 'Show one grant.',
    tenant: true,
    watch: true,
    examples: [['ashlar grant show web "*"', 'what it allows, since when']],
    build: (command) =>
      command.action(async (volume, host, options) =>
        (await import('./access.js')).showGrant(volume, host, options),
      ),
  });
  addCommand(grant, {
    usage: 'remove <volume> <host>',
    description: 'Take a volume or snapshot away from a host.',
    tenant: true,
    examples: [['ashlar grant remove web "*"', 'commands under way end first']],
    build: (command) =>
      command
        .option('--if-exists', 'succeed when it is gone already')
        .action(async (volume, host, options) =>
          (await import('./access.js')).removeGrant(volume, host, options),
        ),
  });
  addHosts(program);
}

function addHosts(program: Command): void {
  const host = addGroup(program, 'host', 'Hosts that may connect.');
  addCommand(host, {
    usage: 'add <nqn>',
    description: 'Let a host connect before it has volumes.',
    tenant: true,
    examples: [['ashlar host add "$(cat /etc/nvme/hostnqn)"', 'this host']],
    build: (command) =>
      command
        .option('--if-missing', 'succeed when it is known already')
        .action(async (nqn, options) => (await import('./access.js')).addHost(nqn, options)),
  });
  addCommand(host, {
    usage: 'list',
    description: 'List hosts, their volumes and connections.',
    tenant: true,
    list: 'listHosts',
    examples: [['ashlar host list', 'every host that is known']],
    build: (command) =>
      command.action(async (options) => (await import('./access.js')).listHosts(options)),
  });
  addCommand(host, {
    usage: 'show <nqn>',
    description: 'Show one host.',
    tenant: true,
    watch: true,
    examples: [['ashlar host show "$(cat /etc/nvme/hostnqn)"', 'its volumes and connections']],
    build: (command) =>
      command.action(async (nqn, options) => (await import('./access.js')).showHost(nqn, options)),
  });
  addCommand(host, {
    usage: 'remove <nqn>',
    description: 'Remove a host and its grants.',
    tenant: true,
    examples: [['ashlar host remove "$(cat /etc/nvme/hostnqn)"', 'it loses its volumes at once']],
    build: (command) =>
      command
        .option('--if-exists', 'succeed when it is gone already')
        .action(async (nqn, options) => (await import('./access.js')).removeHost(nqn, options)),
  });
  addHostKeys(host);
  addPsks(host);
}

function addPool(program: Command): void {
  const pool = addGroup(program, 'pool', 'Pools: the space that volumes share.');
  addCommand(pool, {
    usage: 'create <path>',
    description: 'Write an empty pool to a new file or a block device. Needs no daemon.',
    examples: [
      ['ashlar pool create /srv/pool.ashlar --size 1TiB', 'a sparse file'],
      ['ashlar pool create /dev/nvme1n1', 'a whole device; refused when it holds a pool'],
    ],
    build: (command) =>
      command
        .option('--size <size>', 'size of a new file, which is sparse; a device has its own')
        .action(async (path, options) => (await import('./pool.js')).createPool(path, options)),
  });
  addCommand(pool, {
    usage: 'open <path>',
    description: 'Open a pool once: recover what a crash left, checkpoint, close. Needs no daemon.',
    examples: [['ashlar pool open /srv/pool.ashlar', 'so that the next start replays nothing']],
    build: (command) =>
      command.action(async (path, options) => (await import('./pool.js')).openPool(path, options)),
  });
  addCommand(pool, {
    usage: 'list',
    description: "List the daemon's pools.",
    daemon: true,
    list: 'listPools',
    examples: [['ashlar pool list', 'their names, by which other commands know them']],
    build: (command) =>
      command.action(async (options) => (await import('./pool.js')).listPools(options)),
  });
  addCommand(pool, {
    usage: 'show <pool>',
    description: "Show one of the daemon's pools, by name or UUID.",
    daemon: true,
    watch: true,
    examples: [['ashlar pool show pool', 'everything known about it']],
    build: (command) =>
      command.action(async (name, options) =>
        (await import('./pool.js')).showNamedPool(name, options),
      ),
  });
  addCommand(pool, {
    usage: 'status [path]',
    description: "Show a pool's space and state: the daemon's, or by path one that nobody holds.",
    daemon: true,
    watch: true,
    examples: [
      ['ashlar pool status', "the daemon's pool"],
      ['ashlar pool status /srv/pool.ashlar', 'a pool that no daemon holds; nothing is written'],
    ],
    build: (command) =>
      command.action(async (path, options) => (await import('./pool.js')).showPool(path, options)),
  });
  addCommand(pool, {
    usage: 'check [path]',
    description:
      'Walk and prove every structure of a pool. Changes nothing, unless it is to repair; exits ' +
      'with 5 if damaged.',
    daemon: true,
    examples: [
      ['ashlar pool check', "the daemon's pool, while I/O goes on"],
      ['ashlar pool check /srv/pool.ashlar', 'a pool that no daemon holds'],
      ['ashlar pool check /srv/pool.ashlar --repair --dry-run', 'what could be mended'],
      [
        'ashlar pool check /srv/pool.ashlar --repair',
        'mend it, all or nothing, and prove it again',
      ],
    ],
    build: (command) =>
      command
        .option('--repair', 'mend what follows from what is intact; no daemon may have the pool')
        .option('--dry-run', 'with --repair: say what would be done, and do nothing')
        .action(async (path, options) => (await import('./repair.js')).checkPool(path, options)),
  });
  addCommand(pool, {
    usage: 'dump <path>',
    description:
      'Show what lies on the device of a pool that no daemon holds: metadata, never data. Changes ' +
      'nothing. --json prints one object a line.',
    examples: [
      ['ashlar pool dump /srv/pool.ashlar --section superblock layers', 'these sections alone'],
      ['ashlar pool dump /srv/pool.ashlar --section map --layer <uuid>', "one layer's map"],
    ],
    build: (command) =>
      command
        .option(
          '--section <name...>',
          'superblock, devices, layers, map, space, journal, kill-log, catalog (default: all)',
        )
        .option('--layer <uuid>', "only this layer's record and map")
        .action(async (path, options) => (await import('./dump.js')).dumpPool(path, options)),
  });
  addDevices(pool);
}

function addHelp(program: Command): void {
  program
    .command('help [topic...]')
    .description('Help on a command, or on: config, csi, sizes, exit-codes.')
    .action(async (words: string[]) => {
      const topics = await import('./topics.js');
      const [first = ''] = words;
      if (first === 'exit-codes') process.stdout.write(topics.exitCodesPage());
      else if (first === 'sizes') process.stdout.write(topics.sizesPage());
      else if (first === 'config') process.stdout.write(await topics.configPage());
      else if (first === 'csi') process.stdout.write(await topics.csiPage());
      else commandAt(program, words).outputHelp();
    });
}

/** By its name or its other one. */
function subcommand(command: Command, word: string): Command | undefined {
  return command.commands.find((each) => each.name() === word || each.aliases().includes(word));
}

function commandAt(program: Command, words: readonly string[]): Command {
  let command = program;
  for (const word of words) {
    const next = subcommand(command, word);
    if (next === undefined) {
      throw new AshlarError(
        'usage',
        `no help on '${words.join(' ')}'; there is help on every command, and on config, sizes ` +
          'and exit-codes',
      );
    }
    command = next;
  }
  return command;
}

/** The words of a command line that name a command, e.g. `ashlar volume create`. */
function commandPath(program: Command, args: readonly string[]): string[] {
  const path = [program.name()];
  let command = program;
  for (const word of args) {
    const next = subcommand(command, word);
    if (next === undefined) break;
    path.push(word);
    command = next;
  }
  return path;
}
