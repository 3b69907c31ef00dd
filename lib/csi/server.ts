/**
 * gRPC over a unix socket: which handler an RPC goes to, what an error becomes, and what is logged.
 */
import fs from 'node:fs';
import path from 'node:path';
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type ServiceError,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { inspectSocket } from '../api/socket.js';
import { checkSocketPath } from '../config/socket_path.js';
import { AshlarError, toAshlarError } from '../errors.js';
import { type CsiError, statusCodes, toCsiError } from './errors.js';
import { codecOf, type MessageTable } from './wire/fields.js';
import {
  pathOf,
  type RequestOf,
  type ResponseOf,
  type Rpc,
  type ServiceName,
  services,
} from './wire/services.js';

/** What a handler knows of the call beside the request. */
export interface CsiCall {
  /** Aborted when the caller cancels, or its deadline passes. */
  readonly signal: AbortSignal;
  /** Says which RPC it is in every line. */
  readonly log: Logger;
}

/** All RPCs of a service. */
export type Handlers<S extends ServiceName> = {
  readonly [R in keyof (typeof services)[S]]: (
    request: RequestOf<S, R>,
    call: CsiCall,
  ) => (typeof services)[S][R] extends Rpc<unknown, unknown> & { streams: true }
    ? AsyncIterable<ResponseOf<S, R>>
    : Promise<ResponseOf<S, R>>;
};

/** Services to serve; what is null is not there, and answers UNIMPLEMENTED. */
export type ServedServices = { readonly [S in ServiceName]: Handlers<S> | null };

export interface CsiServerOptions {
  /** Path of the socket; made with mode 0600, and taken from a plugin that died. */
  socket: string;
  services: ServedServices;
  logger: Logger;
}

/** A group snapshot of 64 volumes with all their texts has less than 64 KiB. */
const maxMessageBytes = 4 << 20;

type AnyHandler = (request: never, call: CsiCall) => unknown;

/** A plugin's server; close it to end. */
export class CsiServer implements AsyncDisposable {
  private constructor(
    readonly socket: string,
    private readonly server: Server,
    private readonly closing: AbortController,
  ) {}

