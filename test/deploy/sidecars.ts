/**
 * What is known of the releases of Kubernetes's sidecars that the charts name: their flags, their
 * feature gates, and what they ask the API server for. Of another release nothing is known: look it
 * up before you write it here.
 */
import type { Container } from './rules.js';

export interface SidecarFacts {
  flags: readonly string[];
  gates: readonly string[];
  /** `verb group/resource` */
  rules: readonly string[];
}

const common = [
  ...['csi-address', 'kubeconfig', 'version', 'v', 'http-endpoint', 'metrics-path'],
  ...['kube-api-qps', 'kube-api-burst'],
];
const leading = [
  ...common,
  ...['leader-election', 'leader-election-namespace', 'leader-election-lease-duration'],
  ...['leader-election-renew-deadline', 'leader-election-retry-period', 'leader-election-labels'],
];
const retrying = ['retry-interval-start', 'retry-interval-max', 'worker-threads', 'timeout'];

const may = (verbs: string, ...resources: string[]): string[] =>
  resources.flatMap((resource) => verbs.split(' ').map((verb) => `${verb} ${resource}`));
const read = 'get list watch';
const storage = 'storage.k8s.io';
const snapshot = 'snapshot.storage.k8s.io';
const group = 'groupsnapshot.storage.k8s.io';
const leases = [
  ...may('get list watch create update delete', 'coordination.k8s.io/leases'),
  // Who leads from now on.
  ...may('create patch', '/events'),
];
const release = 'ReleaseLeaderElectionOnExit';

const provisioner = (args: readonly string[]): string[] => [
  ...may(`${read} create patch delete`, '/persistentvolumes'),
  ...may(`${read} update`, '/persistentvolumeclaims'),
  ...may(read, '/nodes', `${storage}/storageclasses`, `${storage}/csinodes`),
  // Before a volume is deleted it looks whether it is still attached.
  ...may(read, `${storage}/volumeattachments`),
  ...may('list watch create update patch', '/events'),
  ...may('get', `${storage}/volumeattributesclasses`),
  ...may(`${read} update`, `${snapshot}/volumesnapshots`),
  ...may('get list', `${snapshot}/volumesnapshotcontents`),
  ...leases,
  ...(args.includes('--enable-capacity')
    ? [
        ...may(`${read} create update patch delete`, `${storage}/csistoragecapacities`),
        ...may('get', '/pods', 'apps/replicasets'),
      ]
    : []),
];

const resizer = (args: readonly string[]): string[] => [
  ...may(`${read} patch`, '/persistentvolumes'),
  ...may(read, '/persistentvolumeclaims', `${storage}/volumeattributesclasses`),
  ...may('patch', '/persistentvolumeclaims/status'),
  ...may('list watch create update patch', '/events'),
  // To know which claims are in use, for drivers that cannot expand those.
  ...(args.includes('--handle-volume-inuse-error=false') ? [] : may(read, '/pods')),
  ...leases,
];

const snapshotter = (args: readonly string[]): string[] => [
  ...may('list watch create update patch', '/events'),
  ...may(read, `${snapshot}/volumesnapshotclasses`),
  ...may(`${read} update patch`, `${snapshot}/volumesnapshotcontents`),
  ...may('update patch', `${snapshot}/volumesnapshotcontents/status`),
  ...(args.includes('--feature-gates=CSIVolumeGroupSnapshot=true')
    ? [
        ...may(read, `${group}/volumegroupsnapshotclasses`),
        ...may(`${read} update patch`, `${group}/volumegroupsnapshotcontents`),
        ...may('update patch', `${group}/volumegroupsnapshotcontents/status`),
      ]
    : []),
  ...leases,
];

interface Known {
  flags: readonly string[];
  gates: readonly string[];
  rules: (args: readonly string[]) => readonly string[];
}

const nothing = (): string[] => [];

