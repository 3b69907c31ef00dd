import assert from 'node:assert/strict';
import fs from 'node:fs';
import { describe, test } from 'node:test';
import { type CsiConfig, type CsiFlags, loadCsiConfig } from '../../lib/csi/config.js';
import { AshlarError } from '../../lib/errors.js';
import { Folder } from '../api/fixture.js';

async function load(toml: string, flags: CsiFlags = {}, CSI_ENDPOINT?: string): Promise<CsiConfig> {
  using folder = new Folder();
  fs.writeFileSync(folder.file('csi.toml'), toml);
  const environment = { CSI_ENDPOINT };
  return await loadCsiConfig({ file: 'csi.toml', flags, cwd: folder.path, environment });
}

const refusal = (code: string, text: RegExp) => (error: unknown) =>
  error instanceof AshlarError && error.code === code && text.test(error.message);

const minimal = '[csi]\nmode = "node"\nsocket = "/run/csi.sock"\n';

describe('the configuration of the plugin', () => {
  test('of a node needs a mode and a socket; the rest has defaults', async () => {
    const { node, endpoints, socket } = await load(minimal);
    assert.deepEqual([endpoints, socket, node.maxVolumes], [[], '/run/csi.sock', 500]);
    assert.deepEqual(node.topology, { 'topology.csi.ashlar.dev/zone': 'default' });
    assert.deepEqual([node.fastIoFailMs, node.ctrlLossMs, node.keepAliveMs], [15_000, null, 5_000]);
  });

  test('flags are stronger than the file, and the file than CSI_ENDPOINT', async () => {
    const flags: CsiFlags = { mode: 'node', socket: '/flag.sock' };
    assert.equal((await load(minimal, flags, 'unix:///env.sock')).socket, '/flag.sock');
    assert.equal((await load(minimal, {}, 'unix:///env.sock')).socket, '/run/csi.sock');
    assert.equal((await load('', { mode: 'node' }, 'unix:///env.sock')).socket, '/env.sock');
    assert.equal((await load('', { mode: 'node' }, '/env.sock')).socket, '/env.sock');
  });

  test('several endpoints, each with its place and portals', async () => {
    const { endpoints } = await load(`
      csi = { mode = "controller", socket = "/s" }
      [[endpoints]]
      name = "a"
      urls = ["https://10.0.0.5:8420/", "https://ashlar-a:8420"]
      tokenFile = "token"
      portals = ["10.0.0.5", "[fd00::5]:4421"]
      topology = { "topology.csi.ashlar.dev/zone" = "a" }
      [[endpoints]]
      name = "b"
      socket = "/run/ashlar/ashlar.sock"`);
    const [a, b] = endpoints;
    assert.deepEqual(a?.urls, ['https://10.0.0.5:8420', 'https://ashlar-a:8420']);
    assert.deepEqual(a?.portals, ['10.0.0.5:4420', '[fd00::5]:4421']);
    assert.match(a?.tokenFile ?? '', /\/token$/);
    assert.deepEqual([b?.socket, b?.urls], ['/run/ashlar/ashlar.sock', []]);
  });

  for (const [name, toml, code, text] of [
    ['no mode', '', 'usage', /give --mode/],
    ['no socket', 'csi = { mode = "node" }', 'usage', /CSI_ENDPOINT/],
    ['a misspelt key', '[csi]\nmoed = "node"', 'config-invalid', /:2: 'csi\.moed'.*'mode'/],
    ['no endpoint', 'csi = { mode = "all", socket = "/s" }', 'config-invalid', /\[\[endpoints\]\]/],
    [
      'an endpoint that is nowhere',
      `${minimal}[[endpoints]]\nname = "a"`,
      'config-invalid',
      /endpoint 'a' needs either 'urls' or a 'socket'/,
    ],
    [
      'two endpoints of one name',
      `${minimal}[[endpoints]]\nname = "a"\nsocket = "/a"\n[[endpoints]]\nname = "a"\nsocket = "/b"`,
      'config-invalid',
      /two endpoints are called 'a'/,
    ],
    [
      'plain HTTP',
      `${minimal}[[endpoints]]\nname = "a"\nurls = ["http://a"]`,
      'config-invalid',
      /endpoints/,
    ],
    [
      'a topology value that is none',
      `${minimal}[node]\ntopology = { zone = "a b" }`,
      'config-invalid',
      /topology 'zone' = 'a b'/,
    ],
    [
      'half a second, which the kernel does not have',
      `${minimal}[node]\nkeepAlive = "500ms"`,
      'config-invalid',
      /'node\.keepAlive' is 500ms; it has to be whole seconds/,
    ],
    [
      'a portal that is a name',
      `${minimal}[[endpoints]]\nname = "a"\nsocket = "/a"\nportals = ["ashlar-a:4420"]`,
      'config-invalid',
      /endpoint 'a': portal 'ashlar-a:4420'/,
    ],
  ] as const) {
    test(`${name} is refused`, async () => {
      await assert.rejects(load(toml), refusal(code, text));
    });
  }
});
