/** The relay that the multipath suite breaks its networks with does what it is told. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';
import { Relay } from './relay.js';

/** A target that sends back what it gets. */
class Echo implements AsyncDisposable {
  readonly sockets = new Set<net.Socket>();
  readonly #server = net.createServer((socket) => {
    this.sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => this.sockets.delete(socket));
    socket.pipe(socket);
  });

  async start(): Promise<number> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return (this.#server.address() as net.AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** The host's end of one connection. */
class Host implements Disposable {
  readonly #socket: net.Socket;
  #received = Buffer.alloc(0);
  #arrived: () => void = () => undefined;
  /** The error code that it ended with, '' when it ended in order. */
  readonly ended: Promise<string>;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.on('data', (piece: Buffer) => {
      this.#received = Buffer.concat([this.#received, piece]);
      this.#arrived();
    });
    this.ended = new Promise((resolve) => {
      let code = '';
      socket.on('error', (error: NodeJS.ErrnoException) => {
        code = error.code ?? '';
      });
      socket.on('close', () => {
        resolve(code);
        this.#arrived();
      });
    });
  }

  static async connect(port: number): Promise<Host> {
    const socket = net.connect({ host: '127.0.0.1', port });
    await once(socket, 'connect');
    return new Host(socket);
  }

  send(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  end(): void {
    this.#socket.end();
  }

  /** The next bytes, of exactly that length. */
  async receive(length: number): Promise<Buffer> {
    while (this.#received.length < length) {
      if (this.#socket.destroyed) throw new Error('the connection ended');
      await new Promise<void>((resolve) => {
        this.#arrived = resolve;
      });
    }
    const bytes = this.#received.subarray(0, length);
    this.#received = this.#received.subarray(length);
    return bytes;
  }

  async echo(text: string): Promise<string> {
    this.send(Buffer.from(text));
    return (await this.receive(text.length)).toString();
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

describe('relay', () => {
  const echo = new Echo();
  let targetPort = 0;

  before(async () => {
    targetPort = await echo.start();
  });
  after(() => echo[Symbol.asyncDispose]());

  test('4 MiB each way: every byte arrives in order, and an end in order stays one', async () => {
    await using relay = await Relay.start(targetPort);
    using host = await Host.connect(relay.port);
    const sent = Buffer.alloc(4 * 2 ** 20, 'ashlar relay, ');
    host.send(sent);
    host.end();
    assert.ok((await host.receive(sent.length)).equals(sent));
    assert.equal(await host.ended, '');
  });

  test('a port that is taken: the start is refused, and says why', async () => {
    await assert.rejects(Relay.start(targetPort, targetPort), { code: 'EADDRINUSE' });
  });

  test('cut: both ends are reset, and the next connection works', async () => {
    await using relay = await Relay.start(targetPort);
    using host = await Host.connect(relay.port);
    assert.equal(await host.echo('before'), 'before');
    const [atTarget] = echo.sockets;
    assert.ok(atTarget !== undefined);
    const closed = new Promise((resolve) => {
      atTarget.on('close', resolve);
    });
    await relay.cut();
    assert.equal(await host.ended, 'ECONNRESET');
    assert.equal(await closed, true, 'the target heard of an error');
    assert.deepEqual(await relay.counts(), { port: relay.port, accepted: 1, open: 0 });
    using again = await Host.connect(relay.port);
    assert.equal(await again.echo('after'), 'after');
  });

  test('delay: what is sent takes at least as long, there and back', async () => {
    await using relay = await Relay.start(targetPort);
    using host = await Host.connect(relay.port);
    await relay.delay(40, 60);
    const from = performance.now();
    assert.equal(await host.echo('slow'), 'slow');
    const tookMs = performance.now() - from;
    assert.ok(tookMs >= 99, `${tookMs} ms`);
    await relay.delay(0, 0);
    assert.equal(await host.echo('fast'), 'fast');
  });

  test('refuse: new connections are refused, the old one goes on; accept: they work', async () => {
    await using relay = await Relay.start(targetPort);
    using host = await Host.connect(relay.port);
    // Once it has carried something, the relay has accepted it: the backlog ends with listening.
    assert.equal(await host.echo('young'), 'young');
    await relay.refuse();
    await assert.rejects(Host.connect(relay.port), { code: 'ECONNREFUSED' });
    assert.equal(await host.echo('old'), 'old');
    await relay.accept();
    using again = await Host.connect(relay.port);
    assert.equal(await again.echo('new'), 'new');
  });

  test('killed: the host is reset, and a new process is at the same port', async () => {
    await using relay = await Relay.start(targetPort);
    const { port, pid } = relay;
    using host = await Host.connect(port);
    assert.equal(await host.echo('first'), 'first');
    await relay.kill();
    await host.ended;
    await assert.rejects(Host.connect(port), { code: 'ECONNREFUSED' });
    await assert.rejects(relay.cut(), /it has no process/);
    await relay.start();
    assert.equal(relay.port, port);
    assert.notEqual(relay.pid, pid);
    using again = await Host.connect(port);
    assert.equal(await again.echo('second'), 'second');
  });

  test('stopped: connections are made and nothing comes out of them until it resumes', async () => {
    await using relay = await Relay.start(targetPort);
    using host = await Host.connect(relay.port);
    assert.equal(await host.echo('ready'), 'ready');
    await relay.stop();
    await assert.rejects(relay.cut(), /it is stopped/);
    const late = host.echo('late');
    using another = await Host.connect(relay.port);
    const later = another.echo('later');
    // Whatever goes past the relay arrives at once, so before this has come back.
    using direct = await Host.connect(targetPort);
    assert.equal(await direct.echo('direct'), 'direct');
    let silent = true;
    for (const each of [late, later]) void each.then(() => (silent = false));
    assert.equal(await direct.echo('again'), 'again');
    assert.ok(silent);
    relay.resume();
    assert.deepEqual(await Promise.all([late, later]), ['late', 'later']);
  });
});
