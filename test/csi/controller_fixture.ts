/** Controllers over real daemons in this process, asked as gRPC would ask them. */
import assert from 'node:assert/strict';
import type { Logger } from 'pino';
import { ApiClient } from '../../lib/api/client.js';
import type { EndpointSettings } from '../../lib/csi/config.js';
import { type ApiCaller, Connections } from '../../lib/csi/controller/connections.js';
import {
  type ControllerOptions,
  type ControllerServices,
  controllerServices,
} from '../../lib/csi/controller/services.js';
import { CsiError, type Status, toCsiError } from '../../lib/csi/errors.js';
import { nodeIdOf, zoneKey } from '../../lib/csi/names.js';
import type { CsiCall } from '../../lib/csi/server.js';
import { codecOf, type Decoded, type Encodable } from '../../lib/csi/wire/fields.js';
import type * as m from '../../lib/csi/wire/messages.js';
import { type ServiceName, services } from '../../lib/csi/wire/services.js';
import { ApiFixture, logger } from '../api/fixture.js';

export const MiB = 1n << 20n;

type Served = Extract<ServiceName, 'Controller' | 'GroupController' | 'SnapshotMetadata'>;
type Rpcs<S extends Served> = keyof (typeof services)[S] & string;
type Asked<S extends Served, R extends Rpcs<S>> = (typeof services)[S][R] extends {
  request: infer Q;
}
  ? Encodable<Q>
  : never;
type Answered<S extends Served, R extends Rpcs<S>> = (typeof services)[S][R] extends {
  response: infer A;
}
  ? Decoded<A>
  : never;

/** What there is at all daemons, by which leaks are counted. */
export interface Contents {
  volumes: string[];
  snapshots: string[];
  grants: string[];
  hosts: string[];
  schedules: string[];
}

export const nodeA = nodeIdOf('11111111-1111-4111-8111-111111111111');
export const nodeB = nodeIdOf('22222222-2222-4222-8222-222222222222');

export const writer: Encodable<typeof m.VolumeCapability> = {
  mount: { fsType: 'ext4' },
  accessMode: { mode: 'SINGLE_NODE_WRITER' },
};

/** A capability of block (or, with a file system, mount) access. */
export function capability(
  mode: m.AccessModeName,
  fsType?: string,
): Encodable<typeof m.VolumeCapability> {
  const accessMode = { mode };
  return fsType === undefined ? { block: {}, accessMode } : { mount: { fsType }, accessMode };
}

/** What lies between a controller and a daemon; see cuts.ts. */
export type Wrap = (caller: ApiCaller) => ApiCaller;

export class ControllerFixture implements AsyncDisposable {
  readonly daemons: readonly ApiFixture[];
  /** One for each daemon, right at its API: whether answers conform is looked at elsewhere. */
  readonly clients: readonly ApiClient[];
  readonly settings: readonly EndpointSettings[];
  readonly services: ControllerServices;
  readonly log: Logger = logger;
  readonly connect: (settings: EndpointSettings) => ApiCaller;
  readonly #own: boolean;

  private constructor(
    daemons: readonly ApiFixture[],
    settings: readonly EndpointSettings[],
    own: boolean,
    wrap: Wrap,
    options: Partial<ControllerOptions>,
  ) {
    this.daemons = daemons;
    this.clients = daemons.map(({ server }) => new ApiClient({ socket: server.socket }));
    this.settings = settings;
    this.#own = own;
    this.connect = (each) => wrap(new Connections(each));
    this.services = controllerServices({
      endpoints: settings,
      logger,
      connect: this.connect,
      ...options,
    });
  }

  /** Daemons 'a', 'b' … in zones of these names. */
  static async open(
    count = 1,
    options: Partial<ControllerOptions> & { wrap?: Wrap } = {},
  ): Promise<ControllerFixture> {
    const daemons = await Promise.all(Array.from({ length: count }, () => ApiFixture.open()));
    const settings = daemons.map((daemon, index) =>
      endpointSettings('abcdefgh'.charAt(index), daemon.server.socket),
    );
    const { wrap = (caller) => caller, ...rest } = options;
    return new ControllerFixture(daemons, settings, true, wrap, rest);
  }

  /** Another controller of the same daemons. */
  beside(options: Partial<ControllerOptions> & { wrap?: Wrap } = {}): ControllerFixture {
    const { wrap = (caller) => caller, ...rest } = options;
    return new ControllerFixture(this.daemons, this.settings, false, wrap, rest);
  }

  /** Of the first daemon. */
  get client(): ApiClient {
    const [first] = this.clients;
    assert.ok(first);
    return first;
  }

  /** As over gRPC: everything through its bytes. @throws CsiError */
  async ask<R extends Rpcs<'Controller'>>(
    rpc: R,
    request: Asked<'Controller', R>,
    signal?: AbortSignal,
  ): Promise<Answered<'Controller', R>> {
    return this.#ask('Controller', rpc, request, signal) as Promise<Answered<'Controller', R>>;
  }

