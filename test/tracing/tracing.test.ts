/** Traces of calls: what a receiver of OTLP/HTTP gets, and that nobody else notices. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { pino } from 'pino';
import { nodeHandlers } from '../../lib/api/handlers.js';
import { type ApiServer, serveApi } from '../../lib/api/server.js';
import { claimSocket } from '../../lib/api/socket.js';
import { traceOf } from '../../lib/cli/daemon.js';
import type { Node } from '../../lib/node/types.js';
import { headersFrom } from '../../lib/tracing/headers.js';
import { type OtlpOptions, OtlpTracer } from '../../lib/tracing/otlp.js';
import { Folder, logger, type RawAnswer, rawRequest } from '../api/fixture.js';
import { open } from '../node/bench.js';
import { Daemon } from '../rig/daemon.js';
import { Receiver } from './receiver.js';

const traceId = '0af7651916cd43dd8448eb211c80319c';
const traceparent = `00-${traceId}-b7ad6b7169203331-01`;

/** A node whose API is traced to a receiver. */
class Traced implements AsyncDisposable {
  readonly told: string[] = [];
  readonly node: Node;
  readonly #folder = new Folder();
  readonly #tracer: OtlpTracer;
  #server: ApiServer | null = null;

  private constructor(node: Node, tracer: OtlpTracer, told: string[]) {
    this.node = node;
    this.#tracer = tracer;
    this.told = told;
  }

  static async open(endpoint: string, over: Partial<OtlpOptions> = {}): Promise<Traced> {
    const told: string[] = [];
    const warnings = pino({ level: 'warn' }, { write: (line: string) => told.push(line) });
    const options = { sample: 1, service: 'ashlar', version: '1', headers: {}, ...over };
    const tracer = new OtlpTracer({ endpoint: `${endpoint}/v1/traces`, ...options }, warnings);
    const traced = new Traced(await open(), tracer, told);
    const socket = traced.#folder.file('api.sock');
    const { streams, tokens, jobs } = traced.node;
    traced.#server = await serveApi({
      handlers: nodeHandlers(traced.node),
      ...{ streams, tokens, jobs, tracer, logger, socket },
      found: await claimSocket(socket),
    });
    return traced;
  }

  send(
    method: string,
    url: string,
    body: object | null = null,
    headers: Record<string, string> = {},
  ): Promise<RawAnswer> {
    return rawRequest(this.#server?.socket ?? '', {
      method,
      path: url,
      headers: { 'content-type': 'application/json', ...headers },
      ...(body === null ? {} : { body: JSON.stringify(body) }),
    });
  }

  /** Everything so far is with the receiver, or dropped. */
  async flush(): Promise<void> {
    await this.#server?.close();
    await this.#tracer.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.flush();
    await this.node.close();
    this.#folder[Symbol.dispose]();
  }
}

test('traces: a span for a call with its parts, in the trace of its caller', async () => {
  await using receiver = await Receiver.open();
  await using traced = await Traced.open(receiver.url);
  const volume = { name: 'web', sizeBytes: 1 << 20 };
  const { status } = await traced.send('POST', '/v1/volumes', volume, { traceparent });
  assert.equal(status, 201);
  await traced.flush();
  const [call, ...others] = receiver.named('createVolume');
  assert.ok(call !== undefined && others.length === 0);
  assert.equal(call.traceId, traceId);
  assert.equal(call.parentSpanId, 'b7ad6b7169203331');
  assert.deepEqual(call.attributes, {
    'ashlar.operation': 'createVolume',
    'ashlar.caller.role': 'admin',
    'http.request.method': 'POST',
    'http.route': '/v1/volumes',
    'http.response.status_code': '201',
  });
  const [transaction] = receiver.named('transaction');
  const [commit] = receiver.named('journal commit');
  assert.equal(transaction?.parentSpanId, call.spanId);
  assert.equal(commit?.parentSpanId, transaction?.spanId);
  for (const part of [transaction, commit]) {
    assert.ok(part !== undefined && part.startNs >= call.startNs && part.endNs <= call.endNs);
  }
  assert.equal(receiver.resource['service.name'], 'ashlar');
});

