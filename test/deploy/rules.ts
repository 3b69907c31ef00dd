/**
 * What no schema says of the manifests: that what they name is there, that both ends of a socket
 * are one file, that nobody may do more than it has to. Each rule returns what is wrong, a line for
 * each.
 */
import path from 'node:path';
import type { Manifest } from './charts.js';
import { sidecarFacts } from './sidecars.js';

interface Mount {
  name: string;
  mountPath: string;
  subPath?: string;
  mountPropagation?: string;
}
interface Probe {
  httpGet?: { port: number | string; host?: string };
  exec?: { command: string[] };
}
export interface Container {
  name: string;
  image: string;
  args?: string[];
  command?: string[];
  ports?: { name: string; containerPort: number }[];
  livenessProbe?: Probe;
  readinessProbe?: Probe;
  startupProbe?: Probe;
  volumeMounts?: Mount[];
  volumeDevices?: { name: string; devicePath: string }[];
  securityContext?: {
    privileged?: boolean;
    allowPrivilegeEscalation?: boolean;
    readOnlyRootFilesystem?: boolean;
    runAsUser?: number;
    capabilities?: { drop?: string[]; add?: string[] };
  };
}
interface Volume {
  name: string;
  hostPath?: { path: string };
  emptyDir?: object;
  configMap?: { name: string };
  secret?: { secretName: string };
  persistentVolumeClaim?: { claimName: string };
  projected?: {
    sources: {
      configMap?: { name: string };
      secret?: { name: string };
      serviceAccountToken?: object;
    }[];
  };
}
export interface Workload {
  kind: string;
  name: string;
  replicas: number;
  labels: Record<string, string>;
  selector: Record<string, string>;
  serviceAccountName: string;
  automount: boolean;
  hostNetwork: boolean;
  containers: Container[];
  initContainers: Container[];
  volumes: Volume[];
}

interface PodSpec {
  serviceAccountName?: string;
  automountServiceAccountToken?: boolean;
  hostNetwork?: boolean;
  containers: Container[];
  initContainers?: Container[];
  volumes?: Volume[];
}

const workloadKinds = ['Deployment', 'DaemonSet', 'StatefulSet'];

/** What makes pods. */
export function workloads(objects: readonly Manifest[]): Workload[] {
  return objects
    .filter(({ kind }) => workloadKinds.includes(kind))
    .map((object) => {
      const { replicas, selector, template } = object['spec'] as {
        replicas?: number;
        selector: { matchLabels: Record<string, string> };
        template: { metadata: { labels: Record<string, string> }; spec: PodSpec };
      };
      const { spec, metadata } = template;
      return {
        kind: object.kind,
        name: object.metadata.name,
        replicas: replicas ?? 1,
        labels: metadata.labels,
        selector: selector.matchLabels,
        serviceAccountName: spec.serviceAccountName ?? '',
        automount: spec.automountServiceAccountToken !== false,
        hostNetwork: spec.hostNetwork === true,
        containers: spec.containers,
        initContainers: spec.initContainers ?? [],
        volumes: spec.volumes ?? [],
      };
    });
}

export const all = ({ containers, initContainers }: Workload): Container[] => [
  ...initContainers,
  ...containers,
];

/** The value of `--name=value`. */
export function flag({ args = [] }: Container, name: string): string | undefined {
  return args.find((arg) => arg.startsWith(`--${name}=`))?.slice(name.length + 3);
}

const isMissing = (objects: readonly Manifest[], kind: string, name: string): boolean =>
  !objects.some((object) => object.kind === kind && object.metadata.name === name);

/** Volumes are there, used, and not in each other's place; what they are made of is there too. */
function mounts(objects: readonly Manifest[]): string[] {
  return workloads(objects).flatMap((workload) => {
    const problems: string[] = [];
    const used = new Set<string>();
    for (const { name, volumeMounts = [], volumeDevices = [] } of all(workload)) {
      const places = [
        ...volumeMounts.map((each) => ({ volume: each.name, place: each.mountPath })),
        ...volumeDevices.map((each) => ({ volume: each.name, place: each.devicePath })),
      ];
      for (const { volume, place } of places) {
        used.add(volume);
        if (!workload.volumes.some((each) => each.name === volume)) {
          problems.push(`${workload.name}/${name}: there is no volume '${volume}'`);
        }
        if (places.filter((other) => other.place === place).length > 1) {
          problems.push(`${workload.name}/${name}: two volumes at ${place}`);
        }
      }
    }
    for (const volume of workload.volumes) {
      if (!used.has(volume.name)) problems.push(`${workload.name}: nobody uses '${volume.name}'`);
      problems.push(...sources(objects, workload, volume));
    }
    return problems;
  });
}

