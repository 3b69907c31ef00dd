/** The commands of tenants, tokens, jobs, events and groups; see program.ts. */
import { type Command, Option } from 'commander';
import { addCommand, addGroup, wholeNumber } from './command.js';

export function addTenants(program: Command): void {
  const tenant = addGroup(program, 'tenant', 'Tenants: who owns volumes, and how much of them.');
  const quotas = (command: Command): Command =>
    command
      .option('--capacity <size>', "sum of its volumes' sizes; 'none' for no limit")
      .option('--volumes <count>', "how many volumes; 'none' for no limit")
      .option('--snapshots <count>', "how many snapshots; 'none' for no limit")
      .option('--iops <count>', "reads and writes a second; 'none' for no limit")
      .option('--rate <size>', "bytes a second; 'none' for no limit")
      .option('--policy <name>', "limits and weight of all its volumes together; 'none'");
  addCommand(tenant, {
    usage: 'create <name>',
    description: 'Add a tenant, with a subsystem of its own.',
    daemon: true,
    examples: [['ashlar tenant create blue --capacity 10TiB --volumes 100', 'with a quota']],
    build: (command) =>
      quotas(command)
        .option('--if-missing', 'succeed when it exists already')
        .action(async (name, options) => (await import('./tenant.js')).createTenant(name, options)),
  });
  addCommand(tenant, {
    usage: 'set <name>',
    description: 'Rename a tenant, or set its quota. What it has is never taken.',
    daemon: true,
    examples: [['ashlar tenant set blue --volumes 200 --capacity none', 'the rest stays']],
    build: (command) =>
      quotas(command)
        .option('--name <name>', 'its new name')
        .action(async (name, options) => (await import('./tenant.js')).setTenant(name, options)),
  });
  addCommand(tenant, {
    usage: 'list',
    description: 'List tenants, what they have and what they may have.',
    daemon: true,
    list: 'listTenants',
    examples: [['ashlar tenant list', 'USED is the sum of the sizes of the volumes']],
    build: (command) =>
      command.action(async (options) => (await import('./tenant.js')).listTenants(options)),
  });
  addCommand(tenant, {
    usage: 'show <name>',
    description: 'Show one tenant.',
    daemon: true,
    watch: true,
    examples: [['ashlar tenant show blue', 'what it has of what it may have']],
    build: (command) =>
      command.action(async (name, options) =>
        (await import('./tenant.js')).showTenant(name, options),
      ),
  });
  addCommand(tenant, {
    usage: 'statistics',
    description: "Show what hosts have done with each tenant's volumes since the daemon's start.",
    tenant: true,
    list: 'listTenantStatistics',
    examples: [['ashlar tenant statistics', 'deleted volumes are counted too']],
    build: (command) =>
      command.action(async (options) =>
        (await import('./statistics.js')).tenantStatistics(options),
      ),
  });
  addCommand(tenant, {
    usage: 'delete <name>',
    description: 'Delete a tenant that has no volumes and no snapshots, with its hosts and tokens.',
    daemon: true,
    examples: [['ashlar tenant delete blue', 'refused while it has volumes']],
    build: (command) =>
      command
        .option('--if-exists', 'succeed when it is gone already')
        .action(async (name, options) => (await import('./tenant.js')).deleteTenant(name, options)),
  });
}

export function addTokens(program: Command): void {
  const token = addGroup(program, 'token', 'Tokens: who may call the API, and what each may.');
  addCommand(token, {
    usage: 'create <name>',
    description: 'Create a token and print its secret, once. --tenant keeps it to a tenant.',
    tenant: true,
    examples: [
      ['ashlar token create csi --role tenant-admin --tenant blue', 'all of one tenant'],
      ['ashlar token create grafana --role viewer --expires 720h', 'reads the node, a month'],
      ["ashlar token create ops --role admin --subject 'O=Acme,CN=ops'", 'for a certificate'],
    ],
    build: (command) =>
      command
        .addOption(
          new Option('--role <role>', 'required: what it may').choices([
            'admin',
            'tenant-admin',
            'viewer',
          ]),
        )
        .option('--expires <duration>', 'how long it is good (default: for ever)')
        .option('--subject <subject>', 'of a client certificate, instead of a secret')
        .action(async (name, options) => (await import('./token.js')).createToken(name, options)),
  });
  addCommand(token, {
    usage: 'list',
    description: 'List tokens; never their secrets.',
    tenant: true,
    list: 'listTokens',
    examples: [['ashlar token list', 'of the node and of all tenants']],
    build: (command) =>
      command.action(async (options) => (await import('./token.js')).listTokens(options)),
  });
  addCommand(token, {
    usage: 'show <name>',
    description: 'Show one token; never its secret.',
    tenant: true,
    watch: true,
    examples: [['ashlar token show csi --tenant blue', 'until when it is good']],
    build: (command) =>
      command.action(async (name, options) =>
        (await import('./token.js')).showToken(name, options),
      ),
  });
  addCommand(token, {
    usage: 'rotate <name>',
    description: 'Give a token a new secret and print it, once.',
    tenant: true,
    examples: [['ashlar token rotate csi --tenant blue --grace 1h', 'the old one for an hour']],
    build: (command) =>
      command
        .option('--grace <duration>', 'how long the old secret stays good (default: not at all)')
        .option('--expires <duration>', 'how long it is good from now on (default: as before)')
        .action(async (name, options) => (await import('./token.js')).rotateToken(name, options)),
  });
  addCommand(token, {
    usage: 'delete <name>',
    description: 'Delete a token; it is good no more at once.',
    tenant: true,
    examples: [['ashlar token delete grafana', 'one of the node']],
    build: (command) =>
      command
        .option('--if-exists', 'succeed when it is gone already')
        .action(async (name, options) => (await import('./token.js')).deleteToken(name, options)),
  });
  addCommand(program, {
    usage: 'whoami',
    description: 'Show as whom the daemon knows you, and what you may.',
    daemon: true,
    examples: [
      ['ashlar whoami', 'at the control socket: its owner'],
      ['ashlar --server https://node:8420 --ca node.pem --token-file t whoami', 'from elsewhere'],
    ],
    build: (command) =>
      command.action(async (options) => (await import('./token.js')).showSelf(options)),
  });
}