  async askGroup<R extends Rpcs<'GroupController'>>(
    rpc: R,
    request: Asked<'GroupController', R>,
    signal?: AbortSignal,
  ): Promise<Answered<'GroupController', R>> {
    const answer = await this.#ask('GroupController', rpc, request, signal);
    return answer as Answered<'GroupController', R>;
  }

  /** All messages of the stream. */
  async askMetadata<R extends Rpcs<'SnapshotMetadata'>>(
    rpc: R,
    request: Asked<'SnapshotMetadata', R>,
    signal: AbortSignal = new AbortController().signal,
  ): Promise<Answered<'SnapshotMetadata', R>[]> {
    const { request: asked, response } = tableOf('SnapshotMetadata', rpc);
    const decoded = codecOf(asked).decode(codecOf(asked).encode(request as never));
    const handlers = this.services.SnapshotMetadata;
    const messages: Answered<'SnapshotMetadata', R>[] = [];
    try {
      const stream: unknown = handlers[rpc](decoded as never, { signal, log: logger });
      for await (const message of stream as AsyncIterable<unknown>) {
        const codec = codecOf(response);
        const bytes = codec.encode(message as never);
        messages.push(codec.decode(bytes) as unknown as Answered<'SnapshotMetadata', R>);
      }
      return messages;
    } catch (thrown) {
      throw toCsiError(thrown);
    }
  }

  async #ask(
    service: Served,
    rpc: string,
    request: object,
    signal: AbortSignal = new AbortController().signal,
  ): Promise<unknown> {
    const table = tableOf(service, rpc);
    const decoded = codecOf(table.request).decode(codecOf(table.request).encode(request as never));
    const handlers: unknown = Reflect.get(this.services, service);
    const handler: unknown = Reflect.get(handlers as object, rpc);
    assert.ok(typeof handler === 'function', rpc);
    const call: CsiCall = { signal, log: logger };
    try {
      const answer: unknown = await Reflect.apply(handler, handlers, [decoded, call]);
      const codec = codecOf(table.response);
      return codec.decode(codec.encode(answer as never));
    } catch (thrown) {
      throw toCsiError(thrown);
    }
  }

  /** Volumes, grants and whatever else there is, sorted. */
  async contents(): Promise<Contents> {
    const all: Contents = { volumes: [], snapshots: [], grants: [], hosts: [], schedules: [] };
    for (const [index, client] of this.clients.entries()) {
      const at = (text: string) => `${this.settings[index]?.name}: ${text}`;
      for (const item of await client.list('listVolumes')) {
        all.volumes.push(at(`${item.tenant}/${item.name} ${item.uuid} ${item.sizeBytes}`));
      }
      for (const item of await client.list('listSnapshots')) {
        all.snapshots.push(at(`${item.tenant}/${item.reference} ${item.groupUuid}`));
      }
      for (const item of await client.list('listGrants')) {
        all.grants.push(at(`${item.tenant}/${item.volume} ${item.host} ${item.access}`));
      }
      for (const item of await client.list('listHosts')) {
        all.hosts.push(at(`${item.tenant}/${item.nqn}`));
      }
      for (const item of await client.list('listSchedules')) {
        all.schedules.push(at(`${item.tenant}/${item.name} ${item.volumes.join(',')}`));
      }
    }
    return all;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.services[Symbol.asyncDispose]();
    for (const client of this.clients) await client.close();
    if (!this.#own) return;
    for (const daemon of this.daemons) await daemon[Symbol.asyncDispose]();
  }
}

function tableOf(service: Served, rpc: string) {
  const table: unknown = Reflect.get(services[service], rpc);
  assert.ok(typeof table === 'object' && table !== null, rpc);
  return table as (typeof services)['Controller']['createVolume'];
}

export function endpointSettings(name: string, socket: string): EndpointSettings {
  return {
    name,
    urls: [],
    socket,
    tokenFile: null,
    ca: null,
    cert: null,
    key: null,
    portals: [],
    topology: { [zoneKey]: name },
  };
}

/** That it is refused with exactly this status, and a text that has all of `words` in it. */
export async function refused(
  promise: Promise<unknown>,
  status: Status,
  ...words: readonly (string | RegExp)[]
): Promise<CsiError> {
  try {
    await promise;
  } catch (thrown) {
    assert.ok(thrown instanceof CsiError, String(thrown));
    assert.equal(thrown.status, status, thrown.message);
    for (const word of words) {
      if (typeof word === 'string') assert.ok(thrown.message.includes(word), thrown.message);
      else assert.match(thrown.message, word);
    }
    return thrown;
  }
  assert.fail(`it was not refused (${status} expected)`);
}

/** That it is refused so, and that nothing is left of it. */
export async function refusedWithoutTrace(
  fixture: ControllerFixture,
  call: () => Promise<unknown>,
  status: Status,
  ...words: readonly (string | RegExp)[]
): Promise<void> {
  const before = await fixture.contents();
  await refused(call(), status, ...words);
  assert.deepEqual(await fixture.contents(), before, 'something is left of a refused call');
}