function sources(objects: readonly Manifest[], workload: Workload, volume: Volume): string[] {
  const configMaps = [
    volume.configMap,
    ...(volume.projected?.sources ?? []).map((s) => s.configMap),
  ];
  const names = configMaps.flatMap((each) => (each === undefined ? [] : [each.name]));
  // Every namespace has the one of the cluster's own certificate.
  const missing = names
    .filter((name) => name !== 'kube-root-ca.crt' && isMissing(objects, 'ConfigMap', name))
    .map((name) => `${workload.name}: there is no ConfigMap '${name}'`);
  const claim = volume.persistentVolumeClaim?.claimName;
  if (claim !== undefined && isMissing(objects, 'PersistentVolumeClaim', claim)) {
    missing.push(`${workload.name}: there is no claim '${claim}'`);
  }
  return missing;
}

/** Where a file of a container is: its volume, and the path in there; null: in none. */
export function located(container: Container, file: string): { name: string; rest: string } | null {
  const [mount] = (container.volumeMounts ?? [])
    .filter(({ mountPath }) => file === mountPath || file.startsWith(`${mountPath}/`))
    .sort((a, b) => b.mountPath.length - a.mountPath.length);
  if (mount === undefined) return null;
  const rest = path.posix.join(mount.subPath ?? '', path.posix.relative(mount.mountPath, file));
  return { name: mount.name, rest };
}

/** The plugin's socket, as its configuration has it, is what every sidecar and kubelet open. */
function sockets(objects: readonly Manifest[]): string[] {
  return workloads(objects).flatMap((workload) => {
    const plugin = workload.containers.find(({ name }) => name === 'ashlar-csi');
    if (plugin === undefined) return [];
    const say = (who: string, what: string): string => `${workload.name}/${who}: ${what}`;
    const [, socket = ''] = /^socket = "(.*)"$/m.exec(configOf(objects, workload)) ?? [];
    const own = located(plugin, socket);
    if (own === null) return [say('ashlar-csi', 'its socket is in no volume')];
    const problems: string[] = [];
    for (const sidecar of workload.containers.filter((each) => each !== plugin)) {
      const address = flag(sidecar, 'csi-address') ?? '';
      const found = located(sidecar, address);
      if (found?.name !== own.name || found.rest !== own.rest) {
        problems.push(say(sidecar.name, `'${address}' is not the plugin's socket`));
      }
      // It is the plugin's user's alone.
      if (sidecar.securityContext?.runAsUser !== plugin.securityContext?.runAsUser) {
        problems.push(say(sidecar.name, 'is another user than the plugin, whose socket it is'));
      }
      const registered = flag(sidecar, 'kubelet-registration-path');
      const folder = workload.volumes.find(({ name }) => name === own.name)?.hostPath?.path ?? '';
      if (registered !== undefined && registered !== path.posix.join(folder, own.rest)) {
        problems.push(say(sidecar.name, `kubelet finds no socket at ${registered}`));
      }
    }
    return [...problems, ...health(workload, plugin)];
  });
}

/** Kubelet asks where the liveness probe listens. */
function health(workload: Workload, plugin: Container): string[] {
  const asked = plugin.livenessProbe?.httpGet;
  const prober = workload.containers.find(({ image }) => image.includes('/livenessprobe:'));
  const [host, port] = (prober === undefined ? '' : (flag(prober, 'http-endpoint') ?? '')).split(
    ':',
  );
  const named = plugin.ports?.find(({ name }) => name === asked?.port)?.containerPort;
  if (asked !== undefined && (asked.host ?? '') === host && String(named ?? asked.port) === port) {
    return [];
  }
  return [`${workload.name}: kubelet does not ask for health where it is told`];
}

/** The text of config.toml that a workload's plugin reads. */
export function configOf(objects: readonly Manifest[], workload: Workload): string {
  const names = workload.volumes
    .flatMap(({ projected }) => projected?.sources ?? [])
    .flatMap(({ configMap }) => (configMap === undefined ? [] : [configMap.name]));
  for (const object of objects) {
    if (object.kind !== 'ConfigMap' || !names.includes(object.metadata.name)) continue;
    const text = (object['data'] as Record<string, string>)['config.toml'];
    if (text !== undefined) return text;
  }
  return '';
}

