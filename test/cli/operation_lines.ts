/** Which command line calls which operation of the API; operations.test.ts holds it to that. */
import type { OperationId } from '../../lib/api/operations.js';

export interface World {
  /** What lines before have shown: ids of jobs and their like. */
  names: Map<string, string>;
  file: (name: string) => string;
}

export type Line = string | ((world: World) => string);

interface Command {
  /** The words behind `ashlar`. */
  line: Line;
  /** Lines that are run first, and must succeed; 'cut import' leaves an import half done. */
  before?: readonly Line[];
  /** Why the daemon of the test must refuse it: that it was called is seen all the same. */
  refused?: string;
  /** What it exits with when all is well, unless 0. */
  exits?: number;
  /** Told what each of these lines has printed. */
  learn?: (world: World, out: string) => void;
  /**
   * Fields of the query or body: the option that gives it, or a whole line that begins with
   * `ashlar`. Not named: an option that all commands call the same, or the line has it already.
   */
  fields?: Readonly<Record<string, string | { none: string }>>;
}

/** A command, or why there is none. */
export type Row = Command | { none: string };

const nqn = 'nqn.2014-08.org.example:host';
const named =
  (name: string, line: string): Line =>
  ({ names }) =>
    line.replace('$', names.get(name) ?? `nothing is known of ${name}`);
/** Keeps a field of the JSON that a line has printed. */
const keep =
  (name: string, pattern: RegExp) =>
  ({ names }: World, out: string): void => {
    const [, found] = pattern.exec(out) ?? [];
    if (found !== undefined) names.set(name, found);
  };
const id = /"id": "([^"]+)"/;
const ownOption = { none: 'a command that takes several pages asks for them itself' };
const ofAll = (what: string) => ({ none: `'${what}' shows the one, with --tenant as a filter` });

const quota = {
  'quota.capacityBytes': '--capacity 1GiB',
  'quota.volumes': '--volumes 5',
  'quota.snapshots': '--snapshots none',
  'quota.iops': '--iops 100',
  'quota.bytesPerSecond': '--rate 1MiB',
};
const settings = {
  readIops: '--read-iops 5',
  writeIops: '--write-iops 5',
  iops: '--iops 5k',
  readBytesPerSecond: '--read-rate 1MiB',
  writeBytesPerSecond: '--write-rate 1MiB',
  bytesPerSecond: '--rate none',
  burstPercent: '--burst 300%/30s',
  burstSeconds: '--burst 300%/30s',
  weight: '--weight 7',
  offered: '--offered',
};
const plan = {
  timezone: '--timezone Europe/Berlin',
  prefix: '--prefix p',
  'keep.last': '--keep-last 1',
  'keep.hourly': '--keep-hourly 1',
  'keep.daily': '--keep-daily 1',
  'keep.weekly': '--keep-weekly 1',
  'keep.monthly': '--keep-monthly 1',
};
const aVolume = { uuid: '--uuid 6f1c8a54-0000-4000-8000-000000000001', hosts: '--host *' };

