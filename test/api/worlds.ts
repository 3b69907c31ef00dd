/**
 * A node with two tenants, red and blue. Red does the same in every world and writes down all that
 * it is answered; what blue has, and does meanwhile, is another thing in each world.
 */
import assert from 'node:assert/strict';
import type { IncomingHttpHeaders } from 'node:http';
import { type Operation, type OperationId, operations } from '../../lib/api/operations.js';
import { streamType, transfers } from '../../lib/api/transfer_names.js';
import { newIdentity } from '../protocol/fixture.js';
import { ReservingHost } from '../protocol/reserving_host.js';
import { ApiFixture } from './fixture.js';

export const mib = 2 ** 20;
/** A host that both tenants know by the same NQN. */
export const sharedHost = 'nqn.2026-01.test:shared';

export type WorldOperation = OperationId | keyof typeof transfers;
const all: Readonly<Record<string, Operation>> = { ...operations, ...transfers };

/** A call of red's. */
export interface Step {
  id: WorldOperation;
  params?: Record<string, string>;
  query?: Record<string, string>;
  body?: object | Buffer;
  headers?: Record<string, string>;
  role?: 'admin' | 'viewer';
}

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
  /** What the body says, when it is a document. */
  document: Record<string, unknown>;
}

export class World implements AsyncDisposable {
  readonly api: ApiFixture;
  /** Everything that red was answered, without what is random or of the clock. */
  readonly transcript: string[] = [];
  readonly called = new Set<string>();
  readonly #secrets: { admin: string; viewer: string };
  /** By kind: what is random, numbered as it comes. */
  readonly #names = new Map<string, Map<string, number>>();
  readonly #hosts: ReservingHost[] = [];
  #waves = 0;

  private constructor(api: ApiFixture, secrets: { admin: string; viewer: string }) {
    this.api = api;
    this.#secrets = secrets;
  }

  static async open(): Promise<World> {
    const api = await ApiFixture.open();
    for (const name of ['blue', 'red']) await api.node.tenants.create(name);
    await api.node.policies.create('offered', { offered: true });
    const make = async (name: string, role: 'tenant-admin' | 'viewer') =>
      (await api.node.tokens.create({ name, role }, { tenant: 'red' })).secret ?? '';
    const admin = await make('red-admin', 'tenant-admin');
    return new World(api, { admin, viewer: await make('red-viewer', 'viewer') });
  }

  /** Does a step of red's, and writes down its answer. */
  async step(step: Step): Promise<Answer> {
    const { method, path } = all[step.id] ?? assert.fail(step.id);
    const url = path.replaceAll(/:([a-z]+)/gi, (_, name: string) =>
      encodeURIComponent(step.params?.[name] ?? assert.fail(`${step.id}: ${name}`)),
    );
    const query = new URLSearchParams(step.query).toString();
    const { body } = step;
    const type = Buffer.isBuffer(body) ? streamType : 'application/json';
    const answer = await this.api.rawBehindDoor({
      method,
      path: query === '' ? url : `${url}?${query}`,
      headers: {
        authorization: `Bearer ${this.#secrets[step.role ?? 'admin']}`,
        ...(body === undefined ? {} : { 'content-type': type }),
        ...step.headers,
      },
      ...(body === undefined ? {} : { body: Buffer.isBuffer(body) ? body : JSON.stringify(body) }),
    });
    this.called.add(step.id);
    const isDocument = String(answer.headers['content-type'] ?? '').includes('json');
    const text = isDocument ? answer.body.toString() : `${answer.body.length} bytes`;
    this.transcript.push(
      `${step.id} as ${step.role ?? 'admin'}: ${answer.status} ` +
        `${this.#plain(JSON.stringify(headersOf(answer.headers)))} ${this.#plain(text)}`,
    );
    return { ...answer, document: isDocument ? JSON.parse(answer.body.toString()) : {} };
  }

  /** All pages of a list, one item each. */
  async pages(id: OperationId, step: Omit<Step, 'id'> = {}): Promise<void> {
    let cursor: string | null = null;
    for (let pages = 0; pages < 6; pages += 1) {
      const paging: Record<string, string> = { limit: '1', ...(cursor === null ? {} : { cursor }) };
      const { document } = await this.step({ ...step, id, query: { ...step.query, ...paging } });
      cursor = typeof document.next === 'string' ? document.next : null;
      if (cursor === null) return;
    }
  }

  /** A host of red's or blue's that is connected, until the world ends. */
  async connect(tenant: 'red' | 'blue', volume: string): Promise<ReservingHost> {
    const { subnqn, nsid } = await this.api.node.volumes.show(volume, { tenant });
    const [portal] = this.api.node.portals.list();
    const identity = newIdentity(subnqn);
    const host = await ReservingHost.connect({ port: portal?.port ?? 0, nsid }, identity);
    this.#hosts.push(host);
    return host;
  }

