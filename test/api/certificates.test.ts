/** The certificate of HTTPS is renewed by others while it is served. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import { after, before, test } from 'node:test';
import tls from 'node:tls';
import { CertificateFiles } from '../../lib/api/certificate_files.js';
import { nodeHandlers } from '../../lib/api/handlers.js';
import { type ApiServer, serveApi } from '../../lib/api/server.js';
import { claimSocket } from '../../lib/api/socket.js';
import { ApiFixture, Folder, logger } from './fixture.js';

const folder = new Folder();
const paths = {
  certificate: folder.file('tls.crt'),
  key: folder.file('tls.key'),
  clientCa: folder.file('clients.crt'),
};
let api: ApiFixture;
let server: ApiServer;
let files: CertificateFiles;
const told: string[] = [];

/** Makes NAME.crt and NAME.key. */
function make(name: string, days = 365): void {
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const out = ['-keyout', `${name}.key`, '-out', `${name}.crt`, '-days', String(days)];
  const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1'];
  const options = { cwd: folder.path, stdio: 'ignore' as const };
  execFileSync('openssl', ['req', '-x509', ...ec, ...subject, ...out], options);
}

/** As a program does that renews it: each file replaced, one after the other. */
function put(name: string, parts: readonly ('crt' | 'key')[] = ['crt', 'key']): void {
  for (const part of parts) {
    fs.copyFileSync(folder.file(`${name}.${part}`), folder.file('next'));
    fs.renameSync(folder.file('next'), folder.file(`tls.${part}`));
  }
}

before(async () => {
  for (const name of ['first', 'second', 'third', 'ca']) make(name);
  make('short', 3);
  put('first');
  fs.copyFileSync(folder.file('ca.crt'), paths.clientCa);
  api = await ApiFixture.open();
  files = await CertificateFiles.open(paths);
  const socket = folder.file('api.sock');
  server = await serveApi({
    handlers: nodeHandlers(api.node),
    tokens: api.node.tokens,
    logger,
    socket,
    found: await claimSocket(socket),
    https: { address: '127.0.0.1', port: 0, ...files.pem },
  });
  files.watch({
    renewed: (pem) => {
      server.renewCertificate(pem);
      told.push('renewed');
    },
    rejected: (error) => told.push(`rejected: ${error.message}`),
    ending: (_notAfter, leftMs) => told.push(`ending: ${Math.round(leftMs / 86_400_000)} days`),
  });
});
after(async () => {
  files[Symbol.dispose]();
  await server.close();
  await api[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

async function connect(): Promise<tls.TLSSocket> {
  const socket = tls.connect({
    ...{ host: '127.0.0.1', port: server.port ?? 0, rejectUnauthorized: false },
  });
  await once(socket, 'secureConnect');
  return socket;
}

async function served(): Promise<string> {
  const socket = await connect();
  const subject = socket.getPeerX509Certificate()?.subject ?? '';
  socket.destroy();
  return subject;
}

/** What was told since it was asked last. */
const news = (): string[] => told.splice(0);

test('certificate: new files: who connects then meets the new one, who is connected stays', async () => {
  const early = await connect();
  assert.equal(await served(), 'CN=first');
  put('second');
  await files.look();
  assert.deepEqual(news(), ['renewed']);
  assert.equal(await served(), 'CN=second');
  early.write('GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n');
  const [answer] = await once(early, 'data');
  assert.match(String(answer), /^HTTP\/1\.1 401 /);
  early.destroy();
  await files.look();
  assert.deepEqual(news(), [], 'the same files are no news');
});

test('certificate: between its two files: nothing is told, and the old pair is served', async () => {
  put('third', ['crt']);
  await files.look();
  assert.deepEqual(news(), []);
  assert.equal(await served(), 'CN=second');
  put('third', ['key']);
  await files.look();
  assert.deepEqual(news(), ['renewed']);
  assert.equal(await served(), 'CN=third');
});

test('certificate: files that stay wrong: told once, with which, and at once to who asks', async () => {
  put('first', ['key']);
  for (let look = 0; look < 4; look += 1) await files.look();
  const [why = '', ...more] = news();
  assert.match(why, /^rejected: .*tls\.crt.*tls\.key.*must be its key/);
  assert.deepEqual(more, []);
  fs.rmSync(paths.key);
  await files.look(true);
  assert.match(news().join(), /^rejected: api\.key '.*tls\.key' cannot be read: /);
  fs.writeFileSync(paths.certificate, 'none');
  await files.look(true);
  assert.match(news().join(), /^rejected: /);
  assert.equal(await served(), 'CN=third');
  put('third');
  await files.look();
  assert.deepEqual(news(), [], 'the one in use is there again');
});

test('certificate: one that ends within 14 days: told once a day', async () => {
  put('short');
  await files.look();
  assert.deepEqual(news(), ['renewed', 'ending: 3 days']);
  await files.look();
  assert.deepEqual(news(), []);
  assert.equal(
    files.notAfter.getTime(),
    new Date(new X509Certificate(fs.readFileSync(paths.certificate)).validTo).getTime(),
  );
});

test('certificate: another CA of clients: whom the old one signed is known no more', async () => {
  await api.node.tokens.create({ name: 'ca', role: 'viewer', subject: 'CN=ca' });
  const ask = async (): Promise<string> => {
    const socket = tls.connect({
      ...{ host: '127.0.0.1', port: server.port ?? 0, rejectUnauthorized: false },
      ...{
        cert: fs.readFileSync(folder.file('ca.crt')),
        key: fs.readFileSync(folder.file('ca.key')),
      },
    });
    socket.write('GET /v1/self HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
    const [answer] = await once(socket, 'data');
    socket.destroy();
    return String(answer).slice(9, 12);
  };
  assert.equal(await ask(), '200');
  fs.copyFileSync(folder.file('first.crt'), paths.clientCa);
  await files.look();
  assert.deepEqual(news().slice(0, 1), ['renewed']);
  assert.equal(await ask(), '401');
});
