/** What a running daemon says of itself, and whether its portals take connections from here. */
import { connect } from 'node:net';
import { ApiClient } from '../api/client.js';
import { inspectSocket } from '../api/socket.js';
import { AshlarError, toAshlarError } from '../errors.js';
import { version } from '../node/version.js';
import type { DaemonFacts } from './facts.js';

const answerTimeoutMs = 700;
const connectTimeoutMs = 300;

export async function daemonFacts(socket: string): Promise<DaemonFacts> {
  const nothing: DaemonFacts = {
    socket,
    state: 'none',
    problem: null,
    status: null,
    controllers: [],
    reached: [],
    version,
  };
  const found = await inspectSocket(socket).catch(toAshlarError);
  if (found instanceof AshlarError || found.kind === 'forbidden') return forbidden(nothing);
  if (found.kind !== 'living') return nothing;
  const client = new ApiClient({ socket });
  try {
    const timely = { timeoutMs: answerTimeoutMs };
    const [status, controllers] = await Promise.all([
      client.call('getStatus', {}, timely),
      client.call('listControllers', { query: {} }, timely),
    ]);
    const listening = status.portals.filter(({ problem }) => problem === null);
    const reached = await Promise.all(
      listening.map(async ({ endpoint, address, port }) => ({
        endpoint,
        problem: await connectionProblem(address, port),
      })),
    );
    return { ...nothing, state: 'answers', status, controllers: controllers.items, reached };
  } catch (thrown) {
    const { code, message } = toAshlarError(thrown);
    if (code === 'permission-denied') return forbidden(nothing);
    return { ...nothing, state: 'silent', problem: message };
  } finally {
    await client.close();
  }
}

function forbidden(facts: DaemonFacts): DaemonFacts {
  return { ...facts, state: 'forbidden' };
}

/** Connects and hangs up, as a host does that finds nobody; null: it was taken. */
function connectionProblem(address: string, port: number): Promise<string | null> {
  const host = address === '0.0.0.0' ? '127.0.0.1' : address === '::' ? '::1' : address;
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: connectTimeoutMs });
    const end = (problem: string | null): void => {
      socket.destroy();
      resolve(problem);
    };
    socket.once('connect', () => end(null));
    socket.once('timeout', () => end(`no answer within ${connectTimeoutMs} ms`));
    socket.once('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
  });
}
