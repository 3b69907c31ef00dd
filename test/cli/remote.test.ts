/** The command line against a daemon elsewhere: HTTPS with a token or a client certificate. */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { nodeHandlers } from '../../lib/api/handlers.js';
import { operationIds } from '../../lib/api/operations.js';
import { type ApiServer, serveApi } from '../../lib/api/server.js';
import { claimSocket } from '../../lib/api/socket.js';
import { ApiFixture, Folder, logger } from '../api/fixture.js';
import { program } from '../rig/daemon.js';
import { ManyLines } from './many_lines.js';
import { order, type Row, rows, type World } from './operation_lines.js';

const folder = new Folder();
let api: ApiFixture;
let server: ApiServer;

function certificate(name: string, subject: string, ca?: string): void {
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const alt = ['-addext', 'subjectAltName=IP:127.0.0.1'];
  const signer = ca === undefined ? [] : ['-CA', `${ca}.crt`, '-CAkey', `${ca}.key`];
  const out = ['-keyout', `${name}.key`, '-out', `${name}.crt`, '-days', '2'];
  const args = ['req', '-x509', ...ec, '-subj', subject, ...alt, ...signer, ...out];
  execFileSync('openssl', args, { cwd: folder.path, stdio: 'ignore' });
}

const file = (name: string): string => folder.file(name);
const url = (): string => `https://127.0.0.1:${server.port}`;

before(async () => {
  certificate('server', '/CN=node');
  certificate('ca', '/CN=clients');
  certificate('ops', '/O=Acme/CN=ops', 'ca');
  api = await ApiFixture.open();
  server = await serveApi({
    handlers: nodeHandlers(api.node),
    streams: api.node.streams,
    tokens: api.node.tokens,
    sessions: api.node.sessions,
    jobs: api.node.jobs,
    logger,
    socket: file('https.sock'),
    found: await claimSocket(file('https.sock')),
    https: {
      address: '127.0.0.1',
      port: 0,
      certificate: fs.readFileSync(file('server.crt')),
      key: fs.readFileSync(file('server.key')),
      clientCa: fs.readFileSync(file('ca.crt')),
    },
  });
  const { tokens } = api.node;
  const keep = (name: string, secret: string | null): void =>
    fs.writeFileSync(file(name), `${secret}\n`, { mode: 0o600 });
  keep('admin', (await tokens.create({ name: 'admin', role: 'admin' })).secret);
  const expiresMs = Date.now() + 1500;
  keep('expired', (await tokens.create({ name: 'old', role: 'admin', expiresMs })).secret);
  await tokens.create({ name: 'by-certificate', role: 'admin', subject: 'O=Acme,CN=ops' });
});
after(async () => {
  await server.close();
  await api[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

interface Ran {
  code: number;
  out: string;
  err: string;
}

/** As a person runs it, with this environment alone. */
function ashlar(args: string[], env: Record<string, string> = {}): Promise<Ran> {
  const { PATH = '' } = process.env;
  return new Promise((resolve) => {
    const options = { env: { PATH, ...env }, cwd: folder.path };
    execFile(process.execPath, [program, ...args], options, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err });
    });
  });
}
const known = () => ['--server', url(), '--ca', file('server.crt')];

test('a token from a file, by options or by the environment, or the token in it', async () => {
  const self = /'admin' \(admin of the node\), by a token/;
  const byOptions = await ashlar([...known(), '--token-file', file('admin'), 'whoami']);
  assert.match(byOptions.out, self, byOptions.err);
  const behind = await ashlar(['whoami', ...known(), '--token-file', file('admin')]);
  assert.match(behind.out, self, 'options may stand behind the command too');
  const env = { ASHLAR_SERVER: url(), ASHLAR_CA: file('server.crt') };
  const byFile = await ashlar(['whoami'], { ...env, ASHLAR_TOKEN_FILE: file('admin') });
  assert.match(byFile.out, self, byFile.err);
  const secret = fs.readFileSync(file('admin'), 'utf8').trim();
  assert.match((await ashlar(['whoami'], { ...env, ASHLAR_TOKEN: secret })).out, self);
});

