/**
 * The charts, the manifests and the examples of deploy/kubernetes, held against what Kubernetes
 * takes, against each other, and against the programs that they start.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { parseConfigFile } from '../../lib/config/file.js';
import { type CsiConfig, loadCsiConfig } from '../../lib/csi/config.js';
import { Folder } from '../api/fixture.js';
import { program } from '../rig/daemon.js';
import {
  examples,
  lint,
  type Manifest,
  manifests,
  missing,
  parseManifests,
  plainManifests,
  type RenderOptions,
  render,
} from './charts.js';
import * as rules from './rules.js';
import { KubernetesSchemas } from './schemas.js';

const noHelm = missing('helm');
const noModels = missing('models');
const without = noHelm || noModels;

const text = (file: string): string => fs.readFileSync(file, 'utf8');
const filesOf = (folder: string): string[] =>
  fs.readdirSync(folder).filter((name) => name.endsWith('.yaml'));

/** Renderings that between them have every part of a chart in them. */
const variants: Record<string, { chart: string; values: object }> = {
  'ashlar-csi': { chart: 'ashlar-csi', values: {} },
  'ashlar-csi, everything': {
    chart: 'ashlar-csi',
    values: {
      image: { repository: 'example.test/ashlar-csi', tag: 'x', pullSecrets: ['pull'] },
      endpoints: [
        {
          name: 'a',
          urls: ['https://ashlar-a:8420', 'https://192.0.2.5:8420'],
          portals: ['192.0.2.5:4420', '[2001:db8::5]:4420'],
          topology: { 'topology.csi.ashlar.dev/zone': 'a', rack: '1' },
        },
        { name: 'b', urls: ['https://ashlar-b:8420'] },
      ],
      secret: { name: 'tokens', create: true, values: { 'a.token': 'one', 'b.token': 'two' } },
      node: {
        groups: [
          {
            name: 'a',
            nodeSelector: { zone: 'a' },
            topology: { 'topology.csi.ashlar.dev/zone': 'a' },
          },
          {
            name: 'b',
            nodeSelector: { zone: 'b' },
            topology: { 'topology.csi.ashlar.dev/zone': 'b' },
          },
        ],
        podAnnotations: { note: 'x' },
        podLabels: { team: 'x' },
      },
      controller: { podAnnotations: { note: 'x' }, podLabels: { team: 'x' } },
      sidecars: { provisioner: { args: ['--v=4'], resources: { limits: { memory: '64Mi' } } } },
      ephemeral: { secretName: 'node-tokens' },
      storageClasses: [
        {
          name: 'keys',
          default: true,
          fsType: 'xfs',
          mountOptions: ['noatime'],
          parameters: { tenant: 'blue', policy: 'silver', blockSize: '4096', tls: 'required' },
          secret: { name: 'host-keys', namespace: 'secrets' },
        },
      ],
      volumeAttributesClasses: [{ name: 'silver', parameters: { policy: 'silver', schedule: '' } }],
      snapshots: {
        classes: [{ name: 's', default: true }],
        groupClasses: [{ name: 'g', default: true }],
      },
      snapshotMetadata: { enabled: true, caCert: '-----BEGIN CERTIFICATE-----\nx\n' },
    },
  },
  'ashlar-csi, least': {
    chart: 'ashlar-csi',
    values: {
      driver: { storageCapacity: false },
      ephemeral: { enabled: false },
      snapshots: { enabled: false },
      storageClasses: [],
      networkPolicy: { enabled: false },
      podDisruptionBudget: { enabled: false },
    },
  },
  'ashlar-csi, no groups': { chart: 'ashlar-csi', values: { snapshots: { groups: false } } },
  ashlar: { chart: 'ashlar', values: {} },
  'ashlar, everything': {
    chart: 'ashlar',
    values: {
      image: { pullSecrets: ['pull'] },
      nodes: [
        { name: 'a', hostname: 'one', devices: ['/dev/nvme1n1', '/dev/nvme2n1'], portals: [] },
        {
          name: 'b',
          hostname: 'two',
          devices: ['/dev/nvme1n1'],
          portals: ['192.0.2.7', '[::1]:4420'],
        },
      ],
      hostNetwork: false,
      seccomp: { install: false },
      api: { issuer: { name: 'ca', kind: 'ClusterIssuer' } },
      metrics: { enabled: true, serviceMonitor: true },
      tls: 'required',
      reactors: 2,
      podAnnotations: { note: 'x' },
      podLabels: { team: 'x' },
    },
  },
  'ashlar, no filter': { chart: 'ashlar', values: { seccomp: { type: 'Unconfined' } } },
};