  /** @throws AshlarError address-in-use, permission-denied, invalid-argument and of its folder. */
  static async open({ socket, services: served, logger }: CsiServerOptions): Promise<CsiServer> {
    const server = new Server({
      'grpc.max_receive_message_length': maxMessageBytes,
      'grpc.max_send_message_length': maxMessageBytes,
    });
    const closing = new AbortController();
    const all: Readonly<Record<string, object | null>> = served;
    for (const [name, rpcs] of Object.entries(services)) {
      const handlers = all[name] ?? null;
      if (handlers === null) continue;
      server.addService(...serviceOf(name, rpcs, handlers, logger, closing.signal));
    }
    await makeRoom(socket);
    // Whoever may write to it is root on this node: nobody else is let in, from the first moment.
    const mask = process.umask(0o177);
    try {
      await new Promise<void>((resolve, reject) => {
        server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) => {
          if (error === null) resolve();
          else reject(cannotListen(socket, error));
        });
      });
    } finally {
      process.umask(mask);
    }
    return new CsiServer(socket, server, closing);
  }

  /** Takes no more calls; those under way have `graceMs` to end, and are cancelled then. */
  async close(graceMs = 5_000): Promise<void> {
    const late = setTimeout(() => {
      this.closing.abort();
      this.server.forceShutdown();
    }, graceMs);
    await new Promise<void>((resolve) => {
      this.server.tryShutdown(() => resolve());
    });
    clearTimeout(late);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** A socket on which nobody listens is left of a plugin that was killed. */
async function makeRoom(socket: string): Promise<void> {
  checkSocketPath(socket, 'the CSI socket');
  const taken = (what: string) => new AshlarError('address-in-use', `'${socket}' ${what}`);
  try {
    await fs.promises.mkdir(path.dirname(socket), { recursive: true });
    const { kind } = await inspectSocket(socket);
    switch (kind) {
      case 'nothing':
        return;
      case 'stale':
        return await fs.promises.rm(socket, { force: true });
      case 'no-socket':
        throw taken('is there and is no socket; remove it');
      case 'living':
      case 'forbidden':
        throw taken('is taken: another plugin serves there; end it first');
    }
  } catch (thrown) {
    throw cannotListen(socket, thrown);
  }
}

function cannotListen(socket: string, thrown: unknown): AshlarError {
  const { code, message } = toAshlarError(thrown);
  if (thrown instanceof AshlarError) return thrown;
  return new AshlarError(code, `cannot serve at '${socket}': ${message}`, { cause: thrown });
}

type Rpcs = Readonly<Record<string, Rpc<MessageTable, MessageTable>>>;

function serviceOf(
  service: string,
  rpcs: Rpcs,
  handlers: object,
  logger: Logger,
  closing: AbortSignal,
): [ServiceDefinition, UntypedServiceImplementation] {
  const definition: Record<string, ServiceDefinition[string]> = {};
  const implementation: UntypedServiceImplementation = {};
  for (const [name, { request, response, streams }] of Object.entries(rpcs)) {
    const handler = handlerOf(handlers, name);
    const [asked, answered] = [codecOf(request), codecOf(response)];
    definition[name] = {
      path: pathOf(service, name),
      requestStream: false,
      responseStream: streams,
      requestSerialize: (value: unknown) => asked.encode(value as never),
      requestDeserialize: (bytes) => asked.decode(bytes),
      responseSerialize: (value: unknown) => answered.encode(value as never),
      responseDeserialize: (bytes) => answered.decode(bytes),
    };
    const log = logger.child({ rpc: name });
    implementation[name] = streams
      ? streamed(handler, log, closing)
      : answeredOnce(handler, log, closing);
  }
  return [definition, implementation];
}

/** Types promise that it is there; a class keeps it on its prototype. */
function handlerOf(handlers: object, name: string): AnyHandler {
  const handler: unknown = Reflect.get(handlers, name);
  if (typeof handler !== 'function') throw new RangeError(`nobody answers ${name}`);
  return (request, call) => Reflect.apply(handler, handlers, [request, call]);
}

function answeredOnce(
  handler: AnyHandler,
  log: Logger,
  closing: AbortSignal,
): handleUnaryCall<unknown, unknown> {
  return (call, answer) => {
    const signal = follow(call, closing);
    const line = lineOf(log, call.request);
    Promise.resolve()
      .then(() => handler(call.request as never, { signal, log }))
      .then(
        (response) => {
          line.done();
          answer(null, response);
        },
        (thrown: unknown) => {
          answer(refusal(line.failed(thrown)));
        },
      );
  };
}

function streamed(
  handler: AnyHandler,
  log: Logger,
  closing: AbortSignal,
): handleServerStreamingCall<unknown, unknown> {
  return (call) => {
    const signal = follow(call, closing);
    const line = lineOf(log, call.request);
    const send = async (): Promise<void> => {
      const responses = handler(call.request as never, { signal, log });
      for await (const response of responses as AsyncIterable<unknown>) {
        signal.throwIfAborted();
        if (call.write(response)) continue;
        // The reader is slower than we are: nothing more is made until it has caught up.
        await new Promise<void>((resolve) => {
          call.once('drain', resolve);
          signal.addEventListener('abort', () => resolve(), { once: true });
        });
      }
    };
    send().then(
      () => {
        line.done();
        call.end();
      },
      (thrown: unknown) => {
        call.emit('error', refusal(line.failed(thrown)));
      },
    );
  };
}

/** Aborted with the call, and with the server. */
function follow(
  call: { on(event: 'cancelled', listener: () => void): unknown },
  closing: AbortSignal,
): AbortSignal {
  const cancelled = new AbortController();
  call.on('cancelled', () => cancelled.abort());
  return AbortSignal.any([cancelled.signal, closing]);
}

function refusal({ status, message }: CsiError): ServiceError {
  const code = statusCodes[status];
  return Object.assign(new Error(message), { code, details: message, metadata: new Metadata() });
}

/** Of looks, which come every few seconds, a line is written only when they fail. */
const looks = /^(probe|.*GetCapabilities|get.*|list.*|nodeGet.*|controllerGet.*|validate.*)$/;

/** One line when the call has ended; of the request only what is no secret. */
function lineOf(log: Logger, request: unknown) {
  const startedMs = performance.now();
  const rpc = String(log.bindings()['rpc']);
  const about = { ...subjects(request) };
  const ms = () => Math.round(performance.now() - startedMs);
  return {
    done: (): void => {
      log[looks.test(rpc) ? 'debug' : 'info']({ ...about, ms: ms() }, `${rpc} done`);
    },
    failed: (thrown: unknown): CsiError => {
      const error = toCsiError(thrown);
      const { status, message } = error;
      const ours = status === 'INTERNAL';
      const cause = ours ? { err: error.cause ?? error } : {};
      log[ours ? 'error' : 'warn']({ ...about, ms: ms(), status, ...cause }, `${rpc}: ${message}`);
      return error;
    },
  };
}

const told = ['name', 'volumeId', 'nodeId', 'snapshotId', 'sourceVolumeId', 'groupSnapshotId'];
const toldPaths = ['stagingTargetPath', 'targetPath', 'volumePath'];

function subjects(request: unknown): Record<string, string> {
  const fields: Readonly<Record<string, unknown>> = { ...(request as object) };
  const parts = [...told, ...toldPaths].flatMap((name): [string, string][] => {
    const value = fields[name];
    return typeof value === 'string' && value !== '' ? [[name, value]] : [];
  });
  return Object.fromEntries(parts);
}
