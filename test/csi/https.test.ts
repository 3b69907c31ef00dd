/** Daemons over HTTPS: which URL is asked, whose certificate is taken, and what nodes are told. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { test } from 'node:test';
import { nodeHandlers } from '../../lib/api/handlers.js';
import { type ApiServer, serveApi } from '../../lib/api/server.js';
import { claimSocket } from '../../lib/api/socket.js';
import type { EndpointSettings } from '../../lib/csi/config.js';
import { type ApiFixture, Folder, logger } from '../api/fixture.js';
import {
  ControllerFixture,
  endpointSettings,
  MiB,
  nodeA,
  refused,
  writer,
} from './controller_fixture.js';

/** Serves a daemon's API over HTTPS at a port of this machine; 0: any. */
async function serve(folder: Folder, { node }: ApiFixture, port = 0): Promise<ApiServer> {
  const socket = folder.file(`https-${port}.sock`);
  return serveApi({
    handlers: nodeHandlers(node),
    streams: node.streams,
    tokens: node.tokens,
    logger,
    socket,
    found: await claimSocket(socket),
    https: {
      address: '127.0.0.1',
      port,
      certificate: fs.readFileSync(folder.file('server.crt')),
      key: fs.readFileSync(folder.file('server.key')),
      clientCa: null,
    },
  });
}

async function prepared(fixture: ControllerFixture, folder: Folder) {
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const out = ['-keyout', 'server.key', '-out', 'server.crt', '-days', '2'];
  const subject = ['-subj', '/CN=node', '-addext', 'subjectAltName=IP:127.0.0.1'];
  execFileSync('openssl', ['req', '-x509', ...ec, ...subject, ...out], {
    cwd: folder.path,
    stdio: 'ignore',
  });
  const { secret } = await fixture.client.call('createToken', {
    body: { name: 'csi', role: 'admin' },
  });
  fs.writeFileSync(folder.file('token'), secret ?? '');
  const [daemon] = fixture.daemons;
  assert.ok(daemon);
  const settings = (urls: string[]): EndpointSettings => ({
    ...endpointSettings('a', ''),
    socket: null,
    urls,
    tokenFile: folder.file('token'),
    ca: folder.file('server.crt'),
  });
  return { daemon, settings };
}

const nowhere = 'https://127.0.0.1:1';

test('https: URLs in turn, the one that answers from then on; a daemon that comes back is found', async () => {
  await using fixture = await ControllerFixture.open();
  using folder = new Folder();
  const { daemon, settings } = await prepared(fixture, folder);
  const server = await serve(folder, daemon);
  const { port } = server;
  const url = `https://127.0.0.1:${port}`;
  await using asked = fixture.beside({ endpoints: [settings([nowhere, url])] });
  const create = (name: string) =>
    asked.ask('createVolume', {
      name,
      capacityRange: { requiredBytes: MiB },
      volumeCapabilities: [writer],
    });
  await create('x');
  await server.close();
  await refused(create('y'), 'UNAVAILABLE', "endpoint 'a' does not answer");
  const again = await serve(folder, daemon, port ?? 0);
  await create('y');
  await again.close();
  assert.equal((await fixture.contents()).volumes.length, 2);
  await using wrong = fixture.beside({ endpoints: [{ ...settings([nowhere]) }] });
  await refused(wrong.ask('listVolumes', {}), 'UNAVAILABLE', nowhere);
});

test('https: a portal at every address is told as the host of the URL', async () => {
  await using fixture = await ControllerFixture.open();
  using folder = new Folder();
  const { daemon, settings } = await prepared(fixture, folder);
  await using server = await serve(folder, daemon);
  const [settingsOf] = [settings([`https://127.0.0.1:${server.port}`])];
  assert.ok(settingsOf);
  await using asked = fixture.beside({ endpoints: [settingsOf] });
  const port = 34_420 + (process.pid % 1000);
  await fixture.client.call('createPortal', { body: { address: '0.0.0.0', port } });
  const { volume } = await asked.ask('createVolume', {
    name: 'x',
    capacityRange: { requiredBytes: MiB },
    volumeCapabilities: [writer],
  });
  const { publishContext } = await asked.ask('controllerPublishVolume', {
    volumeId: volume?.volumeId ?? '',
    nodeId: nodeA,
    volumeCapability: writer,
  });
  assert.ok(publishContext['portals']?.split(',').includes(`127.0.0.1:${port}`));
});

test('https: a certificate that nobody vouches for is not asked with the token', async () => {
  await using fixture = await ControllerFixture.open();
  using folder = new Folder();
  const { daemon, settings } = await prepared(fixture, folder);
  await using server = await serve(folder, daemon);
  const endpoint = { ...settings([`https://127.0.0.1:${server.port}`]), ca: null };
  await using asked = fixture.beside({ endpoints: [endpoint] });
  await refused(asked.ask('listVolumes', {}), 'UNAUTHENTICATED', 'not trusted');
});