function rendered(name: string, options: RenderOptions = {}): Manifest[] {
  const { chart = '', values = {} } = variants[name] ?? {};
  const { problem, objects } = render(chart, { values, ...options });
  assert.equal(problem, null, name);
  return objects;
}

/** The plugin's configuration, as the plugin itself reads it. */
async function readConfig(toml: string): Promise<CsiConfig> {
  using folder = new Folder();
  fs.writeFileSync(folder.file('config.toml'), toml);
  const options = { file: 'config.toml', flags: {}, cwd: folder.path, environment: {} };
  return await loadCsiConfig(options);
}

function allProblems(objects: readonly Manifest[]): string[] {
  return Object.values(rules.checks).flatMap((check) => check(objects));
}

describe('charts', { skip: without }, () => {
  test('lint: Helm has nothing to say', () => {
    for (const chart of ['ashlar-csi', 'ashlar']) assert.equal(lint(chart), null);
  });

  const schemas = noModels === false ? new KubernetesSchemas() : null;
  for (const name of Object.keys(variants)) {
    test(`${name}: every object is what Kubernetes takes, and fits the others`, () => {
      const objects = rendered(name);
      assert.ok(objects.length > 0);
      assert.deepEqual(
        objects.flatMap((each) => schemas?.problems(each) ?? []),
        [],
      );
      assert.deepEqual(allProblems(objects), []);
      const names = objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
      assert.deepEqual(names, [...new Set(names)], 'no object twice');
    });
  }

  test('another release in another namespace: nothing is bound to the first', () => {
    for (const chart of ['ashlar-csi', 'ashlar']) {
      const { objects } = render(chart, { release: 'second', namespace: 'elsewhere' });
      assert.deepEqual(allProblems(objects), []);
      const { text: whole } = render(chart, { release: 'second', namespace: 'elsewhere' });
      assert.doesNotMatch(whole, /namespace: ashlar$/m);
    }
  });

  for (const name of Object.keys(variants).filter((each) => each.startsWith('ashlar-csi'))) {
    test(`${name}: the plugin reads its configuration and finds its files`, async () => {
      const objects = rendered(name);
      let read = 0;
      for (const workload of rules.workloads(objects)) {
        const [plugin] = workload.containers;
        assert.ok(plugin !== undefined);
        const config = await readConfig(rules.configOf(objects, workload));
        assert.equal(config.mode, plugin.args?.[2], workload.name);
        for (const { tokenFile, ca } of config.endpoints) {
          for (const file of [tokenFile, ca]) {
            assert.equal(rules.located(plugin, file ?? '')?.name, 'config', `${file}`);
          }
        }
        if (config.mode === 'node') {
          assert.ok(rules.located(plugin, config.node.state) !== null, 'its state outlives it');
        }
        read += 1;
      }
      assert.ok(read >= 2);
    });
  }

  test('zones: each group of nodes has its own segments, each endpoint too', async () => {
    const objects = rendered('ashlar-csi, everything');
    const zones: string[] = [];
    for (const workload of rules.workloads(objects)) {
      const { mode, node, endpoints } = await readConfig(rules.configOf(objects, workload));
      if (mode === 'node') zones.push(node.topology['topology.csi.ashlar.dev/zone'] ?? '');
      assert.deepEqual(
        { ...endpoints[0]?.topology },
        { 'topology.csi.ashlar.dev/zone': 'a', rack: '1' },
      );
      assert.deepEqual(endpoints[0]?.portals, ['192.0.2.5:4420', '[2001:db8::5]:4420']);
    }
    assert.deepEqual(zones, ['a', 'b']);
  });

  test('the controller may connect to each port that an endpoint has', () => {
    const urls = ['https://a:8420', 'https://a:1234', 'https://b'];
    const values = { endpoints: [{ name: 'a', urls }] };
    const { objects } = render('ashlar-csi', { values });
    const policy = objects.find(({ kind }) => kind === 'NetworkPolicy');
    const [, egress = ''] = /"egress":(.*)/.exec(JSON.stringify(policy)) ?? [];
    const ports = [...egress.matchAll(/"port":(\d+)/g)].map(([, port]) => Number(port));
    assert.deepEqual(ports, [53, 53, 443, 6443, 8420, 1234]);
  });

  test('no ephemeral volumes: nodes have no token and the driver does not offer them', () => {
    const objects = rendered('ashlar-csi, least');
    const driver = objects.find(({ kind }) => kind === 'CSIDriver');
    assert.match(JSON.stringify(driver), /"volumeLifecycleModes":\["Persistent"\]/);
    const node = objects.find(({ kind }) => kind === 'DaemonSet');
    assert.doesNotMatch(JSON.stringify(node), /"secret"/);
  });

  test('the daemon reads its configuration, and runs under the filter of deploy/docker', () => {
    for (const name of ['ashlar', 'ashlar, everything']) {
      for (const object of rendered(name).filter(({ kind }) => kind === 'ConfigMap')) {
        const { 'ashlar.toml': toml, 'seccomp.json': filter } = object['data'] as Record<
          string,
          string
        >;
        if (toml !== undefined) {
          assert.equal(parseConfigFile(toml, name).pool?.file, '/dev/ashlar/0');
        }
        if (filter !== undefined) {
          assert.deepEqual(JSON.parse(filter), JSON.parse(text('deploy/docker/seccomp.json')));
        }
      }
    }
  });
});

