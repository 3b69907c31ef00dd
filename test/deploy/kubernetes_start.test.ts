/** The plugin, started as the charts start it, with their words and their configuration. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { CsiClient } from '../csi/client.js';
import { program, Workspace } from '../rig/daemon.js';
import { manifests, parseManifests } from './charts.js';
import * as rules from './rules.js';

const objects = fs
  .readdirSync(manifests)
  .flatMap((file) => parseManifests(fs.readFileSync(path.join(manifests, file), 'utf8'), file));

/** One line of its log, as soon as it is there. */
async function said(stream: NodeJS.ReadableStream, what: string): Promise<void> {
  let log = '';
  for await (const piece of stream) {
    log += String(piece);
    if (log.includes(what)) return;
  }
  assert.fail(`it ended before it said '${what}':\n${log}`);
}

describe('plugin', () => {
  for (const workload of rules.workloads(objects)) {
    const plugin = workload.containers.find(({ name }) => name === 'ashlar-csi');
    if (plugin === undefined) continue;

    test(`${workload.name}: serves the services of its mode, and ends on SIGTERM`, async () => {
      using workspace = new Workspace();
      const toml = rules
        .configOf(objects, workload)
        .replaceAll('/csi/csi.sock', workspace.file('csi.sock'))
        .replaceAll('/var/lib/ashlar-csi', workspace.file('state'));
      fs.writeFileSync(workspace.file('config.toml'), toml);
      const words = (plugin.args ?? []).map((word) =>
        word === '/etc/ashlar-csi/config.toml' ? workspace.file('config.toml') : word,
      );
      const child = spawn(process.execPath, [program, ...words], {
        env: { PATH: process.env['PATH'] },
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      const ended = once(child, 'close');
      try {
        assert.ok(child.stderr !== null);
        await said(child.stderr, 'the plugin serves');
        child.stderr.resume();
        using client = new CsiClient(`unix:${workspace.file('csi.sock')}`);
        const { name, manifest } = await client.ask('Identity', 'getPluginInfo', {});
        assert.equal(name, 'csi.ashlar.dev');
        assert.equal(manifest['mode'], workload.kind === 'DaemonSet' ? 'node' : 'controller');
        // No daemon is there to be reached, and that is no reason to be started again.
        assert.deepEqual((await client.ask('Identity', 'probe', {})).ready, { value: true });
        if (workload.kind === 'DaemonSet') {
          const { maxVolumesPerNode } = await client.ask('Node', 'nodeGetInfo', {});
          assert.equal(maxVolumesPerNode, 500n);
        }
        child.kill('SIGTERM');
        assert.deepEqual(await ended, [0, null]);
      } finally {
        child.kill('SIGKILL');
      }
    });
  }
});
