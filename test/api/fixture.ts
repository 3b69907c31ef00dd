/** The API on a real socket, above a real node whose pool is in memory. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { pino } from 'pino';
import { Check } from 'typebox/schema';
import { ApiClient } from '../../lib/api/client.js';
import { type Encoding, encode, mediaTypes } from '../../lib/api/codec.js';
import { contract } from '../../lib/api/contract.js';
import { nodeHandlers } from '../../lib/api/handlers.js';
import type { OperationId } from '../../lib/api/operations.js';
import { type ApiServer, serveApi } from '../../lib/api/server.js';
import { claimSocket } from '../../lib/api/socket.js';
import { AuditLog } from '../../lib/audit/log.js';
import { findings } from '../../lib/config/explain.js';
import { openNode } from '../../lib/node/node.js';
import type { Node } from '../../lib/node/types.js';
import { Conformance, Door } from './conformance.js';

export const logger = pino({ level: 'silent' });

/** A folder that is removed in the end. */
export class Folder implements Disposable {
  readonly path = fs.mkdtempSync(path.join(os.tmpdir(), 'ashlar-api-'));

  file(name: string): string {
    return path.join(this.path, name);
  }

  [Symbol.dispose](): void {
    fs.rmSync(this.path, { recursive: true, force: true });
  }
}

/** An answer before any decoding. */
export interface RawAnswer {
  status: number;
  headers: http.IncomingHttpHeaders;
  body: Buffer;
}

export interface RawRequest {
  method: string;
  path: string;
  headers?: Record<string, string>;
  body?: Buffer | string;
}

export class ApiFixture implements AsyncDisposable {
  readonly folder: Folder;
  readonly node: Node;
  readonly server: ApiServer;
  readonly client: ApiClient;
  /** Looks at every answer that goes through {@link socket}. */
  readonly conformance: Conformance;
  readonly #door: Door;
  readonly #audit: AuditLog;

  private constructor(
    folder: Folder,
    node: Node,
    server: ApiServer,
    audit: AuditLog,
    conformance: Conformance,
    door: Door,
  ) {
    this.folder = folder;
    this.node = node;
    this.server = server;
    this.#audit = audit;
    this.conformance = conformance;
    this.#door = door;
    this.client = new ApiClient({ socket: door.socket });
  }

  /** Where clients connect; the API's own socket is behind it. */
  get socket(): string {
    return this.#door.socket;
  }

  static async open(): Promise<ApiFixture> {
    const folder = new Folder();
    const socket = folder.file('api.sock');
    const node = await openNode(
      {
        pool: {
          device: { kind: 'memory', sizeBytes: 256n << 20n },
          create: { sizeBytes: null, journalBytes: null },
          writeThrough: false,
          mapCacheBytes: null,
        },
        runtime: { reactors: 1, cpus: null, bufferBytes: 8n << 20n, busyPollUs: 0 },
        portals: [{ address: '127.0.0.1', port: 0, discoveryOnly: false }],
        cntlids: { first: 1, last: 100 },
        eventFile: folder.file('events.log'),
        demo: null,
      },
      logger,
    );
    const found = await claimSocket(socket);
    const auditFile = { path: folder.file('audit.log'), maxBytes: 1 << 20, keep: 2 };
    const audit = await AuditLog.open(auditFile, logger);
    const server = await serveApi({
      handlers: nodeHandlers(node),
      streams: node.streams,
      tokens: node.tokens,
      sessions: node.sessions,
      jobs: node.jobs,
      audit,
      eventCursorKey: node.eventList.cursorKey,
      logger,
      socket,
      found,
    });
    const conformance = new Conformance();
    const door = await Door.open(server.socket, conformance);
    return new ApiFixture(folder, node, server, audit, conformance, door);
  }

  /** A request as any program could send it. */
  raw(request: RawRequest): Promise<RawAnswer> {
    return rawRequest(this.socket, request);
  }

  /** Of what is no operation, and so not in the OpenAPI document. */
  rawBehindDoor(request: RawRequest): Promise<RawAnswer> {
    return rawRequest(this.server.socket, request);
  }

  /** A request with a body in one of the encodings, answered in the same. */
  send(
    method: string,
    url: string,
    body: unknown,
    encoding: Encoding = 'json',
  ): Promise<RawAnswer> {
    const type = mediaTypes[encoding];
    return this.raw({
      method,
      path: url,
      headers: { accept: type, 'content-type': type },
      body: encode(body, encoding),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close();
    await this.#door[Symbol.asyncDispose]();
    await this.server.close();
    await this.node.close();
    await this.#audit.close();
    this.folder[Symbol.dispose]();
    assert.deepEqual(this.conformance.departures, [], 'answers depart from openapi.json');
  }
}

export function rawRequest(socketPath: string, request: RawRequest): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const { method, path: url, headers = {}, body } = request;
    const sent = http.request(
      { socketPath, method, path: url, headers, agent: false },
      (answer) => {
        const pieces: Buffer[] = [];
        answer.on('data', (piece: Buffer) => pieces.push(piece));
        answer.on('error', reject);
        answer.on('end', () => {
          resolve({
            status: answer.statusCode ?? 0,
            headers: answer.headers,
            body: Buffer.concat(pieces),
          });
        });
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

/** Everything in which an answer departs from the contract; empty: it conforms. */
export function departures(id: OperationId, answer: unknown): string[] {
  const schema = contract[id].response;
  if (Check(schema, answer)) return [];
  return findings(schema, answer).map(({ path: at, message }) => `${at.join('.')} ${message}`);
}