describe('what prepares a storage node', { skip: without }, () => {
  const script = (name: string): string => {
    const [daemon] = rules.workloads(rendered('ashlar'));
    const container = daemon?.initContainers.find((each) => each.name === name);
    return container?.command?.at(-1) ?? assert.fail(`no container ${name}`);
  };

  /** Runs it with its places below a folder, with this checkout's command. */
  function run(folder: Folder, name: string): { code: number | null; output: string } {
    fs.mkdirSync(folder.file('bin'), { recursive: true });
    fs.mkdirSync(folder.file('state'), { recursive: true });
    // A file stands for the device, and unlike that has to be given a size.
    const ashlar = `#!/bin/sh\nexec '${process.execPath}' '${program}' "$@" --size 64MiB\n`;
    fs.writeFileSync(folder.file('bin/ashlar'), ashlar, { mode: 0o755 });
    const text = script(name)
      .replaceAll('/dev/ashlar/0', folder.file('pool'))
      .replaceAll('/var/lib/ashlar', folder.file('state'))
      .replaceAll('/seccomp/', `${folder.file('seccomp')}/`)
      .replaceAll('/profile/', 'deploy/docker/')
      .replaceAll('4420:4420', `${process.getuid?.()}:${process.getgid?.()}`);
    const env = {
      PATH: `${folder.file('bin')}:${process.env['PATH']}`,
      PROFILE: 'ashlar/ashlar.json',
    };
    const { status, stdout, stderr } = spawnSync('sh', ['-ec', text], { env, encoding: 'utf8' });
    return { code: status, output: stdout + stderr };
  }

  test('a blank place: a pool is made, once; the next start finds it', () => {
    using folder = new Folder();
    assert.equal(run(folder, 'pool').code, 0);
    const made = fs.statSync(folder.file('pool'));
    assert.deepEqual(run(folder, 'pool'), { code: 0, output: '' });
    assert.equal(fs.statSync(folder.file('pool')).mtimeMs, made.mtimeMs);
  });

  test('a pool of before, of which the node knows nothing: it is left as it is', () => {
    using folder = new Folder();
    assert.equal(run(folder, 'pool').code, 0);
    fs.rmSync(folder.file('state/pool-made'));
    const again = run(folder, 'pool');
    assert.equal(again.code, 0, again.output);
    assert.match(again.output, /there is a pool already/);
    assert.ok(fs.existsSync(folder.file('state/pool-made')));
  });

  test('a device that was cleared later: no second pool on it', () => {
    using folder = new Folder();
    assert.equal(run(folder, 'pool').code, 0);
    fs.rmSync(folder.file('pool'));
    assert.equal(run(folder, 'pool').code, 0);
    assert.ok(!fs.existsSync(folder.file('pool')));
  });

  test("somebody's data: refused, and told", () => {
    using folder = new Folder();
    fs.writeFileSync(folder.file('pool'), 'data'.repeat(1 << 20));
    const { code, output } = run(folder, 'pool');
    assert.equal(code, 1);
    assert.match(output, /already-exists/);
    assert.ok(!fs.existsSync(folder.file('state/pool-made')));
  });

  test('the filter of system calls comes to where kubelet looks for it', () => {
    using folder = new Folder();
    fs.mkdirSync(folder.file('seccomp'));
    const { code, output } = run(folder, 'prepare');
    assert.equal(code, 0, output);
    const [daemon] = rules.workloads(rendered('ashlar'));
    const profile = JSON.stringify(daemon?.containers[0]?.securityContext);
    assert.match(profile, /"localhostProfile":"ashlar\/ashlar\.json"/);
    assert.equal(
      text(folder.file('seccomp/ashlar/ashlar.json')),
      text('deploy/docker/seccomp.json'),
    );
    assert.equal(fs.statSync(folder.file('state')).mode & 0o777, 0o700);
  });
});

