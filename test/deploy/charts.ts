/** The charts, rendered by Helm itself, and the manifests that are made of them. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';

export const charts = 'deploy/kubernetes/charts';
export const manifests = 'deploy/kubernetes/manifests';
export const examples = 'deploy/kubernetes/examples';

const cache = '.cache/kubernetes';
const helm = path.join(cache, 'helm');
/** What setup.mjs fetches; `folder` has the declarations of the API's types. */
export const models = path.join(cache, 'models');

/** Why there is none here; false: there is. */
export function missing(what: 'helm' | 'models'): string | false {
  if (fs.existsSync(path.join(cache, what))) return false;
  if (what === 'helm' && process.arch !== 'x64')
    return `no helm for ${process.arch} in its package`;
  const file = path.join(cache, 'missing');
  const reason = fs.existsSync(file) ? fs.readFileSync(file, 'utf8').trim() : 'npm test fetches it';
  return `${what} is not there: ${reason}`;
}

/** An object of Kubernetes, as it came from YAML. */
export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    namespace?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  };
  [field: string]: unknown;
}

/** YAML as Kubernetes reads it: version 1.1 for numbers, and no key twice. */
export function parseManifests(text: string, name: string): Manifest[] {
  return parseAllDocuments(text, { version: '1.1', uniqueKeys: true, merge: false })
    .map((document) => {
      const [problem] = [...document.errors, ...document.warnings];
      if (problem !== undefined) throw new Error(`${name}: ${problem.message}`);
      return document.toJS() as Manifest | null;
    })
    .filter((each) => each !== null);
}

export interface Rendering {
  /** What Helm refused, whole; null: nothing. */
  problem: string | null;
  text: string;
  objects: Manifest[];
}

export interface RenderOptions {
  /** What values.yaml is overridden by, as `--values` would. */
  values?: object;
  release?: string;
  namespace?: string;
  only?: string;
}

/** `helm template`: as `helm install` would make the objects in a new cluster. */
export function render(chart: string, options: RenderOptions = {}): Rendering {
  const { values = {}, release = path.basename(chart), namespace = 'ashlar', only } = options;
  const words = ['template', release, path.join(charts, chart), '--namespace', namespace];
  const which = only === undefined ? [] : ['--show-only', `templates/${only}`];
  const { status, stdout, stderr } = spawnSync(
    helm,
    [...words, '--kube-version', '1.36.0', '--values', '-', ...which],
    { input: JSON.stringify(values), encoding: 'utf8', env: { ...process.env, ...quiet } },
  );
  if (status !== 0) return { problem: stderr, text: '', objects: [] };
  return { problem: null, text: stdout, objects: parseManifests(stdout, chart) };
}

/** `helm lint --strict`; null: nothing found. */
export function lint(chart: string): string | null {
  const words = ['lint', '--strict', path.join(charts, chart)];
  const { status, stdout } = spawnSync(helm, words, { encoding: 'utf8', env: quiet });
  return status === 0 ? null : stdout;
}

/** Helm looks for its own settings below HOME; there are none. */
const quiet = { HOME: '/nonexistent', HELM_NO_PLUGINS: '1' };

const about = (chart: string): string[] => [
  `# Chart ${chart} with its default values, for those without Helm. Made by`,
  '# `node .scripts/kubernetes.mjs`, and held equal to the chart by a test. Change a copy:',
  "# `grep -nE 'ashlar-a|storage-a|CHANGE-ME|image: ashlar'` finds what names your machines.",
  '# docs/kubernetes.md says how.',
];

function plain(chart: string, options: RenderOptions): string {
  const { problem, text } = render(chart, options);
  if (problem !== null) throw new Error(problem);
  const body = text
    .replaceAll(/^# Source: .*\n/gm, '')
    .replaceAll(/^ +app\.kubernetes\.io\/managed-by: Helm\n/gm, '')
    .replaceAll(/ +$/gm, '');
  return `${about(chart).join('\n')}\n${placeInNamespace(body).trimEnd()}\n`;
}

const clusterWide = new RegExp(
  '^kind: (ClusterRole|ClusterRoleBinding|CSIDriver|StorageClass|PersistentVolume|' +
    'Volume\\w+Class|SnapshotMetadataService)$',
  'm',
);

/** Helm says the namespace when it applies, and nowhere in the text. */
function placeInNamespace(text: string): string {
  return text
    .split(/^---\n/m)
    .map((document) => {
      if (clusterWide.test(document) || /^ {2}namespace:/m.test(document)) return document;
      return document.replace(
        /^metadata:\n {2}name: .*\n/m,
        (head) => `${head}  namespace: ashlar\n`,
      );
    })
    .join('---\n');
}

/** File of deploy/kubernetes/manifests → what belongs into it. */
export function plainManifests(): Record<string, string> {
  // Apart, as they need CRDs that a cluster may not have.
  const noClasses = { snapshots: { classes: [], groupClasses: [] } };
  return {
    'ashlar.yaml': plain('ashlar', {}),
    'ashlar-csi.yaml': plain('ashlar-csi', { values: noClasses }),
    'ashlar-csi-snapshot-classes.yaml': plain('ashlar-csi', { only: 'snapshot-classes.yaml' }),
  };
}
