/**
 * What Kubernetes takes: JSON schemas made of the declarations of its API's types, as the project's
 * own JavaScript client has them, one for each kind. A field that is not declared is refused, as
 * `kubectl apply --validate=strict` does. Kinds of CRDs, which no package carries, are described
 * here.
 */
import fs from 'node:fs';
import path from 'node:path';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { type Manifest, models } from './charts.js';

type Schema = Record<string, unknown>;

/** Kinds that may be in a manifest at all: apiVersion/kind → the type's name. */
const kinds: Record<string, string> = {
  'v1/ConfigMap': 'V1ConfigMap',
  'v1/Namespace': 'V1Namespace',
  'v1/PersistentVolume': 'V1PersistentVolume',
  'v1/PersistentVolumeClaim': 'V1PersistentVolumeClaim',
  'v1/Pod': 'V1Pod',
  'v1/Secret': 'V1Secret',
  'v1/Service': 'V1Service',
  'v1/ServiceAccount': 'V1ServiceAccount',
  'apps/v1/DaemonSet': 'V1DaemonSet',
  'apps/v1/Deployment': 'V1Deployment',
  'apps/v1/StatefulSet': 'V1StatefulSet',
  'networking.k8s.io/v1/NetworkPolicy': 'V1NetworkPolicy',
  'policy/v1/PodDisruptionBudget': 'V1PodDisruptionBudget',
  'rbac.authorization.k8s.io/v1/ClusterRole': 'V1ClusterRole',
  'rbac.authorization.k8s.io/v1/ClusterRoleBinding': 'V1ClusterRoleBinding',
  'rbac.authorization.k8s.io/v1/Role': 'V1Role',
  'rbac.authorization.k8s.io/v1/RoleBinding': 'V1RoleBinding',
  'storage.k8s.io/v1/CSIDriver': 'V1CSIDriver',
  'storage.k8s.io/v1/StorageClass': 'V1StorageClass',
  'storage.k8s.io/v1/VolumeAttributesClass': 'V1VolumeAttributesClass',
};

/** Words that a field takes, which the declarations call a string. */
const words: Record<string, readonly string[]> = {
  'V1CSIDriverSpec.fsGroupPolicy': ['None', 'File', 'ReadWriteOnceWithFSType'],
  'V1CSIDriverSpec.volumeLifecycleModes': ['Persistent', 'Ephemeral'],
  'V1Container.imagePullPolicy': ['Always', 'IfNotPresent', 'Never'],
  'V1ContainerPort.protocol': ['TCP', 'UDP', 'SCTP'],
  'V1HostPathVolumeSource.type': [
    'Directory',
    'DirectoryOrCreate',
    'File',
    'BlockDevice',
    'Socket',
  ],
  'V1EmptyDirVolumeSource.medium': ['', 'Memory'],
  'V1LabelSelectorRequirement.operator': ['In', 'NotIn', 'Exists', 'DoesNotExist'],
  'V1NetworkPolicyPort.protocol': ['TCP', 'UDP', 'SCTP'],
  'V1NetworkPolicySpec.policyTypes': ['Ingress', 'Egress'],
  'V1NodeSelectorRequirement.operator': ['In', 'NotIn', 'Exists', 'DoesNotExist', 'Gt', 'Lt'],
  'V1PersistentVolumeClaimSpec.accessModes': [
    ...['ReadWriteOnce', 'ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOncePod'],
  ],
  'V1PersistentVolumeClaimSpec.volumeMode': ['Filesystem', 'Block'],
  'V1PersistentVolumeSpec.persistentVolumeReclaimPolicy': ['Retain', 'Delete'],
  'V1PodSpec.dnsPolicy': ['ClusterFirst', 'ClusterFirstWithHostNet', 'Default', 'None'],
  'V1PodSpec.restartPolicy': ['Always', 'OnFailure', 'Never'],
  'V1SeccompProfile.type': ['RuntimeDefault', 'Localhost', 'Unconfined'],
  'V1ServicePort.protocol': ['TCP', 'UDP', 'SCTP'],
  'V1StatefulSetUpdateStrategy.type': ['OnDelete', 'RollingUpdate'],
  'V1StorageClass.reclaimPolicy': ['Retain', 'Delete'],
  'V1StorageClass.volumeBindingMode': ['Immediate', 'WaitForFirstConsumer'],
  'V1Toleration.effect': ['NoSchedule', 'PreferNoSchedule', 'NoExecute'],
  'V1Toleration.operator': ['Exists', 'Equal', 'Lt', 'Gt'],
  'V1VolumeMount.mountPropagation': ['None', 'HostToContainer', 'Bidirectional'],
};

