/**
 * Every answer of the API held against its OpenAPI document: what a client sees goes through here
 * on its way. The judge is ajv, which shares no code with the library that checks requests.
 */
import http from 'node:http';
import path from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { decode } from '../../lib/api/codec.js';
import { type OpenApiDocument, openApiDocument } from '../../lib/api/openapi/document.js';

interface Media {
  schema?: object;
}
interface Answer {
  content?: Record<string, Media>;
}
interface Described {
  operationId: string;
  responses: Record<string, Answer>;
}

/** What was asked and answered. */
export interface Exchange {
  method: string;
  path: string;
  status: number;
  type: string;
  body: Buffer;
  /** The body of the request. */
  request: Buffer;
}

export class Conformance {
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true });
  readonly #paths: { pattern: RegExp; methods: Record<string, Described> }[];
  readonly #components: unknown;
  /** `operationId status`, as often as it was seen. */
  readonly seen = new Map<string, number>();
  readonly departures: string[] = [];
  /** Told of every operation that was called. */
  heard: (operationId: string, exchange: Exchange) => void = () => undefined;

  constructor(document: OpenApiDocument = openApiDocument('0.0.0')) {
    addFormats.default(this.#ajv);
    const plain = JSON.parse(JSON.stringify(document)) as {
      paths: Record<string, Record<string, Described>>;
      components: unknown;
    };
    this.#components = plain.components;
    // A path without a template goes before one with it, as OpenAPI says.
    const variables = ([template]: [string, unknown]): number => template.split('{').length;
    const paths = Object.entries(plain.paths).sort((a, b) => variables(a) - variables(b));
    this.#paths = paths.map(([template, methods]) => {
      const pattern = template.replaceAll(/\{[a-z]+\}/gi, '[^/]+');
      return { pattern: new RegExp(`^${pattern}$`), methods };
    });
  }

  /** Operations that were answered with success at least once. */
  get succeeded(): Set<string> {
    const done = [...this.seen.keys()].filter((key) => / [23]\d\d$/.test(key));
    return new Set(done.map((key) => key.split(' ')[0] ?? ''));
  }

  look(exchange: Exchange): void {
    const { method, status } = exchange;
    const url = exchange.path.split('?')[0] ?? '';
    const found = this.#paths.find(({ pattern }) => pattern.test(url));
    const operation = found?.methods[method.toLowerCase()];
    const what = `${method} ${exchange.path} ${status}`;
    if (operation === undefined) {
      // No such operation: only an error can be the answer, and it is a problem like any other.
      if (status < 400) this.departures.push(`${what}: the document has no such operation`);
      else this.#judge(what, this.#problem(), exchange);
      return;
    }
    const key = `${operation.operationId} ${status}`;
    this.seen.set(key, (this.seen.get(key) ?? 0) + 1);
    this.heard(operation.operationId, exchange);
    const answer =
      operation.responses[String(status)] ?? operation.responses[`${String(status)[0]}XX`];
    if (answer === undefined) this.departures.push(`${what}: the document has no such status`);
    else this.#judge(what, answer, exchange);
  }

  #problem(): Answer {
    return this.#paths[0]?.methods.get?.responses['4XX'] ?? {};
  }

  #judge(what: string, answer: Answer, { type, body }: Exchange): void {
    if (answer.content === undefined) {
      if (body.length > 0) this.departures.push(`${what}: has a body, and should not`);
      return;
    }
    const media = answer.content[type.split(';')[0] ?? ''];
    if (media === undefined) {
      this.departures.push(`${what}: is of type '${type}', and should not`);
      return;
    }
    if (media.schema === undefined) return;
    const schema = { ...media.schema, components: this.#components };
    const value = decode(body, type.includes('msgpack') ? 'msgpack' : 'json');
    const valid = this.#ajv.compile(schema);
    if (valid(value)) return;
    this.departures.push(`${what}: ${this.#ajv.errorsText(valid.errors)}`);
  }
}

/** A door before the API's socket that looks at everything that goes through. */
export class Door implements AsyncDisposable {
  readonly socket: string;
  readonly #server: http.Server;

  private constructor(socket: string, server: http.Server) {
    this.socket = socket;
    this.#server = server;
  }

  static async open(behind: string, conformance: Conformance): Promise<Door> {
    const socket = path.join(path.dirname(behind), 'door.sock');
    const server = http.createServer((request, reply) => pass(behind, conformance, request, reply));
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    return new Door(socket, server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function pass(
  behind: string,
  conformance: Conformance,
  request: http.IncomingMessage,
  reply: http.ServerResponse,
): void {
  const { method = 'GET', url = '/', headers } = request;
  const sent: Buffer[] = [];
  request.on('data', (piece: Buffer) => sent.push(piece));
  const onward = http.request({ socketPath: behind, method, path: url, headers, agent: false });
  onward.on('response', (answer) => {
    const status = answer.statusCode ?? 0;
    const pieces: Buffer[] = [];
    reply.writeHead(status, answer.headers);
    answer.on('data', (piece: Buffer) => {
      pieces.push(piece);
      reply.write(piece);
    });
    answer.on('end', () => {
      const type = String(answer.headers['content-type'] ?? '');
      const [body, asked] = [Buffer.concat(pieces), Buffer.concat(sent)];
      conformance.look({ method, path: url, status, type, body, request: asked });
      if (Object.keys(answer.trailers).length > 0) {
        reply.addTrailers(
          Object.entries(answer.trailers).map(([name, value]): [string, string] => [
            name,
            value ?? '',
          ]),
        );
      }
      reply.end();
    });
    answer.on('error', () => reply.destroy());
  });
  onward.on('error', () => reply.destroy());
  reply.on('close', () => {
    if (!reply.writableFinished) onward.destroy();
  });
  request.pipe(onward);
}
