/** TLS from outside: by Node's OpenSSL, and by GnuTLS, which is what Linux hosts use (tlshd). */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import { type TlsPsk, tlsPsks } from '../../lib/tls/derive.js';
import { parsePsk } from '../../lib/tls/psk.js';
import { Daemon, Workspace } from '../rig/daemon.js';
import { ioSqe, opcode } from './commands.js';
import { Connection, type Identity, keepAlive, openController } from './connection.js';
import { blockBytes, newIdentity, pattern, solicitedWrite, Target } from './fixture.js';
import { dial, negotiated } from './tls_host.js';

interface Psk {
  id: string;
  psk: string;
}

/** A host of the node that has a PSK of this hash, and what is derived of it for a subsystem. */
async function hostWithPsk(
  daemon: Daemon,
  hash: 'sha256' | 'sha384',
): Promise<{ identity: Identity; psks: TlsPsk[]; id: string }> {
  const identity = newIdentity(await daemon.subnqn());
  const { hostnqn, subnqn } = identity;
  await daemon.call('POST', '/v1/hosts', { nqn: hostnqn });
  const { id, psk } = await daemon.call<Psk>('POST', '/v1/psks', { host: hostnqn, hash });
  return { identity, id, psks: tlsPsks(parsePsk(psk, 'the PSK'), hostnqn, subnqn) };
}

/** Writes by R2T and reads it back. */
async function writeAndRead(io: Connection, nsid: number, blocks: number): Promise<void> {
  const data = pattern(0, blocks, 1);
  const written = await io.command(solicitedWrite(nsid, 0, data.length), { dataOut: data });
  assert.equal(written.status, 0);
  const range = { nsid, slba: 0n, blocks, sglLength: blocks * blockBytes };
  const read = await io.command(ioSqe({ opcode: opcode.read, ...range }));
  assert.equal(read.status, 0);
  assert.ok(read.data.equals(data));
}

test('TLS by OpenSSL: an association, a MiB each way; plain hosts beside it', async () => {
  await using target = await Target.start({ tls: 'allowed' });
  const { identity, psks } = await hostWithPsk(target.daemon, 'sha256');
  for (const psk of psks) {
    await using admin = await negotiated(await dial(target.port, psk));
    const { cntlid } = await openController(admin, identity);
    await using io = await negotiated(await dial(target.port, psk));
    const joined = await io.fabricsConnect({ ...identity, qid: 1, cntlid, sqsize: 127 });
    assert.equal(joined.status, 0);
    await writeAndRead(io, target.nsid, 256);
  }
  await target.assertWitness();
});

test("TLS: another host's name, or a plain I/O queue of a TLS controller: Invalid Host", async () => {
  await using target = await Target.start({ tls: 'allowed' });
  const { identity, psks } = await hostWithPsk(target.daemon, 'sha256');
  const [psk] = psks;
  assert(psk !== undefined);
  await using impostor = await negotiated(await dial(target.port, psk));
  const other = newIdentity(identity.subnqn);
  assert.equal((await impostor.fabricsConnect({ ...other, qid: 0 })).status, 0x184);
  await using admin = await negotiated(await dial(target.port, psk));
  const { cntlid } = await openController(admin, identity);
  await using plain = await Connection.open(target.port);
  const joined = await plain.fabricsConnect({ ...identity, qid: 1, cntlid, sqsize: 127 });
  assert.equal(joined.status, 0x184);
});

test('TLS: a PSK removed: no new connection, those there go on; a second one: both', async () => {
  await using target = await Target.start({ tls: 'allowed' });
  const first = await hostWithPsk(target.daemon, 'sha256');
  const { hostnqn, subnqn } = first.identity;
  const [before] = first.psks;
  assert(before !== undefined);
  await using admin = await negotiated(await dial(target.port, before));
  await openController(admin, first.identity);
  const added = await target.daemon.call<Psk>('POST', '/v1/psks', { host: hostnqn });
  const [after] = tlsPsks(parsePsk(added.psk, 'the PSK'), hostnqn, subnqn);
  assert(after !== undefined);
  assert.equal(after.identity, before.identity);
  await (await dial(target.port, before))[Symbol.asyncDispose]();
  await (await dial(target.port, after))[Symbol.asyncDispose]();
  const url = `/v1/psks/${encodeURIComponent(hostnqn)}?id=${first.id}`;
  await target.daemon.call('DELETE', url);
  await assert.rejects(dial(target.port, before));
  await (await dial(target.port, after))[Symbol.asyncDispose]();
  assert.equal((await admin.command(keepAlive)).status, 0);
});

/** GnuTLS's host end, with its diagnosis in a file and the bytes at its stdin and stdout. */
function dialGnutls(port: number, folder: Workspace, { identity, psk }: TlsPsk): Connection {
  const suites = 'NONE:+VERS-TLS1.3:+AEAD:+AES-128-GCM:+AES-256-GCM:+GROUP-ALL:+SIGN-ALL';
  const child = spawn(
    'gnutls-cli',
    [
      `--priority=${suites}:+ECDHE-PSK:+DHE-PSK`,
      `--pskusername=${identity}`,
      `--pskkey=${Buffer.from(psk).toString('hex')}`,
      `--logfile=${folder.file('gnutls.log')}`,
      '--no-ca-verification',
      `--port=${port}`,
      '127.0.0.1',
    ],
    { stdio: ['pipe', 'pipe', 'ignore'] },
  );
  const stream = Duplex.from({ readable: child.stdout, writable: child.stdin });
  child.stdin.on('error', () => undefined);
  stream.once('close', () => child.kill());
  return Connection.over(stream);
}

// gnutls-cli knows PSKs of SHA-256 alone; tlshd, of the same library, is a judge of both
// (test/kernel/trixie).
test('TLS required: by GnuTLS, by the kept PSK of a restarted node; plain: refused', async () => {
  using workspace = new Workspace();
  await using daemon = await Daemon.start({ tls: 'required', poolFile: 'p.ashlar', workspace });
  const { nsid } = await daemon.volume('demo');
  const { identity, psks } = await hostWithPsk(daemon, 'sha256');
  await daemon.stop();
  await daemon.start();
  const [psk] = psks;
  assert(psk !== undefined);
  await using admin = await negotiated(dialGnutls(daemon.port, workspace, psk));
  const { cntlid } = await openController(admin, identity);
  await using io = await negotiated(dialGnutls(daemon.port, workspace, psk));
  const joined = await io.fabricsConnect({ ...identity, qid: 1, cntlid, sqsize: 127 });
  assert.equal(joined.status, 0);
  // A few records: gnutls-cli makes a system call for every byte that it prints.
  await writeAndRead(io, nsid, 12);
  // A host without a key has nothing to generate a PSK with (see concatenation.test.ts).
  await using plain = await Connection.open(daemon.port);
  const refused = await plain.fabricsConnect({ ...identity, qid: 0 });
  assert.deepEqual([refused.status, refused.doNotRetry], [0x184, true]);
  assert(!daemon.log.includes('NVMeTLSkey'));
});
