/** Judges what the daemon says, and the configuration that it is started with. */
import type { Controller, Pool, Status } from '../api/contract.js';
import { formatSizeShort } from '../config/units.js';
import type { ConfigFacts, DaemonFacts, ServiceFacts } from './facts.js';
import { Check, type Finding, listed } from './findings.js';

export function judgeConfig({ file, problem }: ConfigFacts): Finding {
  const check = new Check('config', 'configuration');
  if (problem !== null) {
    return check.fail(problem, 'The daemon does not start with it. Below are the defaults.', [
      'ashlar help config',
    ]);
  }
  return check.ok(file ?? 'no file: flags and defaults');
}

export function judgeDaemon(facts: DaemonFacts, service: ServiceFacts): Finding[] {
  const check = new Check('daemon', 'daemon');
  const { socket, status } = facts;
  if (facts.state === 'forbidden') {
    return [
      check.warn(`${socket} belongs to another user`, 'What it says is not to be seen.', [
        'sudo ashlar doctor',
      ]),
    ];
  }
  if (facts.state === 'silent') {
    return [
      check.fail(
        `listens at ${socket} and does not answer: ${facts.problem}`,
        'I/O may go on all the same, as it does not need this part.',
        ['journalctl -u ashlar -n 50  # and: ashlar status'],
      ),
    ];
  }
  if (status === null) return [judgeAbsence(check, socket, service)];
  return [
    judgeState(check, status, facts.version),
    ...status.pools.flatMap(judgePoolStatus),
    ...judgePortals(facts, status),
    ...judgeIdentities(facts.controllers),
  ];
}

function judgeAbsence(check: Check, socket: string, service: ServiceFacts): Finding {
  if (service.installed && service.enabled) {
    return check.fail('the service does not run', 'No volume is served.', [
      'systemctl status ashlar  # why; then: systemctl start ashlar',
    ]);
  }
  return check.unknown(`none runs at ${socket}`);
}

function judgeState(check: Check, status: Status, version: string): Finding {
  if (status.state === 'failed') {
    return check.fail(
      status.problem ?? 'failed',
      'The pool acknowledges nothing any more, so that nothing is lost silently.',
      ['journalctl -u ashlar -n 50  # the device first, then: systemctl restart ashlar'],
    );
  }
  const found = `${status.state}, version ${status.version}, process ${status.pid}`;
  if (status.version === version) return check.ok(found);
  return check.warn(
    `${found}; this command is ${version}`,
    'What was installed is not yet what runs.',
    ['systemctl restart ashlar  # hosts wait a moment and go on'],
  );
}

/** The first of the marks at which the daemon itself warns, and where it is nearly too late. */
const nearlyFull = 0.8;
const full = 0.95;

function judgePoolStatus(pool: Pool): Finding[] {
  const used = pool.sizeBytes === 0 ? 0 : 1 - pool.availableBytes / pool.sizeBytes;
  const space = new Check('pool-space', 'pool space');
  const percent = `${Math.round(used * 100)} % used or promised`;
  const found = `${percent}, ${formatSizeShort(BigInt(pool.availableBytes))} available`;
  const why = 'Writes that need new space fail once it is full.';
  const fix = ['ashlar pool device add /dev/…  # or delete snapshots, or fstrim on hosts'];
  const level = used >= full ? 'fail' : used >= nearlyFull ? 'warn' : 'ok';
  const findings = [level === 'ok' ? space.ok(found) : space[level](found, why, fix)];
  const bad = pool.devices.filter(({ state }) => state !== 'online');
  const errors = pool.devices.filter(({ readErrors, writeErrors }) => readErrors + writeErrors > 0);
  const devices = new Check('pool-devices', 'pool devices');
  const named = (all: typeof bad): string =>
    listed(all.map(({ index, path }) => path ?? `device ${index}`));
  if (bad.length > 0) {
    findings.push(
      devices.fail(
        `${named(bad)}: ${listed(bad.map(({ state }) => state))}`,
        'What lies there answers with media errors; everything else goes on.',
        ['ashlar pool device list  # and when it is back: ashlar pool device attach PATH'],
      ),
    );
  } else if (errors.length > 0) {
    const count = errors.reduce((sum, each) => sum + each.readErrors + each.writeErrors, 0);
    findings.push(
      devices.warn(`${count} errors of ${named(errors)}`, 'A device on its way out.', [
        `smartctl -a ${errors[0]?.path ?? '/dev/…'}`,
      ]),
    );
  } else findings.push(devices.ok(`${pool.devices.length}, no errors`));
  return findings;
}

function judgePortals({ reached }: DaemonFacts, status: Status): Finding[] {
  return status.portals.map((portal) => {
    const check = new Check('portal', `portal ${portal.endpoint}`);
    if (portal.problem !== null) {
      return check.fail(portal.problem, 'Hosts do not reach it; it is tried again.', [
        'ip -brief address  # is the address there? Else: ashlar portal remove',
      ]);
    }
    const problem = reached.find(({ endpoint }) => endpoint === portal.endpoint)?.problem ?? null;
    if (problem !== null) {
      return check.fail(
        `listens, and is not reached from here: ${problem}`,
        'A packet filter is in the way, or its backlog is full.',
        [`nft list ruleset | grep -n ${portal.port}`],
      );
    }
    const hosts = `${portal.controllers} connected`;
    if (!portal.drained) return check.ok(`reached from here, ${hosts}`);
    return check.warn(`drained, ${hosts}`, 'Hosts use it only when they have no other path.', [
      `ashlar portal resume ${portal.portalId}`,
    ]);
  });
}

/** Machines made from one image say that they are one host. */
function judgeIdentities(controllers: readonly Controller[]): Finding[] {
  const check = new Check('host-identities', 'host identities');
  if (controllers.length === 0) return [];
  const shared = [
    ...namesOfSeveral(controllers.map(({ hostnqn, hostid }) => [hostnqn, hostid])),
    ...namesOfSeveral(controllers.map(({ hostnqn, hostid }) => [hostid, hostnqn])),
  ];
  if (shared.length === 0) return [check.ok('each host has its own')];
  return [
    check.fail(
      `several hosts say that they are ${listed(shared)}`,
      'Grants, keys and reservations cannot tell them apart: one may write over the other.',
      [
        'nvme gen-hostnqn > /etc/nvme/hostnqn; uuidgen > /etc/nvme/hostid  # there, then connect anew',
      ],
    ),
  ];
}

/** Names that come with more than one partner. */
function namesOfSeveral(pairs: readonly (readonly [name: string, partner: string])[]): string[] {
  const partners = new Map<string, Set<string>>();
  for (const [name, partner] of pairs) {
    partners.set(name, (partners.get(name) ?? new Set()).add(partner));
  }
  return [...partners].filter(([, all]) => all.size > 1).map(([name]) => name);
}