describe('values', { skip: without }, () => {
  const endpoint = { name: 'a', urls: ['https://a:1'] };
  const cls = (more: object) => ({ storageClasses: [{ name: 's', ...more }] });
  const node = { name: 'a', hostname: 'h', devices: ['/dev/x'] };
  const wrong: [chart: string, values: object, reason: RegExp][] = [
    ['ashlar-csi', { replicas: 3 }, /'replicas' not allowed/],
    ['ashlar-csi', { controller: { replicas: 0 } }, /controller\/replicas/],
    ['ashlar-csi', { controller: { timeout: 60 } }, /controller\/timeout/],
    ['ashlar-csi', { endpoints: [] }, /endpoints/],
    ['ashlar-csi', { endpoints: [{ ...endpoint, urls: ['http://a:1'] }] }, /urls/],
    ['ashlar-csi', { endpoints: [{ ...endpoint, portals: ['a:4420'] }] }, /portals/],
    ['ashlar-csi', { endpoints: [{ ...endpoint, topology: { zone: 'a b' } }] }, /topology/],
    ['ashlar-csi', { secret: { create: true } }, /secret\/values/],
    ['ashlar-csi', { sidecars: { attacher: { image: 'csi-attacher' } } }, /attacher\/image/],
    ['ashlar-csi', { sidecars: { attacher: { args: ['x'] } } }, /attacher\/args/],
    ['ashlar-csi', { driver: { fsGroupPolicy: 'Always' } }, /fsGroupPolicy/],
    [
      'ashlar-csi',
      { driver: { nodeAllocatableUpdatePeriodSeconds: 9 } },
      /minimum: got 9, want 10/,
    ],
    ['ashlar-csi', { node: { kubeletDir: 'var/lib' } }, /kubeletDir/],
    ['ashlar-csi', { node: { ctrlLoss: 'never' } }, /ctrlLoss/],
    ['ashlar-csi', { node: { keepAlive: '500ms' } }, /keepAlive/],
    ['ashlar-csi', { node: { maxVolumes: 5000 } }, /maximum/],
    ['ashlar-csi', { node: { groups: [] } }, /groups/],
    ['ashlar-csi', cls({ fsType: 'zfs' }), /fsType/],
    ['ashlar-csi', cls({ parameters: { replicas: '2' } }), /replicas/],
    ['ashlar-csi', cls({ parameters: { blockSize: 4096 } }), /blockSize/],
    ['ashlar-csi', cls({ parameters: { Policy: 'x' } }), /'Policy' not allowed/],
    ['ashlar-csi', cls({ secret: { name: 'x' } }), /namespace/],
    ['ashlar-csi', { snapshotMetadata: { enabled: true } }, /caCert/],
    [
      'ashlar-csi',
      { volumeAttributesClasses: [{ name: 'v', parameters: { tenant: 'x' } }] },
      /tenant/,
    ],
    ['ashlar', { nodes: [] }, /nodes/],
    ['ashlar', { nodes: [{ name: 'a', hostname: 'h' }] }, /devices/],
    ['ashlar', { nodes: [{ ...node, devices: ['nvme1n1'] }] }, /devices/],
    ['ashlar', { nodes: [{ ...node, devices: ['/dev/x', '/dev/x'] }] }, /devices/],
    ['ashlar', { nodes: [{ ...node, name: 'A' }] }, /name/],
    ['ashlar', { seccomp: { type: 'None' } }, /seccomp\/type/],
    ['ashlar', { tls: true }, /tls/],
    ['ashlar', { mapCache: '256MB' }, /mapCache/],
  ];
  for (const [chart, values, reason] of wrong) {
    test(`${chart}: ${JSON.stringify(values)} is refused`, () => {
      assert.match(render(chart, { values }).problem ?? 'not refused', reason);
    });
  }

  test('each value that the charts have is in their schemas, with a word on it', () => {
    for (const chart of ['ashlar-csi', 'ashlar']) {
      const folder = `deploy/kubernetes/charts/${chart}`;
      const schema = JSON.parse(text(`${folder}/values.schema.json`)) as { properties: object };
      const keys = Object.keys(schema.properties).filter((key) => key !== 'global');
      for (const key of keys)
        assert.match(text(`${folder}/values.yaml`), new RegExp(`^${key}:`, 'm'));
    }
  });
});

