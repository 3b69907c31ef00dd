/** A receiver of spans: a real HTTP server that decodes what OTLP posts as JSON. */
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

type Value = { stringValue?: string; intValue?: number | string; boolValue?: boolean };

export interface ReceivedSpan {
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId: string;
  attributes: Record<string, string>;
  /** 2: it failed. */
  status: number;
  startNs: bigint;
  endNs: bigint;
}

interface OtlpSpan {
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  attributes?: { key: string; value: Value }[];
  status?: { code?: number };
  startTimeUnixNano: string;
  endTimeUnixNano: string;
}

interface OtlpPost {
  resourceSpans: {
    resource: { attributes: { key: string; value: Value }[] };
    scopeSpans: { spans: OtlpSpan[] }[];
  }[];
}

const plain = (list: { key: string; value: Value }[] = []): Record<string, string> =>
  Object.fromEntries(
    list.map(({ key, value }) => [
      key,
      String(value.stringValue ?? value.intValue ?? value.boolValue),
    ]),
  );

export class Receiver implements AsyncDisposable {
  readonly spans: ReceivedSpan[] = [];
  /** Headers of each post. */
  readonly posts: http.IncomingHttpHeaders[] = [];
  /** Everything that came, for what must not be in it. */
  text = '';
  resource: Record<string, string> = {};
  /** With what it answers. */
  status = 200;
  readonly #server: http.Server;

  private constructor(server: http.Server) {
    this.#server = server;
  }

  static async open(): Promise<Receiver> {
    const server = http.createServer();
    const receiver = new Receiver(server);
    server.on('request', (request, response) => receiver.#take(request, response));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  #take(request: http.IncomingMessage, response: http.ServerResponse): void {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      this.posts.push(request.headers);
      const text = Buffer.concat(pieces).toString();
      if (this.status === 200 && request.url === '/v1/traces') {
        this.text += text;
        this.#note(JSON.parse(text) as OtlpPost);
      }
      response.writeHead(this.status, { 'content-type': 'application/json' }).end('{}');
    });
  }

  #note({ resourceSpans }: OtlpPost): void {
    for (const { resource, scopeSpans } of resourceSpans) {
      this.resource = plain(resource.attributes);
      for (const span of scopeSpans.flatMap(({ spans }) => spans)) {
        this.spans.push({
          name: span.name,
          traceId: span.traceId,
          spanId: span.spanId,
          parentSpanId: span.parentSpanId ?? '',
          attributes: plain(span.attributes),
          status: span.status?.code ?? 0,
          startNs: BigInt(span.startTimeUnixNano),
          endNs: BigInt(span.endTimeUnixNano),
        });
      }
    }
  }

  named(name: string): ReceivedSpan[] {
    return this.spans.filter((span) => span.name === name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