test('traces: refusals have the code and status; a tenant is named, secrets and bodies are not', async () => {
  await using receiver = await Receiver.open();
  await using traced = await Traced.open(receiver.url);
  const { node } = traced;
  await node.tenants.create('red');
  const { secret } = await node.tokens.create({ name: 'r', role: 'viewer' }, { tenant: 'red' });
  const authorization = `Bearer ${secret}`;
  await traced.send('GET', '/v1/volumes', null, { authorization });
  await traced.send('GET', '/v1/status', null, { authorization });
  await traced.send('GET', '/v1/volumes/none?tenant=red');
  await traced.send('GET', '/v1/volumes', null, { authorization: 'Bearer ashlar_wrong' });
  const made = await traced.send('POST', '/v1/tokens', { name: 'made', role: 'viewer' });
  const madeSecret: string = JSON.parse(made.body.toString()).secret;
  await traced.send('GET', '/v1/nothing');
  await traced.flush();
  const seen = receiver.spans
    .filter(({ attributes }) => 'http.route' in attributes)
    .map(({ name, status, attributes }) => [
      name,
      attributes['http.response.status_code'],
      attributes['error.type'],
      attributes['ashlar.tenant'],
      status,
    ]);
  assert.deepEqual(seen, [
    ['listVolumes', '200', undefined, 'red', 0],
    ['getStatus', '403', 'permission-denied', 'red', 0],
    ['getVolume', '404', 'not-found', 'red', 0],
    ['listVolumes', '401', 'unauthenticated', undefined, 0],
    ['createToken', '201', undefined, undefined, 0],
  ]);
  for (const hidden of [secret ?? '?', madeSecret, 'ashlar_wrong', '"made"', 'Bearer']) {
    assert.ok(!receiver.text.includes(hidden), hidden);
  }
});

test('traces: a fault of the node marks its span, and the part in which it happened', async () => {
  await using receiver = await Receiver.open();
  await using traced = await Traced.open(receiver.url);
  await traced.send('POST', '/v1/volumes', { name: 'web', sizeBytes: 1 << 20 });
  const twice = await traced.send('POST', '/v1/volumes', { name: 'web', sizeBytes: 1 << 20 });
  assert.equal(twice.status, 409);
  await traced.node.close();
  assert.equal((await traced.send('GET', '/v1/volumes')).status, 503);
  await traced.flush();
  const seen = receiver.spans
    .filter(({ attributes }) => 'error.type' in attributes && 'http.route' in attributes)
    .map(({ name, attributes, status }) => [name, attributes['error.type'], status]);
  assert.deepEqual(seen, [
    ['createVolume', 'already-exists', 0],
    ['listVolumes', 'closed', 2],
  ]);
});

test('traces: a job is a part of the call that began it, and ends when it does', async () => {
  await using receiver = await Receiver.open();
  await using traced = await Traced.open(receiver.url);
  const started = await traced.send('POST', '/v1/pools/memory/check', {});
  assert.equal(started.status, 202);
  const { id } = JSON.parse(started.body.toString());
  await traced.send('GET', `/v1/jobs/${id}?waitSeconds=50`);
  await traced.flush();
  const [call] = receiver.named('startPoolCheck');
  const [job] = receiver.named('job pool-check');
  assert.equal(job?.parentSpanId, call?.spanId);
  assert.equal(job?.attributes['ashlar.job'], id);
  assert.equal(job?.status, 0);
});

test('traces: of those that nobody decided about the asked part; a caller’s decision holds', async () => {
  await using receiver = await Receiver.open();
  await using traced = await Traced.open(receiver.url, { sample: 0 });
  await traced.send('GET', '/v1/volumes');
  await traced.send('GET', '/v1/tenants', null, { traceparent });
  await traced.send('GET', '/v1/hosts', null, { traceparent: traceparent.replace(/01$/, '00') });
  await traced.send('GET', '/v1/events', null, { traceparent: 'nonsense' });
  await traced.flush();
  assert.deepEqual(
    receiver.spans.map(({ name }) => name),
    ['listTenants'],
  );
});