export function addJobs(program: Command): void {
  const job = addGroup(program, 'job', 'Jobs: long work of the daemon.');
  addCommand(job, {
    usage: 'list',
    description: 'List jobs, the newest first.',
    tenant: true,
    list: 'listJobs',
    examples: [
      ['ashlar job list', 'what is under way, and what has ended since the start'],
      ['ashlar job list --state running --watch', 'how far each is'],
    ],
    build: (command) =>
      command.action(async (options) => (await import('./job.js')).listJobs(options)),
  });
  addCommand(job, {
    usage: 'show <id>',
    description: 'Show one job.',
    tenant: true,
    watch: true,
    examples: [['ashlar job show "$ID"', 'how far it is, or how it ended']],
    build: (command) =>
      command.action(async (id, options) => (await import('./job.js')).showJob(id, options)),
  });
  addCommand(job, {
    usage: 'watch <id>',
    alias: 'wait',
    description:
      "Follow a job to its end, with its progress; fails when the job has. Also called 'job wait'. " +
      'Ctrl-C leaves the job as it is.',
    tenant: true,
    examples: [
      ['ashlar job watch "$ID"', 'a bar on a terminal'],
      ['ashlar job wait "$ID" && echo done', 'in a script: nothing is drawn into a pipe'],
    ],
    build: (command) =>
      command.action(async (id, options) => (await import('./job.js')).waitJob(id, options)),
  });
  addCommand(job, {
    usage: 'cancel <id>',
    description: 'Cancel a job; what it has done by then stays.',
    tenant: true,
    examples: [['ashlar job cancel "$ID"', 'an export or import']],
    build: (command) =>
      command.action(async (id, options) => (await import('./job.js')).cancelJob(id, options)),
  });
  addCommand(job, {
    usage: 'delete <id>',
    description: 'Forget a job that has ended.',
    tenant: true,
    examples: [['ashlar job delete "$ID"', 'the oldest are forgotten by themselves']],
    build: (command) =>
      command.action(async (id, options) => (await import('./job.js')).deleteJob(id, options)),
  });
  addEvents(program);
}

function addEvents(program: Command): void {
  const event = addGroup(program, 'event', 'Events: what happened.');
  addCommand(event, {
    usage: 'list',
    description: 'List what happened, the newest first; also before the last restart.',
    tenant: true,
    watch: true,
    examples: [
      ['ashlar event list --severity warning', 'what may need somebody'],
      ['ashlar event list --since 2h', 'of the last two hours'],
      ["ashlar event list --since '2026-11-29 02:30' --until '2026-11-29 03:30'", 'of a night'],
      ['ashlar event list --kind host-disconnected', 'who went, and why'],
    ],
    build: (command) =>
      command
        .addOption(
          new Option('--severity <severity>', 'only these').choices(['info', 'warning', 'error']),
        )
        .option('--kind <kind>', 'only of this kind')
        .option('--subject <id>', 'only of this object: a UUID or a host NQN')
        .option('--since <moment>', "only from then on: '2h' (ago), '03:00', '2026-11-29 03:00'")
        .option('--until <moment>', 'only before then')
        .option('--limit <count>', 'at most this many (default: 50)', wholeNumber(1, 1000))
        .option('--after <cursor>', 'the page after the one that gave this cursor')
        .action(async (options) => (await import('./job.js')).listEvents(options)),
  });
  addCommand(event, {
    usage: 'show <event>',
    description: 'Show one event, by its id.',
    tenant: true,
    examples: [['ashlar event show "$ID"', "the id is of 'event list --json'"]],
    build: (command) =>
      command.action(async (id, options) => (await import('./event.js')).showEvent(id, options)),
  });
}
