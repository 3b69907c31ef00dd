/** The console's pages over HTTP, and how a browser signs in: links, sessions, and who may not. */
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { linkMs, maxSessions, SessionService, sessionMs } from '../../lib/access/sessions.js';
import { localCaller } from '../../lib/access/types.js';
import { nodeHandlers } from '../../lib/api/handlers.js';
import { type ApiServer, serveApi } from '../../lib/api/server.js';
import { claimSocket } from '../../lib/api/socket.js';
import { consolePages } from '../../lib/console/pages.js';
import { ApiFixture, logger } from '../api/fixture.js';

let api: ApiFixture;
let server: ApiServer;

before(async () => {
  api = await ApiFixture.open();
  const { streams, tokens, sessions } = api.node;
  const socket = api.folder.file('console.sock');
  server = await serveApi({
    handlers: nodeHandlers(api.node),
    streams,
    tokens,
    sessions,
    pages: consolePages(),
    logger,
    socket,
    found: await claimSocket(socket),
    loopback: { address: '127.0.0.1', port: 0, optional: false },
  });
});
after(async () => {
  await server.close();
  await api[Symbol.asyncDispose]();
});

interface Answer {
  status: number;
  headers: http.IncomingHttpHeaders;
  text: string;
}

function ask(method: string, path: string, headers: object = {}, body?: object): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const type = body === undefined ? {} : { 'content-type': 'application/json' };
    const request = http.request(
      {
        host: '127.0.0.1',
        port: server.loopbackPort ?? 0,
        method,
        path,
        agent: false,
        headers: { ...type, ...headers },
      },
      (response) => {
        let text = '';
        response.on('data', (piece: Buffer) => {
          text += piece.toString('latin1');
        });
        response.on('end', () => {
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text });
        });
      },
    );
    request.on('error', reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

const bearer = (secret: string) => ({ authorization: `Bearer ${secret}` });

test('page: every section answers the same page, which names its files by their content', async () => {
  const page = await ask('GET', '/');
  assert.equal(page.status, 200);
  assert.equal(page.headers['cache-control'], 'no-cache');
  for (const path of ['/volumes', '/volumes/default/web', '/hosts/default/nqn.x%3Ay', '/events']) {
    assert.equal((await ask('GET', path)).text, page.text, path);
  }
  const again = await ask('GET', '/', { 'if-none-match': page.headers.etag });
  assert.equal(again.status, 304);
  const [, script = ''] = /src="(\/assets\/[\w-]+\.js)"/.exec(page.text) ?? [];
  const plain = await ask('GET', script);
  assert.match(String(plain.headers['cache-control']), /immutable/);
  const zipped = await ask('GET', script, { 'accept-encoding': 'gzip, br' });
  assert.equal(zipped.headers['content-encoding'], 'gzip');
  assert.ok(zipped.text.length < plain.text.length / 2);
  assert.ok(zipped.text.length < 80 * 1024, `${zipped.text.length} bytes of script`);
});

test('page: nothing inline, nothing of elsewhere, and a policy that says so', async () => {
  const { text, headers } = await ask('GET', '/');
  assert.doesNotMatch(text, /<script(?![^>]*src=)|<style|\son\w+=|https?:/);
  assert.match(String(headers['content-security-policy']), /^default-src 'self';/);
  assert.match(String(headers['content-security-policy']), /frame-ancestors 'none'/);
  assert.doesNotMatch(String(headers['content-security-policy']), /unsafe/);
  assert.equal(headers['x-content-type-options'], 'nosniff');
  assert.equal(headers['referrer-policy'], 'no-referrer');
});

test('page: a file that is not there, also by a path that climbs: not found', async () => {
  for (const path of ['/assets/none.js', '/assets/..%2Findex.html', '/assets/%2e%2e/index.html']) {
    const { status, text } = await ask('GET', path);
    assert.ok(status === 404 || status === 401, `${path}: ${status}`);
    assert.doesNotMatch(text, /<html/);
  }
});

test('loopback: another Host than this machine is refused, for pages and calls alike', async () => {
  for (const path of ['/', '/v1/self', '/openapi.json']) {
    const refused = await ask('GET', path, { host: 'rebound.example:8420' });
    assert.equal(refused.status, 403, path);
    assert.match(refused.text, /Host 'rebound\.example:8420'/);
  }
  for (const host of ['localhost:9000', '127.0.0.1', '[::1]:8420']) {
    assert.equal((await ask('GET', '/', { host })).status, 200, host);
  }
});

test('loopback: a change asked for by a page of another origin is refused', async () => {
  const { secret } = await api.client.call('createSignIn', {});
  const elsewhere = { origin: 'http://127.0.0.1:1' };
  const refused = await ask('POST', '/v1/sessions', elsewhere, { secret });
  assert.equal(refused.status, 403);
  assert.match(refused.text, /pages of other sites/);
});

test('loopback: no token: nothing of the API', async () => {
  assert.equal((await ask('GET', '/v1/volumes')).status, 401);
  assert.equal((await ask('GET', '/v1/self')).status, 401);
});

test('sign-in: a link is good once; its session calls until it is ended', async () => {
  const { secret } = await api.client.call('createSignIn', {});
  assert.equal((await ask('GET', '/v1/self', bearer(secret))).status, 401);
  const made = await ask('POST', '/v1/sessions', {}, { secret });
  assert.equal(made.status, 201, made.text);
  const session = JSON.parse(made.text).secret;
  const self = JSON.parse((await ask('GET', '/v1/self', bearer(session))).text);
  assert.deepEqual([self.role, self.tenant, self.via], ['admin', null, 'session']);
  assert.match(self.name, /^local \(console \d+\)$/);
  const second = await ask('POST', '/v1/sessions', {}, { secret });
  assert.equal(second.status, 401);
  assert.match(JSON.parse(second.text).detail, /used already .* "ashlar console"/);
  assert.equal((await ask('POST', '/v1/sign-ins', bearer(session))).status, 403);
  assert.equal((await ask('DELETE', '/v1/sessions/own', bearer(session))).status, 204);
  assert.equal((await ask('GET', '/v1/self', bearer(session))).status, 401);
});

test('sessions: links and sessions end by the clock', () => {
  let now = 1_000_000;
  const sessions = new SessionService(api.node.tokens, () => now);
  const late = sessions.createLink(localCaller).secret;
  const { secret } = sessions.redeem(sessions.createLink(localCaller).secret);
  now += linkMs;
  assert.throws(() => sessions.redeem(late), { code: 'unauthenticated' });
  now += sessionMs - linkMs - 1;
  assert.equal(sessions.callerOf(secret)?.role, 'admin');
  now += 1;
  assert.throws(() => sessions.callerOf(secret), { code: 'unauthenticated' });
});

test("sessions: one of a token ends with it, and never has another's role", async () => {
  const { tokens } = api.node;
  const sessions = new SessionService(tokens);
  const made = await tokens.create({ name: 'ops', role: 'admin' });
  const caller = tokens.callerOf(made.secret ?? '');
  const { secret } = sessions.redeem(sessions.createLink(caller).secret);
  assert.equal(sessions.callerOf(secret)?.name, 'ops (console 1)');
  await tokens.remove('ops');
  assert.throws(() => sessions.callerOf(secret), { code: 'unauthenticated' });
  await tokens.create({ name: 'ops', role: 'viewer' });
  assert.throws(() => sessions.callerOf(secret), { code: 'unauthenticated' });
});

test('sessions: more than are kept: the oldest goes', () => {
  const sessions = new SessionService(api.node.tokens);
  const first = sessions.redeem(sessions.createLink(localCaller).secret).secret;
  for (let index = 0; index < maxSessions; index += 1) {
    sessions.redeem(sessions.createLink(localCaller).secret);
  }
  assert.equal(sessions.callerOf(first), null);
});