test('traces: a receiver that fails, or is not there: one warning, and calls are as ever', async () => {
  await using receiver = await Receiver.open();
  receiver.status = 400;
  for (const endpoint of [receiver.url, 'http://127.0.0.1:1']) {
    const traced = await Traced.open(endpoint);
    for (let count = 0; count < 1100; count += 1) {
      const { status } = await traced.send('GET', '/v1/portals');
      assert.equal(status, 200);
    }
    const began = performance.now();
    await traced[Symbol.asyncDispose]();
    assert.ok(performance.now() - began < 10_000);
    assert.equal(traced.told.length, 1, traced.told.join());
    assert.match(
      traced.told[0] ?? '',
      /traces cannot be sent to '.*they are dropped until they can/,
    );
  }
});

test('traces: headers from a file; a line that is none is named, and its value is not', async () => {
  using folder = new Folder();
  const file = folder.file('headers');
  fs.writeFileSync(file, '# of the receiver\nAuthorization: Basic c2VjcmV0\n\nX-Scope: a b\n');
  assert.deepEqual(await headersFrom(file), { Authorization: 'Basic c2VjcmV0', 'X-Scope': 'a b' });
  fs.writeFileSync(file, 'Authorization: ok\nsecret without a name\n');
  await assert.rejects(headersFrom(file), (error: Error) => {
    assert.match(error.message, /line 2: not a header/);
    assert.doesNotMatch(error.message, /secret without/);
    return true;
  });
  await assert.rejects(headersFrom(folder.file('none')), { code: 'config-invalid' });
});

test('traces: the command line passes on the trace of its environment, when it is one', () => {
  const of = (TRACEPARENT?: string, TRACESTATE?: string) =>
    traceOf({ TRACEPARENT, TRACESTATE } as NodeJS.ProcessEnv);
  assert.deepEqual(of(traceparent), { traceparent });
  assert.deepEqual(of(traceparent, 'a=b'), { traceparent, tracestate: 'a=b' });
  assert.deepEqual(of(), {});
  assert.deepEqual(of('00-1\r\nx: y'), {});
  assert.deepEqual(of(traceparent, 'a\nb'), { traceparent });
});

test('traces: of the installed program OpenTelemetry is one file, loaded by import() alone', () => {
  const folder = path.join(process.cwd(), 'dist/program');
  const seen = new Set<string>();
  const visit = (name: string): void => {
    if (seen.has(name)) return;
    seen.add(name);
    const text = fs.readFileSync(path.join(folder, name), 'utf8');
    for (const [, next] of text.matchAll(/"\.\/([\w.-]+\.js)"/g)) visit(next ?? '');
  };
  visit('main.js');
  const text = (name: string) => fs.readFileSync(path.join(folder, name), 'utf8');
  const [own, ...others] = [...seen].filter((name) =>
    text(name).includes('BatchSpanProcessorBase = class'),
  );
  assert.ok(own !== undefined);
  assert.deepEqual(others, []);
  for (const name of seen) assert.doesNotMatch(text(name), new RegExp(`from "\\./${own}"`), name);
});

test('traces: the installed program sends what it was told to, with the headers of the file', async () => {
  const script = path.join(process.cwd(), 'dist/program/main.js');
  await using receiver = await Receiver.open();
  using folder = new Folder();
  const headersFile = folder.file('headers');
  fs.writeFileSync(headersFile, 'X-Key: of-the-file\n');
  await using daemon = await Daemon.start({
    poolFile: null,
    script,
    tracing: { endpoint: receiver.url, headersFile },
  });
  await daemon.call('POST', '/v1/volumes', { name: 'web', sizeBytes: 1 << 20 });
  assert.deepEqual(await daemon.stop(), { code: 0, signal: null });
  assert.equal(receiver.named('createVolume').length, 1, daemon.log);
  assert.equal(receiver.posts[0]?.['x-key'], 'of-the-file');
  assert.match(daemon.log, /calls are traced/);
});