/** Name and release, without its last number. */
const known: Record<string, Known> = {
  'csi-provisioner:v6.3': {
    flags: [
      ...[...leading, ...retrying, 'feature-gates', 'enable-capacity', 'capacity-ownerref-level'],
      ...['extra-create-metadata', 'default-fstype', 'strict-topology', 'immediate-topology'],
      ...['capacity-poll-interval', 'capacity-threads', 'volume-name-prefix'],
      ...['snapshot-orphan-sweep-interval', 'prevent-volume-mode-conversion'],
    ],
    gates: ['Topology', 'CrossNamespaceVolumeDataSource', 'VolumeAttributesClass', release],
    rules: provisioner,
  },
  'csi-attacher:v4.12': {
    flags: [
      ...[...leading, ...retrying, 'resync', 'max-entries', 'default-fstype', 'reconcile-sync'],
      ...['max-grpc-log-length', 'feature-gates'],
    ],
    gates: [release],
    rules: () => [
      ...may(`${read} patch`, '/persistentvolumes', `${storage}/volumeattachments`),
      ...may(read, `${storage}/csinodes`),
      ...may('patch', `${storage}/volumeattachments/status`),
      ...leases,
    ],
  },
  'csi-resizer:v2.2': {
    flags: [
      ...[...leading, 'resync-period', 'workers', 'extra-modify-metadata', 'timeout'],
      ...['retry-interval-start', 'retry-interval-max', 'handle-volume-inuse-error'],
      'feature-gates',
    ],
    gates: ['AnnotateFsResize', 'RecoverVolumeExpansionFailure', 'VolumeAttributesClass', release],
    rules: resizer,
  },
  'csi-snapshotter:v8.6': {
    flags: [
      ...[...leading, ...retrying, 'resync-period', 'snapshot-name-prefix', 'feature-gates'],
      ...['snapshot-name-uuid-length', 'groupsnapshot-name-prefix', 'extra-create-metadata'],
      ...['groupsnapshot-name-uuid-length', 'node-deployment'],
    ],
    gates: ['CSIVolumeGroupSnapshot', release],
    rules: snapshotter,
  },
  'csi-snapshot-metadata:v1.1': {
    flags: [
      ...[...common, 'timeout', 'port', 'tls-cert', 'tls-key', 'audience', 'disable-metrics'],
      'max-streaming-duration-min',
    ],
    gates: [],
    rules: () => [
      ...may('get', 'cbt.storage.k8s.io/snapshotmetadataservices'),
      ...may('create', 'authentication.k8s.io/tokenreviews'),
      ...may('create', 'authorization.k8s.io/subjectaccessreviews'),
      ...may('get', `${snapshot}/volumesnapshots`, `${snapshot}/volumesnapshotcontents`),
      ...may('get list', `${snapshot}/volumesnapshotclasses`),
    ],
  },
  'csi-external-health-monitor-controller:v0.18': {
    flags: [
      ...[...leading, 'monitor-interval', 'resync', 'timeout', 'list-volumes-interval'],
      ...['volume-list-add-interval', 'node-list-add-interval', 'worker-threads'],
      'enable-node-watcher',
    ],
    gates: [],
    rules: () => [
      ...may(read, '/persistentvolumes', '/persistentvolumeclaims', '/nodes', '/pods'),
      ...may(`${read} create patch`, '/events'),
      ...leases,
    ],
  },
  'csi-node-driver-registrar:v2.17': {
    flags: [
      ...['csi-address', 'kubelet-registration-path', 'plugin-registration-path', 'timeout'],
      ...['http-endpoint', 'enable-pprof', 'version', 'v'],
    ],
    gates: [],
    rules: nothing,
  },
  'livenessprobe:v2.19': {
    flags: ['csi-address', 'http-endpoint', 'probe-timeout', 'metrics-path', 'version', 'v'],
    gates: [],
    rules: nothing,
  },
};

/** What is known of the release that a container runs; null: nothing. */
export function sidecarFacts({ image, args = [] }: Container): SidecarFacts | null {
  const release = image.slice(image.lastIndexOf('/') + 1).replace(/\.\d+$/, '');
  const facts = known[release];
  return facts === undefined ? null : { ...facts, rules: facts.rules(args) };
}