/** As the API server reads amounts: 20m, 96Mi, 1Gi. */
const quantity = { type: 'string', pattern: '^[0-9]+(\\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$' };
const amounts = { type: 'object', additionalProperties: quantity };
const special: Record<string, Schema> = {
  'V1ResourceRequirements.limits': amounts,
  'V1ResourceRequirements.requests': amounts,
  'V1VolumeResourceRequirements.requests': amounts,
  'V1PersistentVolumeSpec.capacity': amounts,
  'V1EmptyDirVolumeSource.sizeLimit': quantity,
};

const plainTypes: Record<string, Schema> = {
  string: { type: 'string' },
  number: { type: 'integer' },
  boolean: { type: 'boolean' },
  Date: { type: 'string', format: 'date-time' },
  any: {},
  object: { type: 'object' },
  IntOrString: { type: ['integer', 'string'] },
  V1MicroTime: { type: 'string', format: 'date-time' },
};

const field = /^ {4}'([^']+)'(\?)?: (\{\s*\[key: string\]: [^;]+;\s*\}|[^;{]+);/gm;

class Declarations {
  readonly definitions: Record<string, Schema> = {};

  /** A reference to the schema of a type, which is made with all that it uses. */
  of(type: string): Schema {
    const known = plainTypes[type];
    if (known !== undefined) return known;
    const [, items] = /^Array<(.+)>$/.exec(type) ?? [];
    if (items !== undefined) return { type: 'array', items: this.of(items) };
    const [, values] = /^\{\s*\[key: string\]: ([^;]+);\s*\}$/.exec(type) ?? [];
    if (values !== undefined) return { type: 'object', additionalProperties: this.of(values) };
    if (this.definitions[type] === undefined) this.#define(type);
    return { $ref: `#/$defs/${type}` };
  }

  #define(type: string): void {
    const text = fs.readFileSync(path.join(models, `${type}.d.ts`), 'utf8');
    const properties: Record<string, Schema> = {};
    const required: string[] = [];
    this.definitions[type] = { type: 'object', additionalProperties: false, properties, required };
    for (const [, declared = '', optional, fieldType = ''] of text.matchAll(field)) {
      // Words of the language have a line before them.
      const name = declared.replace(/^_/, '');
      properties[name] = special[`${type}.${name}`] ?? this.#oneOf(`${type}.${name}`, fieldType);
      if (optional === undefined) required.push(name);
    }
    if (Object.keys(properties).length === 0) throw new Error(`no field is declared for ${type}`);
  }

  #oneOf(name: string, type: string): Schema {
    const taken = words[name];
    if (taken === undefined) return this.of(type);
    const one = { enum: taken };
    return type.startsWith('Array<') ? { type: 'array', items: one } : one;
  }
}

const text = { type: 'string', minLength: 1 };
const texts = { type: 'object', additionalProperties: { type: 'string' } };
const exactly = (properties: Schema, required: readonly string[]): Schema => ({
  type: 'object',
  additionalProperties: false,
  properties,
  required,
});
/** One of two sources, and not both. */
const source = (one: Schema, other: Schema): Schema => ({
  ...exactly({ ...one, ...other }, []),
  minProperties: 1,
  maxProperties: 1,
});
const className = exactly(
  { driver: text, deletionPolicy: { enum: ['Delete', 'Retain'] }, parameters: texts },
  ['driver', 'deletionPolicy'],
);

