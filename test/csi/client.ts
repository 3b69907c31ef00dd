/** A caller of the plugin, as a sidecar or the kubelet is. */
import { Client, credentials, type ServiceError } from '@grpc/grpc-js';
import { type Status, statusCodes } from '../../lib/csi/errors.js';
import type { Decoded, Encodable } from '../../lib/csi/wire/fields.js';
import { codecOf } from '../../lib/csi/wire/fields.js';
import { pathOf, type ServiceName, services } from '../../lib/csi/wire/services.js';

type Rpcs<S extends ServiceName> = keyof (typeof services)[S] & string;
type Asked<S extends ServiceName, R extends Rpcs<S>> = (typeof services)[S][R] extends {
  request: infer Q;
}
  ? Encodable<Q>
  : never;
type Answered<S extends ServiceName, R extends Rpcs<S>> = (typeof services)[S][R] extends {
  response: infer A;
}
  ? Decoded<A>
  : never;

/** An answer that was an error. */
export class Refused extends Error {
  constructor(
    readonly status: Status,
    message: string,
  ) {
    super(`${status}: ${message}`);
  }
}

export interface AskOptions {
  signal?: AbortSignal;
  deadlineMs?: number;
}

export class CsiClient implements Disposable {
  readonly #client: Client;

  /** `target`: `unix:PATH`, or `127.0.0.1:PORT`. */
  constructor(target: string) {
    this.#client = new Client(target, credentials.createInsecure());
  }

  /** @throws Refused */
  ask<S extends ServiceName, R extends Rpcs<S>>(
    service: S,
    rpc: R,
    request: Asked<S, R>,
    options: AskOptions = {},
  ): Promise<Answered<S, R>> {
    const { asked, answered } = codecs(service, rpc);
    return new Promise((resolve, reject) => {
      const call = this.#client.makeUnaryRequest(
        pathOf(service, rpc),
        asked,
        answered,
        request,
        deadline(options),
        (error, answer) => {
          if (error !== null) reject(refused(error));
          else resolve(answer as Answered<S, R>);
        },
      );
      options.signal?.addEventListener('abort', () => call.cancel(), { once: true });
    });
  }

  /** The messages of an answer that is a stream. @throws Refused */
  async *stream<S extends ServiceName, R extends Rpcs<S>>(
    service: S,
    rpc: R,
    request: Asked<S, R>,
    options: AskOptions = {},
  ): AsyncGenerator<Answered<S, R>> {
    const { asked, answered } = codecs(service, rpc);
    const path = pathOf(service, rpc);
    const call = this.#client.makeServerStreamRequest(
      path,
      asked,
      answered,
      request,
      deadline(options),
    );
    try {
      for await (const answer of call) yield answer as Answered<S, R>;
    } catch (thrown) {
      throw refused(thrown as ServiceError);
    } finally {
      call.cancel();
    }
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

function codecs<S extends ServiceName>(service: S, rpc: Rpcs<S>) {
  const found: unknown = services[service][rpc];
  const { request, response } = found as {
    request: Parameters<typeof codecOf>[0];
    response: Parameters<typeof codecOf>[0];
  };
  const [asked, answered] = [codecOf(request), codecOf(response)];
  return {
    asked: (value: unknown) => asked.encode(value as never),
    answered: (bytes: Buffer): unknown => answered.decode(bytes),
  };
}

function deadline({ deadlineMs = 60_000 }: AskOptions) {
  return { deadline: Date.now() + deadlineMs };
}

function refused({ code, details }: ServiceError): Refused {
  const found = Object.entries(statusCodes).find(([, number]) => number === code);
  return new Refused((found?.[0] ?? 'UNKNOWN') as Status, details);
}