  /** One of each of what a tenant can have, for blue. */
  async wave(): Promise<Record<string, string>> {
    this.#waves += 1;
    const { node } = this.api;
    const blue = { tenant: 'blue' };
    const name = `cobalt-${this.#waves}`;
    const nqn = `nqn.2026-01.test:${name}`;
    for (const volume of [name, `${name}-b`]) {
      await node.volumes.create({ name: volume, sizeBytes: BigInt(mib), hosts: [nqn] }, blue);
    }
    const [snapshot] = await node.snapshots.createGroup([name, `${name}-b`], 'noon', blue);
    await node.snapshots.grant(`${name}@noon`, nqn, blue);
    await node.volumes.clone(`${name}@noon`, { name: `${name}-c` }, blue);
    const cron = { cron: '0 3 29 2 *', volumes: [name], keep: { last: 1 } };
    await node.schedules.create({ name, ...cron }, blue);
    const key = { role: 'host', secret: null, hash: undefined, replace: false } as const;
    const { key: hostKey } = await node.hostKeys.set(nqn, key, blue);
    const psk = await node.psks.generate(nqn, 'sha256', blue);
    await node.tokens.create({ name, role: 'viewer' }, blue);
    const job = node.jobs.open({
      ...blue,
      kind: 'export',
      title: name,
      owner: name,
      cancellable: true,
    });
    job.succeed(null);
    const volume = await node.volumes.show(name, blue);
    const { items } = node.eventList.page({ ...blue, limit: 1 });
    return {
      volume: volume.uuid,
      snapshot: snapshot?.uuid ?? '',
      group: snapshot?.groupUuid ?? '',
      schedule: node.schedules.show(name, blue).uuid,
      host: nqn,
      fingerprint: hostKey.fingerprint,
      psk: psk.id,
      token: name,
      job: job.id,
      event: items[0]?.id ?? '',
      tenant: 'blue',
    };
  }

  /** Blue has a great many, more than is kept of them. */
  async flood(): Promise<void> {
    const { node } = this.api;
    const blue = { tenant: 'blue' };
    for (let count = 0; count < 50; count += 1) await this.wave();
    await node.hosts.add(sharedHost, blue);
    for (let count = 0; count < 4; count += 1) await node.psks.generate(sharedHost, 'sha256', blue);
    for (let count = 0; count < 1100; count += 1) {
      await node.hosts.add(`nqn.2026-01.test:blue:${count}`, blue);
      const title = `job ${count}`;
      const job = { ...blue, kind: 'export', title, owner: 'x', cancellable: true } as const;
      if (count < 1040) node.jobs.open(job).succeed(null);
      else {
        const open = node.jobs.open(job);
        open.signal.addEventListener('abort', () => open.fail(new Error('closing')));
      }
    }
    for (const volume of ['cobalt-1', 'cobalt-2', 'cobalt-3']) {
      await node.grants.add(volume, '*', blue);
      await (await this.connect('blue', volume)).register(9n);
    }
  }

  /** What differs from run to run, by its kind and the order in which it came. */
  #plain(text: string): string {
    const named = (kind: string) => (found: string) => {
      const known = this.#names.get(kind) ?? new Map<string, number>();
      this.#names.set(kind, known);
      const number = known.get(found) ?? known.size;
      known.set(found, number);
      return `<${kind} ${number}>`;
    };
    return text
      .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '<time>')
      .replaceAll(/(?<="atMs":)[\d.]+/g, '<time>')
      .replaceAll(/(?<="(?:read|write)Latency":)\[[^\]]*\]/g, '<latencies>')
      .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, named('uuid'))
      .replaceAll(/(?<="nguid":")[0-9a-f]{32}/g, named('nguid'))
      .replaceAll(/(?<="(?:fingerprint|id)":")[0-9a-f]{12}/g, named('print'))
      .replaceAll(/(?<=(?:key|PSK|keys already,) )[0-9a-f]{12}\b/g, named('print'))
      .replaceAll(/(?<=keys already, <print \d+> and )[0-9a-f]{12}\b/g, named('print'))
      .replaceAll(/nightly-\d{4}-\d\d-\d\dT\d\d-\d\d/g, 'nightly-<time>')
      .replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d UTC/g, '<time>')
      .replaceAll(/ashlar_[\w-]{43}|DHHC-1:[^"]+|NVMeTLSkey-1:[^"]+/g, '<secret>')
      .replaceAll(/(?<="next":")[\w-]+/g, ({ length }) => `<cursor of ${length}>`)
      .replaceAll(/(?<=127\.0\.0\.1:)\d+|(?<="port":)\d+/g, '<port>');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const host of this.#hosts) await host[Symbol.asyncDispose]();
    await this.api[Symbol.asyncDispose]();
  }
}

/** An entity tag is of bytes with UUIDs in them; a length, of ports. */
function headersOf(headers: IncomingHttpHeaders): object {
  const { date: _, 'content-length': __, etag, ...rest } = headers;
  return { ...rest, ...(etag === undefined ? {} : { etag: etag.replaceAll(/[\w-]{16}/g, 'X') }) };
}
