/**
 * A check that finds nothing may be a check that cannot find: here each finds the mistake that was
 * made for it in the manifests of the tree, and the others find nothing in them as they are.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { type Manifest, manifests, missing, parseManifests } from './charts.js';
import { checks } from './rules.js';
import { KubernetesSchemas } from './schemas.js';

const whole = fs
  .readdirSync(manifests)
  .map((file) => fs.readFileSync(path.join(manifests, file), 'utf8'))
  .join('---\n');

/** The manifests with one thing changed in their text, in all places or in the object named. */
function planted(from: string | RegExp, to: string, inObject?: RegExp): Manifest[] {
  const changed = whole
    .split(/^---\n/m)
    .map((document) =>
      inObject === undefined || inObject.test(document) ? document.replace(from, to) : document,
    )
    .join('---\n');
  assert.notEqual(changed, whole, `'${from}' is in the manifests`);
  return parseManifests(changed, 'planted');
}

const csiDriver = /^kind: CSIDriver$/m;
const deployment = /^kind: Deployment$/m;
const daemonSet = /^kind: DaemonSet$/m;
const statefulSet = /^kind: StatefulSet$/m;
const claim = /^kind: PersistentVolumeClaim$/m;
const role = (name: string) =>
  new RegExp(`^kind: ClusterRole\\nmetadata:\\n {2}name: ashlar-csi-${name}$`, 'm');

type Mistake = [from: string | RegExp, to: string, inObject: RegExp | undefined, found: RegExp];

