/** The commands that say what is wrong with a thing; see program.ts. */
import type { Command } from 'commander';
import { addCommand, addGroup } from './command.js';

const exits = 'Exits with 0 when it is healthy, else with 1.';

export function addExplain(program: Command, outcome: { exitCode: number }): void {
  const group = addGroup(program, 'explain', 'Say what is wrong with a thing, and what to do.');
  addCommand(group, {
    usage: 'volume <volume>',
    description:
      'Say what keeps a volume from being used as it should: pool, space, grants, portals, paths, ' +
      `reservations, limits, schedules. ${exits}`,
    tenant: true,
    examples: [
      ['ashlar explain volume web', 'each condition, the worst first, with the next step'],
      ['ashlar explain volume web --json', 'the same, for programs'],
    ],
    build: (command) =>
      command.action(async (volume, options) => {
        outcome.exitCode = await (await import('./explain.js')).explainVolume(volume, options);
      }),
  });
  addCommand(group, {
    usage: 'host <host>',
    description:
      'Say what keeps a host from its volumes: grants, portals, TLS, paths, reservations, ' +
      `associations that were lost and Connects that were refused in the last hour. ${exits}`,
    tenant: true,
    examples: [['ashlar explain host "$HOSTNQN"', 'why it does not see a volume, or lost it']],
    build: (command) =>
      command.action(async (host, options) => {
        outcome.exitCode = await (await import('./explain.js')).explainHost(host, options);
      }),
  });
  addCommand(group, {
    usage: 'tenant <tenant>',
    description:
      'Say what is wrong with what a tenant has, in one look: pool, quota, volumes that no host ' +
      `sees, hosts, imports, schedules, tokens. ${exits}`,
    daemon: true,
    examples: [['ashlar explain tenant blue', 'before it asks']],
    build: (command) =>
      command.action(async (tenant, options) => {
        outcome.exitCode = await (await import('./explain.js')).explainTenant(tenant, options);
      }),
  });
  addCommand(group, {
    usage: 'pool [pool]',
    description: `Say what is wrong with the pool: devices, the last check, space, promises. ${exits}`,
    daemon: true,
    examples: [['ashlar explain pool', 'the one that the daemon has']],
    build: (command) =>
      command.action(async (pool, options) => {
        outcome.exitCode = await (await import('./explain.js')).explainPool(pool, options);
      }),
  });
}