/** apiVersion/kind → what is beside apiVersion, kind and metadata. */
function customKinds(types: Declarations): Record<string, Schema> {
  const spec = (properties: Schema, required: readonly string[]): Schema =>
    exactly({ spec: exactly(properties, required) }, ['spec']);
  const selector = types.of('V1LabelSelector');
  return {
    'snapshot.storage.k8s.io/v1/VolumeSnapshotClass': className,
    'groupsnapshot.storage.k8s.io/v1/VolumeGroupSnapshotClass': className,
    'snapshot.storage.k8s.io/v1/VolumeSnapshot': spec(
      {
        volumeSnapshotClassName: text,
        source: source({ persistentVolumeClaimName: text }, { volumeSnapshotContentName: text }),
      },
      ['source'],
    ),
    'groupsnapshot.storage.k8s.io/v1/VolumeGroupSnapshot': spec(
      {
        volumeGroupSnapshotClassName: text,
        source: source({ selector }, { volumeGroupSnapshotContentName: text }),
      },
      ['source'],
    ),
    'cbt.storage.k8s.io/v1beta1/SnapshotMetadataService': spec(
      {
        address: { type: 'string', pattern: '^[a-z0-9.-]+:[0-9]+$' },
        audience: text,
        caCert: { type: 'string', format: 'byte', minLength: 1 },
      },
      ['address', 'audience', 'caCert'],
    ),
    'cert-manager.io/v1/Certificate': spec(
      {
        secretName: text,
        dnsNames: { type: 'array', minItems: 1, items: text },
        issuerRef: exactly({ name: text, kind: { enum: ['Issuer', 'ClusterIssuer'] } }, ['name']),
      },
      ['secretName', 'issuerRef'],
    ),
    'monitoring.coreos.com/v1/ServiceMonitor': spec(
      {
        jobLabel: text,
        selector,
        endpoints: {
          type: 'array',
          items: exactly({ port: text, interval: { type: 'string', pattern: '^\\d+s$' } }, [
            'port',
          ]),
        },
      },
      ['selector', 'endpoints'],
    ),
  };
}

/** The judge of manifests. */
export class KubernetesSchemas {
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true });
  readonly #types = new Declarations();
  readonly #validators = new Map<string, ValidateFunction>();
  readonly #custom: Record<string, Schema>;

  constructor() {
    addFormats.default(this.#ajv);
    this.#custom = customKinds(this.#types);
  }

  /** What is wrong with an object, a line for each; empty: nothing. */
  problems(object: Manifest): string[] {
    const kind = `${object.apiVersion}/${object.kind}`;
    const name = `${object.kind} ${object.metadata?.name}`;
    const validate = this.#validator(kind);
    if (validate === null) return [`${name}: there is no kind ${kind}`];
    if (validate(object)) return [];
    return (validate.errors ?? []).map(({ instancePath, message, params }) => {
      const which = 'additionalProperty' in params ? ` '${params['additionalProperty']}'` : '';
      return `${name}: ${instancePath} ${message}${which}`;
    });
  }

  #validator(kind: string): ValidateFunction | null {
    const known = this.#validators.get(kind);
    if (known !== undefined) return known;
    const schema = this.#schema(kind);
    if (schema === null) return null;
    const validate = this.#ajv.compile({ ...schema, $defs: this.#types.definitions });
    this.#validators.set(kind, validate);
    return validate;
  }

  #schema(kind: string): Schema | null {
    const type = kinds[kind];
    if (type !== undefined) return this.#types.of(type);
    const own = this.#custom[kind];
    if (own === undefined) return null;
    const common = { apiVersion: text, kind: text, metadata: this.#types.of('V1ObjectMeta') };
    const { properties, required } = own as { properties: Schema; required: string[] };
    return exactly({ ...common, ...properties }, ['metadata', ...required]);
  }
}
