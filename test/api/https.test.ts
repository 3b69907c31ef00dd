/** The API over HTTPS: tokens, client certificates, and callers that mean harm. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import https from 'node:https';
import net from 'node:net';
import { after, before, test } from 'node:test';
import tls from 'node:tls';
import { ApiClient } from '../../lib/api/client.js';
import { nodeHandlers } from '../../lib/api/handlers.js';
import { type ApiServer, serveApi } from '../../lib/api/server.js';
import { claimSocket } from '../../lib/api/socket.js';
import { ApiFixture, Folder, logger } from './fixture.js';

const folder = new Folder();
let api: ApiFixture;
let server: ApiServer;
let secret: string;

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { cwd: folder.path, stdio: 'ignore' });
}

/** A certificate and its key, NAME.crt and NAME.key; signed by itself, or by a CA. */
function certificate(name: string, subject: string, ca?: string): void {
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const alt = ['-addext', 'subjectAltName=IP:127.0.0.1'];
  const signer = ca === undefined ? [] : ['-CA', `${ca}.crt`, '-CAkey', `${ca}.key`];
  const out = ['-keyout', `${name}.key`, '-out', `${name}.crt`, '-days', '2'];
  openssl('req', '-x509', ...ec, '-subj', subject, ...alt, ...signer, ...out);
}

const file = (name: string): Buffer => fs.readFileSync(folder.file(name));

before(async () => {
  certificate('server', '/CN=node');
  certificate('ca', '/CN=clients');
  certificate('ops', '/O=Acme/CN=ops', 'ca');
  certificate('stranger', '/O=Acme/CN=ops');
  api = await ApiFixture.open();
  const socket = folder.file('https.sock');
  server = await serveApi({
    handlers: nodeHandlers(api.node),
    streams: api.node.streams,
    tokens: api.node.tokens,
    logger,
    socket,
    found: await claimSocket(socket),
    https: {
      address: '127.0.0.1',
      port: 0,
      certificate: file('server.crt'),
      key: file('server.key'),
      clientCa: file('ca.crt'),
    },
  });
  secret = (await api.node.tokens.create({ name: 'remote', role: 'viewer' })).secret ?? '';
  await api.node.tokens.create({ name: 'ops', role: 'admin', subject: 'O=Acme,CN=ops' });
});
after(async () => {
  await server.close();
  await api[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const url = () => `https://127.0.0.1:${server.port}`;

test('https: a token: what its role may; without one: 401', async () => {
  const ca = file('server.crt');
  await using known = new ApiClient({ socket: { url: url(), token: secret, ca } });
  assert.equal((await known.call('getStatus', {})).state, 'serving');
  assert.deepEqual(await known.call('getSelf', {}), {
    name: 'remote',
    role: 'viewer',
    tenant: null,
    via: 'token',
  });
  const change = known.call('createVolume', { body: { name: 'x', sizeBytes: 2 ** 20 } });
  await assert.rejects(change, { code: 'permission-denied' });
  await using unknown = new ApiClient({ socket: { url: url(), ca } });
  await assert.rejects(unknown.call('getStatus', {}), { code: 'unauthenticated' });
});

test('https: a client certificate: by its subject, if the CA signed it', async () => {
  const call = async (name: string) => {
    const [cert, key, ca] = [file(`${name}.crt`), file(`${name}.key`), file('server.crt')];
    await using client = new ApiClient({ socket: { url: url(), ca, certificate: cert, key } });
    return await client.call('getSelf', {});
  };
  assert.deepEqual(await call('ops'), {
    name: 'ops',
    role: 'admin',
    tenant: null,
    via: 'certificate',
  });
  await assert.rejects(call('stranger'), { code: 'unauthenticated' });
});

test('https: the documents need no token', async () => {
  const request = https.get(`${url()}/openapi.json`, { ca: file('server.crt'), agent: false });
  const [answer] = await once(request, 'response');
  assert.equal(answer.statusCode, 200);
  answer.resume();
});

test('https: a certificate that is none: config-invalid', async () => {
  const socket = folder.file('broken.sock');
  const broken = serveApi({
    handlers: nodeHandlers(api.node),
    logger,
    socket,
    found: { kind: 'nothing' },
    https: {
      address: '127.0.0.1',
      port: 0,
      certificate: Buffer.from('none'),
      key: file('server.key'),
      clientCa: null,
    },
  });
  await assert.rejects(broken, { code: 'config-invalid' });
});

/** Sends a body that is announced as a gigabyte, as long as anybody takes it. */
async function sendGigabyte(socket: net.Socket, head: string): Promise<[string, number]> {
  const pieces: Buffer[] = [];
  socket.on('data', (piece: Buffer) => pieces.push(piece));
  socket.on('error', () => undefined);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.write(
    `${head}\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${2 ** 30}\r\n\r\n`,
  );
  const chunk = Buffer.alloc(1 << 16, 0x20);
  let sent = 0;
  const more = (): void => {
    while (!socket.destroyed && sent < 2 ** 30) {
      sent += chunk.length;
      if (!socket.write(chunk)) break;
    }
  };
  socket.on('drain', more);
  more();
  await closed;
  return [Buffer.concat(pieces).toString(), sent];
}

test('hostile: a body of 1 GB: 413 and the end, of a stranger 401; little of it is taken', async () => {
  const [refused, sent] = await sendGigabyte(
    net.connect(server.socket),
    'POST /v1/volumes HTTP/1.1',
  );
  assert.match(refused, /^HTTP\/1\.1 413 /);
  assert.match(refused, /"code":"limit-exceeded"/);
  assert.ok(sent < 64 << 20, `${sent} bytes were taken`);
  const stranger = tls.connect({
    host: '127.0.0.1',
    port: server.port ?? 0,
    ca: file('server.crt'),
  });
  await once(stranger, 'secureConnect');
  const [unknown, taken] = await sendGigabyte(stranger, 'POST /v1/volumes HTTP/1.1');
  assert.match(unknown, /^HTTP\/1\.1 401 /);
  assert.ok(taken < 64 << 20, `${taken} bytes were taken`);
});