/** One container of each node is privileged; all others may do nothing. */
function privileges(objects: readonly Manifest[]): string[] {
  return workloads(objects).flatMap((workload) => [
    ...(workload.automount ? [`${workload.name}: every container gets a token`] : []),
    ...(workload.kind === 'Deployment' && workload.hostNetwork
      ? [`${workload.name}: is in the node's network`]
      : []),
    ...all(workload).flatMap((container) => {
      const { name, securityContext = {}, volumeMounts = [] } = container;
      const { privileged, allowPrivilegeEscalation, capabilities } = securityContext;
      const who = `${workload.name}/${name}`;
      const problems: string[] = [];
      if (securityContext.readOnlyRootFilesystem !== true)
        problems.push(`${who}: writes its image`);
      if (privileged === true) {
        if (workload.kind === 'DaemonSet' && name === 'ashlar-csi') return problems;
        return [...problems, `${who}: is privileged`];
      }
      if (allowPrivilegeEscalation !== false) problems.push(`${who}: may become more than it is`);
      if (!capabilities?.drop?.includes('ALL')) problems.push(`${who}: keeps capabilities`);
      if (capabilities?.add !== undefined && name !== 'prepare') {
        problems.push(`${who}: gets capabilities`);
      }
      if (volumeMounts.some(({ mountPropagation }) => mountPropagation !== undefined)) {
        problems.push(`${who}: its mounts reach the node`);
      }
      const token = workload.volumes.find(({ projected }) =>
        projected?.sources.some(({ serviceAccountToken }) => serviceAccountToken !== undefined),
      );
      const has = volumeMounts.some((mount) => mount.name === token?.name);
      const needs = (sidecarFacts(container)?.rules.length ?? 0) > 0;
      if (has !== needs)
        problems.push(`${who}: ${has ? 'has a token for nothing' : 'has no token'}`);
      return problems;
    }),
  ]);
}

interface Rule {
  apiGroups: string[];
  resources: string[];
  verbs: string[];
  resourceNames?: string[];
}

const pairs = (rules: readonly Rule[]): string[] =>
  rules.flatMap(({ apiGroups, resources, verbs }) =>
    apiGroups.flatMap((group) =>
      resources.flatMap((resource) => verbs.map((verb) => `${verb} ${group}/${resource}`)),
    ),
  );

/** Each account may do what its pods' sidecars need, no less and no more; nothing is for all. */
function permissions(objects: readonly Manifest[]): string[] {
  const problems: string[] = [];
  const granted = new Map<string, Set<string>>();
  for (const binding of objects.filter(({ kind }) => kind.endsWith('RoleBinding'))) {
    const { roleRef, subjects } = binding as unknown as {
      roleRef: { kind: string; name: string };
      subjects: { kind: string; name: string }[];
    };
    const role = objects.find(
      ({ kind, metadata }) => kind === roleRef.kind && metadata.name === roleRef.name,
    );
    if (role === undefined) {
      problems.push(`${binding.metadata.name}: there is no ${roleRef.kind} '${roleRef.name}'`);
      continue;
    }
    const rules = pairs((role as unknown as { rules: Rule[] }).rules);
    for (const { name } of subjects) {
      if (isMissing(objects, 'ServiceAccount', name)) {
        problems.push(`${binding.metadata.name}: there is no ServiceAccount '${name}'`);
      }
      const may = granted.get(name) ?? new Set();
      for (const each of rules) may.add(each);
      granted.set(name, may);
    }
  }
  const needed = new Map<string, Set<string>>();
  for (const workload of workloads(objects)) {
    const needs = needed.get(workload.serviceAccountName) ?? new Set();
    for (const container of workload.containers) {
      for (const rule of sidecarFacts(container)?.rules ?? []) needs.add(rule);
    }
    needed.set(workload.serviceAccountName, needs);
  }
  for (const account of new Set([...granted.keys(), ...needed.keys()])) {
    const may = granted.get(account) ?? new Set();
    const needs = needed.get(account) ?? new Set();
    for (const each of may) {
      if (each.includes('*')) problems.push(`${account} may '${each}'`);
      // Of the Secrets that a StorageClass names, in a Role for each.
      else if (!needs.has(each) && each !== 'get /secrets') {
        problems.push(`${account} may '${each}' and does not need it`);
      }
    }
    for (const each of needs) {
      if (!may.has(each)) problems.push(`${account} needs '${each}' and may not`);
    }
  }
  return [...problems, ...secrets(objects)];
}

/** Secrets are read by name, in one namespace. */
function secrets(objects: readonly Manifest[]): string[] {
  return objects
    .filter(({ kind }) => kind === 'Role' || kind === 'ClusterRole')
    .filter((role) =>
      (role as unknown as { rules: Rule[] }).rules.some(
        ({ resources, resourceNames }) =>
          resources.includes('secrets') &&
          (role.kind === 'ClusterRole' || resourceNames === undefined),
      ),
    )
    .map(({ metadata }) => `${metadata.name}: reads every Secret`);
}

