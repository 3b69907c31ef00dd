// The Node.js majors, other than the one running, that the smoke tests load the addon on.
import path from 'node:path';
import { cache, root, run, stamped } from './steps.mjs';

// The npm packages that carry Node's own binaries: major → exact version.
const versions = { 22: '22.23.3', 24: '24.9.0' };

export async function otherNodes() {
  for (const [major, version] of Object.entries(versions)) {
    const name = `node-${process.platform}-${process.arch}`;
    const prefix = path.join(cache, 'nodes', major);
    await stamped({
      name: `node-${major}`,
      what: `fetching Node.js ${version}`,
      key: version,
      outputs: [path.relative(root, path.join(prefix, 'node_modules', name, 'bin/node'))],
      work: () =>
        run('npm', [
          ...['install', '--prefix', prefix, '--no-save', '--ignore-scripts'],
          ...['--no-audit', '--no-fund', '--loglevel=error', `${name}@${version}`],
        ]),
    });
  }
}
