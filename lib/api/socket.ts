/**
 * The control socket: who may use it, and what to do with one that is there already.
 *
 * A daemon that was killed leaves its socket file behind; connecting to it is refused, and it is
 * replaced. One that answers belongs to a living daemon, and the new one must not start.
 */
import { rmSync, type Stats, statSync } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import type { Server } from 'node:http';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { AshlarError, toAshlarError } from '../errors.js';

/** What lies at a socket path. */
export type SocketFinding =
  | { kind: 'nothing' }
  /** A socket that nobody listens on. */
  | { kind: 'stale'; stats: Stats }
  | { kind: 'living' }
  /** A socket whose owner keeps us out. */
  | { kind: 'forbidden' }
  /** Something else that must not be replaced. */
  | { kind: 'no-socket' };

/** Looks without changing anything. */
export async function inspectSocket(path: string): Promise<SocketFinding> {
  let stats: Stats;
  try {
    stats = await stat(path);
  } catch (thrown) {
    const error = toAshlarError(thrown);
    if (error.code === 'not-found') return { kind: 'nothing' };
    throw new AshlarError(error.code, `control socket '${path}': ${error.message}`);
  }
  if (!stats.isSocket()) return { kind: 'no-socket' };
  const code = await connectCode(path);
  if (code === null) return { kind: 'living' };
  if (code === 'EACCES' || code === 'EPERM') return { kind: 'forbidden' };
  if (code === 'ENOENT') return { kind: 'nothing' };
  if (code === 'ECONNREFUSED') return { kind: 'stale', stats };
  // EAGAIN: its backlog is full, so somebody listens.
  return { kind: 'living' };
}

/** Connects and hangs up; null: it worked, else the system's error code. */
function connectCode(path: string): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve(null);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'EIO'));
  });
}

/**
 * Makes sure that a daemon may listen at `path`. Changes nothing.
 *
 * @returns what is there; give it to {@link listenAt}.
 * @throws AshlarError 'daemon-running', 'already-exists' (a file that is no socket),
 * 'permission-denied'.
 */
export async function claimSocket(path: string): Promise<SocketFinding> {
  const found = await inspectSocket(path);
  switch (found.kind) {
    case 'living':
      throw new AshlarError(
        'daemon-running',
        `a daemon already answers at '${path}'; use it, stop it first, or choose another --socket`,
      );
    case 'forbidden':
      throw new AshlarError(
        'permission-denied',
        `control socket '${path}' belongs to another user; choose another --socket`,
      );
    case 'no-socket':
      throw new AshlarError(
        'already-exists',
        `'${path}' exists and is not a socket; move it away or choose another --socket`,
      );
    case 'nothing':
    case 'stale':
      return found;
  }
}

async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  } catch (thrown) {
    const error = toAshlarError(thrown);
    throw new AshlarError(
      error.code,
      `the folder of the control socket '${path}' cannot be made: ${error.message}`,
      { cause: thrown },
    );
  }
}

/**
 * Listens at a claimed path, with mode 0600 from its first moment; makes its folder. A stale
 * socket is removed in the same turn, and only if it is still the very one that was found stale.
 */
export async function listenAt(server: Server, path: string, found: SocketFinding): Promise<void> {
  await makeFolder(path);
  const listening = new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.once('listening', () => {
      server.off('error', reject);
      resolve();
    });
  });
  if (found.kind === 'stale' && isSame(path, found.stats)) rmSync(path, { force: true });
  // bind() happens inside listen(), so the mask is narrow for this one call only.
  const mask = process.umask(0o177);
  try {
    server.listen({ path });
  } finally {
    process.umask(mask);
  }
  try {
    await listening;
  } catch (thrown) {
    const error = toAshlarError(thrown);
    if (error.code === 'address-in-use') {
      throw new AshlarError('daemon-running', `another daemon has just taken '${path}'`);
    }
    throw new AshlarError(error.code, `control socket '${path}': ${error.message}`);
  }
}

/**
 * Listens on an address. @param key where it is configured. @returns the port.
 * @throws AshlarError address-in-use, address-unavailable, permission-denied.
 */
export async function listenOn(
  server: Server,
  key: string,
  address: string,
  port: number,
): Promise<number> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: address, port }, () => {
        server.off('error', reject);
        resolve();
      });
    });
  } catch (thrown) {
    const error = toAshlarError(thrown);
    throw new AshlarError(error.code, `${key} '${address}' port ${port}: ${error.message}`);
  }
  const bound = server.address();
  return typeof bound === 'object' && bound !== null ? bound.port : port;
}

function isSame(path: string, stats: Stats): boolean {
  const now = statSync(path, { throwIfNoEntry: false });
  return now !== undefined && now.ino === stats.ino && now.ctimeMs === stats.ctimeMs;
}