/** Each flag is one that this release of the sidecar has, and each gate one that it knows. */
function flags(objects: readonly Manifest[]): string[] {
  return workloads(objects).flatMap((workload) =>
    workload.containers.flatMap((container) => {
      if (container.name === 'ashlar-csi' || container.name === 'ashlar') return [];
      const who = `${workload.name}/${container.name}`;
      const facts = sidecarFacts(container);
      if (facts === null) return [`${who}: nothing is known of ${container.image}`];
      return (container.args ?? []).flatMap((arg) => {
        const [, name = '', value = ''] = /^--([^=]+)(?:=(.*))?$/.exec(arg) ?? [];
        if (!facts.flags.includes(name)) return [`${who}: ${container.image} has no --${name}`];
        if (name !== 'feature-gates') return [];
        return value
          .split(',')
          .map((gate) => gate.split('=')[0] ?? '')
          .filter((gate) => !facts.gates.includes(gate))
          .map((gate) => `${who}: ${container.image} knows no gate ${gate}`);
      });
    }),
  );
}

/** Selectors find the pods that they are for; accounts and ports are there. */
function references(objects: readonly Manifest[]): string[] {
  const pods = workloads(objects);
  const problems = pods.flatMap((workload) => [
    ...(fits(workload.selector, workload.labels)
      ? []
      : [`${workload.name}: its selector does not find its pods`]),
    ...(isMissing(objects, 'ServiceAccount', workload.serviceAccountName)
      ? [`${workload.name}: there is no ServiceAccount '${workload.serviceAccountName}'`]
      : []),
  ]);
  for (const [index, one] of pods.entries()) {
    const other = pods.find((each, i) => i !== index && fits(one.selector, each.labels));
    if (other !== undefined) problems.push(`${one.name}: takes the pods of ${other.name}`);
  }
  for (const { kind, metadata, spec } of objects as (Manifest & { spec?: unknown })[]) {
    const selector = selectorOf(kind, spec);
    if (selector === null) continue;
    const found = pods.filter(({ labels }) => fits(selector, labels));
    if (found.length === 0) problems.push(`${kind} ${metadata.name}: finds no pods`);
    if (kind !== 'Service') continue;
    for (const { targetPort } of (spec as { ports: { targetPort: string }[] }).ports) {
      const ports = found.flatMap(({ containers }) => containers.flatMap((c) => c.ports ?? []));
      if (!ports.some(({ name }) => name === targetPort)) {
        problems.push(`Service ${metadata.name}: no pod has port '${targetPort}'`);
      }
    }
  }
  return problems;
}

const fits = (selector: Record<string, string>, labels: Record<string, string>): boolean =>
  Object.entries(selector).every(([key, value]) => labels[key] === value);

function selectorOf(kind: string, spec: unknown): Record<string, string> | null {
  if (kind === 'Service') return (spec as { selector: Record<string, string> }).selector;
  const of = (selector: { matchLabels?: Record<string, string> }) => selector.matchLabels ?? {};
  if (kind === 'PodDisruptionBudget') return of((spec as { selector: object }).selector);
  if (kind === 'NetworkPolicy') return of((spec as { podSelector: object }).podSelector);
  return null;
}

/** Each device has one volume, one claim and one daemon. */
function devices(objects: readonly Manifest[]): string[] {
  const problems: string[] = [];
  const seen = new Map<string, string>();
  for (const { kind, metadata, spec } of objects as (Manifest & { spec?: unknown })[]) {
    if (kind !== 'PersistentVolume') continue;
    const { local, nodeAffinity, claimRef } = spec as {
      local: { path: string };
      nodeAffinity: object;
      claimRef: { name: string };
    };
    const device = `${local.path} ${JSON.stringify(nodeAffinity)}`;
    const other = seen.get(device);
    if (other !== undefined) problems.push(`${metadata.name}: ${other} is the same device`);
    seen.set(device, metadata.name);
    const users = workloads(objects).filter(({ volumes }) =>
      volumes.some(
        ({ persistentVolumeClaim }) => persistentVolumeClaim?.claimName === claimRef.name,
      ),
    );
    const [user] = users;
    if (users.length !== 1 || user?.kind !== 'StatefulSet' || user.replicas !== 1) {
      problems.push(`${metadata.name}: has ${users.length} workloads, or several pods`);
    }
  }
  return problems;
}

/** All of them, by name. */
export const checks: Record<string, (objects: readonly Manifest[]) => string[]> = {
  mounts,
  sockets,
  privileges,
  permissions,
  flags,
  references,
  devices,
};