describe('plain manifests', () => {
  test('are the charts with their default values', { skip: without }, () => {
    const made = plainManifests();
    for (const [file, wanted] of Object.entries(made)) {
      const hint = `node .scripts/kubernetes.mjs writes ${file} anew`;
      assert.equal(text(path.join(manifests, file)), wanted, hint);
    }
    assert.deepEqual(filesOf(manifests).sort(), [...Object.keys(made), 'namespace.yaml'].sort());
  });

  test('each is what Kubernetes takes, and they fit each other', { skip: noModels }, () => {
    const schemas = new KubernetesSchemas();
    const objects = filesOf(manifests).flatMap((file) =>
      parseManifests(text(path.join(manifests, file)), file),
    );
    assert.deepEqual(
      objects.flatMap((each) => schemas.problems(each)),
      [],
    );
    assert.deepEqual(allProblems(objects), []);
    const cluster =
      /^(ClusterRole|ClusterRoleBinding|CSIDriver|Namespace|PersistentVolume|.*Class)$/;
    for (const { kind, metadata } of objects) {
      assert.equal(metadata.namespace, cluster.test(kind) ? undefined : 'ashlar', metadata.name);
    }
  });
});

describe('examples', () => {
  const objects = filesOf(examples).flatMap((file) =>
    parseManifests(text(path.join(examples, file)), file),
  );

  test('each is what Kubernetes takes', { skip: noModels }, () => {
    const schemas = new KubernetesSchemas();
    assert.ok(objects.length > 15);
    assert.deepEqual(
      objects.flatMap((each) => schemas.problems(each)),
      [],
    );
  });

  test('use classes and claims that are there, and what the driver is called', () => {
    const values = text('deploy/kubernetes/charts/ashlar-csi/values.yaml');
    const own = (kind: string) =>
      objects.filter((each) => each.kind === kind).map((o) => o.metadata.name);
    const whole = JSON.stringify(objects);
    const named = (field: string) =>
      [...whole.matchAll(new RegExp(`"${field}":"([^"]+)"`, 'g'))].map(([, name]) => name ?? '');
    for (const name of named('storageClassName')) {
      assert.ok(name === 'ashlar' || own('StorageClass').includes(name), name);
    }
    assert.match(values, /^storageClasses:\n {2}- name: ashlar$/m);
    for (const name of named('volumeAttributesClassName')) {
      assert.ok(own('VolumeAttributesClass').includes(name), name);
    }
    for (const name of [...named('persistentVolumeClaimName'), ...named('claimName')]) {
      const claims = [...own('PersistentVolumeClaim'), 'data-postgres-0'];
      assert.ok(claims.includes(name), name);
    }
    for (const field of ['driver', 'driverName', 'provisioner']) {
      for (const name of named(field)) assert.equal(name, 'csi.ashlar.dev');
    }
  });
});

describe('names of registries', () => {
  test('one, in one place', () => {
    const place = 'deploy/kubernetes/charts/ashlar-csi/values.yaml';
    const host = 'registry.k8s.io';
    assert.equal(text(place).split(host).length, 2);
    const others = fs
      .readdirSync('deploy/kubernetes/charts', { recursive: true, encoding: 'utf8' })
      .map((name) => path.join('deploy/kubernetes/charts', name))
      .filter((file) => fs.statSync(file).isFile() && file !== place);
    for (const file of others) assert.ok(!text(file).includes(host), file);
  });
});