const ofSchemas: Record<string, Mistake> = {
  'a field that there is not': ['seLinuxMount:', 'seLinuxMounts:', csiDriver, /'seLinuxMounts'/],
  'a field in the wrong place': [
    '  replicas: 2',
    '  hostNetwork: true',
    deployment,
    /'hostNetwork'/,
  ],
  'a number as text': [/Seconds: 60$/m, "Seconds: '60'", csiDriver, /must be integer/],
  'text as a number': ['runAsNonRoot: true', 'runAsNonRoot: 1', deployment, /must be boolean/],
  'a field that is missing': [
    / {2}selector:\n(?: {4}.*\n)+?(?= {2}\w)/,
    '',
    deployment,
    /'selector'/,
  ],
  'a word that is none': ['Bidirectional', 'Shared', daemonSet, /allowed values/],
  'an amount that is none': ['memory: 96Mi', 'memory: 96MB', daemonSet, /must match pattern/],
  'a kind that there is not': [
    'kind: DaemonSet',
    'kind: NodeSet',
    daemonSet,
    /no kind apps\/v1\/NodeSet/,
  ],
  'a kind of another group': ['apiVersion: apps/v1', 'apiVersion: v1', statefulSet, /no kind v1\//],
  'a CRD: a field that there is not': [
    'deletionPolicy:',
    'reclaimPolicy:',
    /VolumeSnapshotClass/,
    /'reclaimPolicy'/,
  ],
  'a CRD: a word that is none': [
    'deletionPolicy: Delete',
    'deletionPolicy: Keep',
    /VolumeGroupSnapshotClass/,
    /allowed/,
  ],
};

const ofRules: Record<string, Record<string, Mistake>> = {
  mounts: {
    'a volume that is not there': [
      '- name: kubelet\n',
      '- name: kubelets\n',
      daemonSet,
      /no volume 'kubelet'/,
    ],
    'two at one place': ['mountPath: /sys', 'mountPath: /dev', daemonSet, /two volumes at \/dev/],
    'a ConfigMap that is not there': [
      'configMap: {name: ashlar-csi-',
      'configMap: {name: other-',
      daemonSet,
      /no ConfigMap/,
    ],
    'a claim that is not there': [
      'claimName: ashlar-a-0',
      'claimName: ashlar-b-0',
      statefulSet,
      /no claim/,
    ],
    'a volume that nobody uses': [
      / +- \{name: modules, .*\n/,
      '',
      daemonSet,
      /nobody uses 'modules'/,
    ],
  },
  sockets: {
    'a sidecar elsewhere': [
      '--csi-address=/csi/csi.sock',
      '--csi-address=/csi/c.sock',
      deployment,
      /not the plugin's/,
    ],
    'a plugin elsewhere': [
      'socket = "/csi/csi.sock"',
      'socket = "/run/csi.sock"',
      undefined,
      /socket/,
    ],
    'a sidecar of another user': [
      'privileged: true',
      'privileged: true\n            runAsUser: 1',
      daemonSet,
      /is another user/,
    ],
    'kubelet elsewhere': [
      'plugins/csi.ashlar.dev/csi.sock',
      'plugins/ashlar/csi.sock',
      daemonSet,
      /kubelet finds no/,
    ],
    'health at another port': [
      '--http-endpoint=127.0.0.1:9809',
      '--http-endpoint=127.0.0.1:9810',
      daemonSet,
      /health/,
    ],
    'health of another address': [
      '--http-endpoint=127.0.0.1:9809',
      '--http-endpoint=:9809',
      daemonSet,
      /health/,
    ],
  },
  privileges: {
    'a sidecar that is privileged': [
      'allowPrivilegeEscalation: false',
      'privileged: true',
      daemonSet,
      /is privileged/,
    ],
    'capabilities that stay': ['drop: [ALL]', 'drop: [MKNOD]', deployment, /keeps capabilities/],
    'capabilities that come': [
      '{drop: [ALL]}',
      '{drop: [ALL], add: [SYS_ADMIN]}',
      deployment,
      /gets capabilities/,
    ],
    'an image that is written': [
      'readOnlyRootFilesystem: true',
      'readOnlyRootFilesystem: false',
      statefulSet,
      /writes its image/,
    ],
    'a token for all': [
      'automountServiceAccountToken: false',
      'automountServiceAccountToken: true',
      deployment,
      /every container/,
    ],
    'a token for the plugin': [
      '- {name: config, mountPath',
      '- {name: api-access, mountPath: /t}\n            - {name: config, mountPath',
      deployment,
      /for nothing/,
    ],
    'no token for a sidecar': [/ +- \{name: api-access, .*\n/, '', deployment, /has no token/],
    "the node's network": [
      '      securityContext:\n',
      '      hostNetwork: true\n      securityContext:\n',
      deployment,
      /node's network/,
    ],
  },
  permissions: {
    'a star': [
      'verbs: [get, list, watch, patch]',
      "verbs: ['*']",
      role('attacher'),
      /may '\* \/persist/,
    ],
    'too little': [
      'verbs: [patch]',
      'verbs: [get]',
      role('attacher'),
      /needs 'patch storage.k8s.io\/volumeattachments\/status'/,
    ],
    'too much': [
      'resources: [storageclasses]',
      'resources: [storageclasses, secrets]',
      role('provisioner'),
      /list storage.k8s.io\/secrets' and does not/,
    ],
    'every Secret': [
      'resources: [storageclasses]',
      'resources: [storageclasses, secrets]',
      role('provisioner'),
      /reads every Secret/,
    ],
    'a role that is not there': [
      / {2}name: ashlar-csi-attacher\nsubjects/,
      '  name: attacher\nsubjects',
      undefined,
      /there is no ClusterRole/,
    ],
    'an account that is not there': [
      /kind: ServiceAccount\n {4}name: ashlar-csi-controller/,
      'kind: ServiceAccount\n    name: controller',
      undefined,
      /no ServiceAccount/,
    ],
  },
  flags: {
    'a flag of another release': [
      '--extra-create-metadata',
      '--enable-leader-election',
      deployment,
      /no --enable-leader/,
    ],
    'a gate of another sidecar': [
      'VolumeAttributesClass=true',
      'CSIVolumeGroupSnapshot=true',
      deployment,
      /knows no gate/,
    ],
    'a release of which nothing is known': [
      'csi-attacher:v4.12.0',
      'csi-attacher:v5.0.0',
      deployment,
      /nothing is known/,
    ],
  },
  references: {
    'a service without pods': [
      '    ashlar.dev/node: a\n  #',
      '    ashlar.dev/node: b\n  #',
      /^kind: Service$/m,
      /finds no pods/,
    ],
    'a port that is not there': [
      'targetPort: api',
      'targetPort: https',
      /^kind: Service$/m,
      /no pod has port/,
    ],
    'pods that are not found': [
      'app.kubernetes.io/component: node',
      'app.kubernetes.io/component: nodes',
      daemonSet,
      /does not find its pods/,
    ],
    'an account that is not there': [
      'serviceAccountName: ashlar-csi-node',
      'serviceAccountName: node',
      daemonSet,
      /no ServiceAccount/,
    ],
  },
  devices: {
    'two pods on a device': ['replicas: 1', 'replicas: 2', statefulSet, /several pods/],
    'a device without a daemon': [
      'name: ashlar-a-0\n  nodeAffinity',
      'name: other\n  nodeAffinity',
      undefined,
      /has 0 workloads/,
    ],
  },
};

describe('mistakes that the schemas find', { skip: missing('models') }, () => {
  const schemas = missing('models') === false ? new KubernetesSchemas() : null;
  const problems = (objects: Manifest[]) =>
    objects.flatMap((each) => schemas?.problems(each) ?? []);

  test('none in the manifests as they are', () => {
    assert.deepEqual(problems(parseManifests(whole, 'manifests')), []);
  });

  for (const [name, [from, to, inObject, found]] of Object.entries(ofSchemas)) {
    test(name, () => assert.match(problems(planted(from, to, inObject)).join('\n'), found));
  }

  test('a key that is there twice', () => {
    assert.throws(
      () => planted('  replicas: 2\n', '  replicas: 2\n  replicas: 3\n', deployment),
      /unique/,
    );
  });
});

for (const [rule, mistakes] of Object.entries(ofRules)) {
  describe(`mistakes that the rule of ${rule} finds`, () => {
    test('none in the manifests as they are', () => {
      assert.deepEqual(checks[rule]?.(parseManifests(whole, 'manifests')), []);
    });

    for (const [name, [from, to, inObject, found]] of Object.entries(mistakes)) {
      test(name, () => {
        assert.match(checks[rule]?.(planted(from, to, inObject)).join('\n') ?? '', found);
      });
    }
  });
}

test('each rule has a mistake made for it, and two of one device', () => {
  assert.deepEqual(Object.keys(ofRules).sort(), Object.keys(checks).sort());
  const [first] = parseManifests(whole, 'manifests').filter(
    ({ kind }) => kind === 'PersistentVolume',
  );
  assert.ok(first !== undefined && claim.test(whole));
  const second = { ...first, metadata: { ...first.metadata, name: 'second' } };
  const objects = [...parseManifests(whole, 'manifests'), second];
  assert.match(checks['devices']?.(objects).join('\n') ?? '', /is the same device/);
});