test('a client certificate: known by its subject', async () => {
  const pair = ['--cert', file('ops.crt'), '--key', file('ops.key')];
  const { out, err } = await ashlar([...known(), ...pair, 'whoami']);
  assert.match(out, /'by-certificate' .* by a certificate/, err);
});

test('every command works there as at the socket', async () => {
  const world: World = { names: new Map(), file };
  await using lines = new ManyLines({
    ASHLAR_SERVER: url(),
    ASHLAR_CA: file('server.crt'),
    ASHLAR_TOKEN_FILE: file('admin'),
  });
  const bad: string[] = [];
  let done = 0;
  for (const id of order) {
    const row: Row = rows[id];
    if ('none' in row || id.endsWith('Import')) continue;
    for (const step of [...(row.before ?? []), row.line]) {
      if (step === 'cut import') continue;
      const line = typeof step === 'string' ? step : step(world);
      const words = [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, q, word]) => q ?? word ?? '');
      const { code, out, err } = await lines.run(words);
      row.learn?.(world, out);
      // Refusals of the operation itself are as good: it was asked.
      const judged = line.startsWith('explain ') && code <= 1;
      if (code === 0 || judged || row.refused !== undefined || row.exits === code) done += 1;
      else bad.push(`${line}: ${code} ${err}`);
    }
  }
  assert.deepEqual(bad, []);
  assert.ok(done > operationIds.length - 10);
});

test('what is wrong is said on one line, with what to do', async () => {
  const free = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => free.once('listening', resolve));
  const address = free.address();
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  await new Promise((resolve) => free.close(resolve));
  fs.writeFileSync(file('empty'), '\n');
  const admin = ['--token-file', file('admin')];
  const at = (server: string) => ['--server', server, '--ca', file('server.crt'), ...admin];
  const table: [args: string[], code: number, message: RegExp][] = [
    [known(), 2, /--token-file FILE.*ASHLAR_TOKEN_FILE.*--cert/],
    [['--server', url(), ...admin], 7, /is not trusted .*--ca or ASHLAR_CA/],
    [['--server', url(), '--ca', file('ca.crt'), ...admin], 7, /is not trusted/],
    [at(url().replace('127.0.0.1', 'localhost')), 7, /is for another name/],
    [at(`https://127.0.0.1:${port}`), 8, /nobody listens at 'https:.*\[api\] listen/],
    [at('https://nowhere.invalid:1'), 8, /the name in '.*' has no address/],
    [at('http://127.0.0.1:1'), 2, /--server '.*' is not of the form https:\/\/HOST:PORT/],
    [[...known(), '--token-file', file('none')], 2, /cannot read the token from/],
    [[...known(), '--token-file', file('empty')], 2, /no token is in/],
    [['--server', url(), '--ca', file('admin'), ...admin], 2, /is not a CA certificate in PEM/],
    [[...known(), '--cert', file('ops.crt')], 2, /a client certificate needs its key/],
    [[...known(), '--cert', file('ops.crt'), '--key', file('ca.key')], 2, /cannot be used/],
    [[...at(url()), '--socket', '/x'], 2, /--server and --socket exclude each other/],
  ];
  for (const [args, code, message] of table) {
    const ran = await ashlar(['whoami', ...args]);
    assert.match(ran.err, message, args.join(' '));
    assert.match(ran.err, /^ashlar: [^\n]+\n$/);
    assert.equal(ran.code, code, ran.err);
  }
});

test('an expired token: says that it has expired, and when', async () => {
  for (;;) {
    const ran = await ashlar([...known(), '--token-file', file('expired'), 'whoami']);
    if (ran.code === 0) continue;
    assert.match(ran.err, /token 'old' has expired at .*ashlar token rotate/);
    assert.equal(ran.code, 7);
    return;
  }
});
