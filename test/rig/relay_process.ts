/** The process of a {@link Relay}: carries connections to one port of this machine. */
import net from 'node:net';
import type { RelayAnswer, RelayCounts, RelayOrder } from './relay.js';

const address = '127.0.0.1';
/** What one direction holds at most before it stops reading: more than any delay here needs. */
const heldBytes = 4 * 2 ** 20;

const delays = { toTargetMs: 0, toHostMs: 0 };
const open = new Set<Connection>();
let accepted = 0;
let port = 0;
let server: net.Server | null = null;

/** Bytes from one socket to the other, in order and each no earlier than its delay says. */
class Direction {
  readonly #held: { dueMs: number; piece: Buffer | null }[] = [];
  #bytes = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(
    private readonly from: net.Socket,
    private readonly to: net.Socket,
    private readonly delayMs: () => number,
  ) {
    from.on('data', (piece) => this.#hold(piece));
    from.on('end', () => this.#hold(null));
    to.on('drain', () => this.#advance());
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#held.length = 0;
  }

  /** `null` is the end of what comes: it waits like bytes do. */
  #hold(piece: Buffer | null): void {
    const last = this.#held.at(-1)?.dueMs ?? 0;
    // A delay that became shorter lets nothing overtake what came before.
    this.#held.push({ dueMs: Math.max(last, performance.now() + this.delayMs()), piece });
    this.#bytes += piece?.length ?? 0;
    if (this.#bytes > heldBytes) this.from.pause();
    this.#advance();
  }

  #advance(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    for (let first = this.#held[0]; first !== undefined; first = this.#held[0]) {
      if (this.to.writableNeedDrain) return;
      const waitMs = first.dueMs - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.#advance(), Math.ceil(waitMs));
        return;
      }
      this.#held.shift();
      if (first.piece === null) {
        this.to.end();
        continue;
      }
      this.to.write(first.piece);
      this.#bytes -= first.piece.length;
    }
    if (this.from.isPaused()) this.from.resume();
  }
}

/** Both sockets of one connection. An end that breaks off resets the other. */
class Connection {
  readonly #sockets: readonly net.Socket[];
  readonly #directions: readonly Direction[];

  constructor(host: net.Socket, targetPort: number) {
    const target = net.connect({ host: address, port: targetPort, allowHalfOpen: true });
    this.#sockets = [host, target];
    this.#directions = [
      new Direction(host, target, () => delays.toTargetMs),
      new Direction(target, host, () => delays.toHostMs),
    ];
    for (const socket of this.#sockets) {
      socket.setNoDelay();
      // What went wrong with one of them is told to the other by 'close'.
      socket.on('error', () => undefined);
      socket.on('close', (broken) => {
        if (broken || this.#sockets.every(({ destroyed }) => destroyed)) this.cut();
      });
    }
    open.add(this);
  }

  cut(): void {
    open.delete(this);
    for (const direction of this.#directions) direction.close();
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }
}

function listen(wanted: number, targetPort: number): Promise<void> {
  if (server !== null) return Promise.resolve();
  const listening = net.createServer({ allowHalfOpen: true }, (socket) => {
    accepted += 1;
    new Connection(socket, targetPort);
  });
  return new Promise((resolve, reject) => {
    listening.once('error', reject);
    listening.listen(wanted, address, () => {
      server = listening;
      port = (listening.address() as net.AddressInfo).port;
      resolve();
    });
  });
}

async function obey(order: RelayOrder): Promise<RelayCounts> {
  switch (order.kind) {
    case 'listen':
      await listen(order.port, order.targetPort);
      break;
    case 'delay':
      delays.toTargetMs = order.toTargetMs;
      delays.toHostMs = order.toHostMs;
      break;
    case 'cut':
      for (const connection of open) connection.cut();
      break;
    case 'refuse':
      server?.close();
      server = null;
      break;
    case 'count':
      break;
  }
  return { port, accepted, open: open.size };
}

const answer = (value: RelayAnswer) => process.send?.(value);
process.on('message', ({ id, ...order }: RelayOrder & { id: number }) => {
  obey(order as RelayOrder).then(
    (counts) => answer({ id, counts }),
    (error: NodeJS.ErrnoException) =>
      answer({ id, code: error.code ?? '', message: error.message }),
  );
});
// The test that it belongs to has ended.
process.on('disconnect', () => process.exit());