/** In the order in which they are run: what is made by one is there for the next. */
const inOrder = {
  getStatus: { line: 'status' },
  listPools: { line: 'pool list --json', learn: keep('pool', /"name": "([^"]+)"/) },
  getPool: { line: named('pool', 'pool show $') },
  checkPool: { none: "'ashlar pool check' does it as a job (startPoolCheck), with its progress" },
  startPoolCheck: { line: 'pool check' },
  listDevices: { line: 'pool device list' },
  getDevice: { line: 'pool device show 0' },
  addDevice: { line: ({ file }) => `pool device add ${file('more')} --size 64MiB` },
  attachDevice: {
    line: ({ file }) => `pool device attach ${file('more')}`,
    refused: 'it is not missing',
  },
  createTenant: {
    line: 'tenant create blue',
    fields: { ...quota, policy: '--policy none' },
  },
  listTenants: { line: 'tenant list', fields: { tenant: ofAll('tenant show') } },
  getTenant: { line: 'tenant show blue' },
  changeTenant: {
    line: 'tenant set blue --volumes 9',
    fields: { ...quota, name: '--name blue', policy: '--policy none' },
  },
  createPolicy: { line: 'policy create gold --iops 5k', fields: settings },
  listPolicies: { line: 'policy list' },
  getPolicy: { line: 'policy show gold' },
  changePolicy: {
    line: 'policy set gold --weight 400',
    fields: { ...settings, name: '--name gold' },
  },
  createVolume: {
    line: 'volume create web --size 8MiB',
    fields: {
      ...aVolume,
      blockBytes: '--block-size 512',
      reserved: '--reserved',
      policy: '--policy gold',
    },
  },
  listVolumes: { line: 'volume list' },
  getVolume: { line: 'volume show web' },
  changeVolume: {
    line: 'volume resize web --size 16MiB',
    fields: {
      name: 'ashlar volume rename web web',
      shrink: '--shrink',
      reserved: 'ashlar volume reserve web --off',
      policy: 'ashlar volume limit web --policy gold',
    },
  },
  explainVolume: { line: 'explain volume web' },
  explainPool: { line: 'explain pool' },
  explainTenant: { line: 'explain tenant default', exits: 1 },
  listVolumeStatistics: { line: 'volume statistics' },
  getVolumeStatistics: { line: 'volume statistics web' },
  listTenantStatistics: { line: 'tenant statistics' },
  createSnapshots: {
    line: 'snapshot create web@one db@one --json',
    before: ['volume create db --size 8MiB'],
    learn: keep('group', /"groupUuid": "([^"]+)"/),
    fields: {
      uuids: '--uuid 7d1f1c3e-58f5-4f43-9f6f-0a4b8f0f2b11 aa1f1c3e-58f5-4f43-9f6f-0a4b8f0f2b12',
      groupUuid: '--group-uuid bb1f1c3e-58f5-4f43-9f6f-0a4b8f0f2b13',
    },
  },
  listSnapshots: { line: 'snapshot list', fields: { volume: 'ashlar snapshot list web' } },
  getSnapshot: { line: 'snapshot show web@one' },
  listRanges: {
    line: 'snapshot diff web@one',
    fields: {
      since: '--since web@one',
      from: '--from 4096',
      limit: '',
      cursor: ownOption,
    },
  },
  rollbackSnapshot: { line: 'snapshot rollback web@one --yes' },
  cloneVolume: {
    line: 'volume clone web@one copy',
    fields: {
      ...aVolume,
      sizeBytes: '--size 64MiB',
      reserved: '--reserved',
      policy: '--policy gold',
    },
  },
  listGroups: { line: 'snapshot group list' },
  getGroup: { line: named('group', 'snapshot group show $') },
  createSchedule: {
    line: "schedule create nightly --cron '0 2 * * *' --volume web --keep-last 2",
    fields: { ...plan, enabled: '--disabled' },
  },
  listSchedules: { line: 'schedule list' },
  getSchedule: { line: 'schedule show nightly' },
  changeSchedule: {
    line: 'schedule change nightly --keep-daily 3',
    fields: {
      ...plan,
      name: '--name nightly',
      cron: '--cron @daily',
      volumes: '--volume web',
      enabled: 'ashlar schedule disable nightly',
    },
  },
  runSchedule: { line: 'schedule run nightly' },
  deleteSchedule: { line: 'schedule delete nightly' },
  listImports: { line: 'volume imports', before: ['cut import'] },
  getImport: { line: 'volume imports half' },
  abandonImport: { line: 'volume import half --abandon' },
  createHost: { line: `host add ${nqn}` },
  listHosts: { line: 'host list' },
  getHost: { line: `host show ${nqn}` },
  explainHost: { line: `explain host ${nqn}` },
  createHostKey: {
    line: `host key generate ${nqn} --json`,
    learn: keep('key', /"fingerprint": "([^"]+)"/),
    fields: {
      role: '--controller',
      hash: '--hash sha384',
      replace: '--replace',
      secret: `ashlar host key set ${nqn} --file package.json`,
      repeatable: `ashlar host key set ${nqn} --file package.json --if-missing`,
    },
  },
  listHostKeys: { line: 'host key list' },
  getHostKey: { line: named('key', `host key show ${nqn} $`) },
  deleteHostKey: { line: named('key', `host key remove ${nqn} $`) },
  createPsk: {
    line: `host psk generate ${nqn} --json`,
    learn: keep('psk', id),
    fields: {
      hash: '--hash sha384',
      psk: `ashlar host psk set ${nqn} package.json`,
      repeatable: `ashlar host psk set ${nqn} package.json --if-missing`,
    },
  },
  listPsks: { line: 'host psk list' },
  getPsk: { line: `host psk show ${nqn}`, fields: { id: '0123456789ab' } },
  deletePsk: { line: `host psk remove ${nqn}`, fields: { id: '0123456789ab' } },
  createGrant: {
    line: `grant add web ${nqn}`,
    fields: { access: '--read-only', alone: '--alone host' },
  },
  listGrants: { line: 'grant list' },
  getGrant: { line: `grant show web ${nqn}` },
  deleteGrant: { line: `grant remove web ${nqn}` },
  deleteHost: { line: `host remove ${nqn}` },
  listReservations: { line: 'reservation list' },
  getReservation: { line: 'reservation show web', refused: 'no host is registered with it' },
  clearReservations: { line: 'reservation clear web' },
  createPortal: {
    line: 'portal add 127.0.0.9:24420 --json',
    learn: keep('portal', /"portalId": (\d+)/),
  },
  listPortals: { line: 'portal list' },
  getPortal: { line: named('portal', 'portal show $') },
  setAna: {
    line: named('portal', 'ana set $ change'),
    fields: { anagrpid: '--group 2', next: '--next inaccessible' },
  },
  listAna: { line: 'ana list' },
  drainPortal: { line: named('portal', 'portal drain $') },
  resumePortal: { line: named('portal', 'portal resume $') },
  deletePortal: { line: named('portal', 'portal remove $') },
  createReferral: { line: 'referral add 192.0.2.7', fields: { portalId: '--portal-id 3' } },
  listReferrals: { line: 'referral list' },
  getReferral: { line: 'referral show 192.0.2.7:8009' },
  deleteReferral: { line: 'referral remove 192.0.2.7:8009' },
  listControllers: { line: 'controller list' },
  listEvents: {
    line: 'event list --json',
    learn: keep('event', id),
    fields: {
      severity: '--severity info',
      kind: '--kind volume-created',
      subject: '--subject x',
      since: '--since 2h',
      until: '--until 03:00',
    },
  },
  getEvent: { line: named('event', 'event show $') },
  listJobs: { line: 'job list --json', learn: keep('job', id) },
  getJob: {
    line: named('job', 'job show $'),
    fields: { waitSeconds: 'ashlar job wait 6f1c8a54-0000-4000-8000-000000000001' },
  },
  cancelJob: { line: named('job', 'job cancel $'), refused: 'it has ended already' },
  deleteJob: { line: named('job', 'job delete $') },
  getSelf: { line: 'whoami' },
  createSignIn: { line: 'console', exits: 4 },
  createSession: { none: 'a browser does it, with what the link of "ashlar console" holds' },
  deleteSession: { none: 'a browser does it; the command line has no session to end' },
  createToken: {
    line: 'token create ops --role viewer',
    fields: { expiresAt: '--expires 1h', subject: '--subject CN=ops' },
  },
  listTokens: { line: 'token list' },
  getToken: { line: 'token show ops' },
  rotateToken: {
    line: 'token rotate ops',
    fields: { graceSeconds: '--grace 1m', expiresAt: '--expires 1h' },
  },
  deleteToken: { line: 'token delete ops' },
  deleteGroup: { line: named('group', 'snapshot group delete $ --yes') },
  deleteSnapshot: {
    line: 'snapshot delete web@two --yes',
    before: ['snapshot create web@two'],
  },
  deleteVolume: { line: 'volume delete copy --yes' },
  deletePolicy: { line: 'policy delete gold --yes' },
  deleteTenant: { line: 'tenant delete blue' },
} as const satisfies Record<OperationId, Row>;

export const rows: Readonly<Record<OperationId, Row>> = inOrder;
/** The operations, in the order of their lines. */
export const order: readonly OperationId[] = Object.keys(inOrder).filter(
  (name): name is OperationId => Object.hasOwn(inOrder, name),
);
