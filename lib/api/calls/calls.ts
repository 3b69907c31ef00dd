/**
 * What happens between a request that was checked and its answer: who may, whether the object is
 * still as it was seen, whether the change was made already, and what is written down of it.
 */
import type { Caller } from '../../access/types.js';
import { toAshlarError } from '../../errors.js';
import { KeyedLocks } from '../../volumes/locks.js';
import type { Input } from '../contract.js';
import { type Operation, type OperationId, operationIds, operations } from '../operations.js';
import type { Handlers } from '../server.js';
import { transfers } from '../transfer_names.js';
import { authorize } from './access.js';
import { type AuditTrail, withoutSecret } from './audit_trail.js';
import type { SealedCursors } from './cursors.js';
import { assertMatch } from './etags.js';
import { IdempotencyKeys, type KeptAnswer } from './idempotency.js';

/** A request whose parts fit the contract. */
export interface Call<K extends OperationId> {
  id: K;
  input: Input<K>;
  caller: Caller;
  /** Address of the caller; null at the control socket. */
  peer: string | null;
  signal: AbortSignal;
  ifMatch: string | undefined;
  idempotencyKey: string | undefined;
}

export interface CallAnswer extends KeptAnswer {
  /** Whether it is the answer of an earlier request with the same key. */
  replayed: boolean;
}

interface ImportInput {
  params: object;
  query: object;
}

export class Calls {
  readonly #handlers: Handlers;
  readonly #trail: AuditTrail;
  readonly #locks = new KeyedLocks();
  readonly #keys = new IdempotencyKeys();
  readonly #cursors: SealedCursors;

  constructor(handlers: Handlers, trail: AuditTrail, cursors: SealedCursors) {
    this.#cursors = cursors;
    this.#handlers = handlers;
    this.#trail = trail;
  }

  /** @throws AshlarError of the operation, and of {@link authorize}, ETags and keys. */
  async perform<K extends OperationId>(call: Call<K>): Promise<CallAnswer> {
    const operation: Operation = operations[call.id];
    const allowed = { ...call, input: authorize(operation, call.caller, call.input) };
    if (operation.method === 'GET') {
      const output = await this.#read(allowed);
      return { status: operation.status, output, replayed: false };
    }
    const change = () => this.#change(operation, allowed);
    if (call.idempotencyKey === undefined) return { ...(await change()), replayed: false };
    const { name, tenant, via } = call.caller;
    // What is kept has no secret, which is shown once; the first answer has.
    let first: KeptAnswer | null = null;
    const { answer, replayed } = await this.#keys.run(
      { via, tenant, name },
      call.idempotencyKey,
      [call.id, allowed.input],
      async () => {
        first = await change();
        return { ...first, output: withoutSecret(operation, first.output) };
      },
    );
    return { ...(first ?? answer), replayed };
  }

  /**
   * Writes down an import, whose body is no document.
   *
   * @param outcome its result, or an error's code.
   */
  async noteImport(
    { caller, peer, params, query }: Pick<Call<never>, 'caller' | 'peer'> & ImportInput,
    outcome: object | string,
  ): Promise<void> {
    const failed = typeof outcome === 'string';
    await this.#trail.changed({
      operation: transfers.importVolume,
      call: { id: 'importVolume', caller, peer, input: { params, query, body: {} } },
      before: null,
      after: failed ? null : outcome,
      outcome: failed ? outcome : 'done',
    });
  }

  async #read<K extends OperationId>(call: Call<K>): Promise<object> {
    const input = this.#cursors.opened(call, call.input);
    return this.#cursors.sealed(call, await this.#handle({ ...call, input }));
  }

  #handle<K extends OperationId>({ id, input, signal, caller }: Call<K>): Promise<object> {
    return this.#handlers[id](input, signal, caller);
  }

  /** Changes of one object run one after the other, so that If-Match holds until it is made. */
  async #change<K extends OperationId>(operation: Operation, call: Call<K>): Promise<KeptAnswer> {
    const { ifMatch } = call;
    const before = await this.#before(operation, call);
    if (before === null) {
      if (ifMatch !== undefined) assertMatch(ifMatch, null);
      return this.#changeNow(operation, call, null);
    }
    const key = `${operation.of} ${identityOf(before, call.input)}`;
    return this.#locks.hold(key, call.id, call.signal, async () => {
      const now = await this.#before(operation, call);
      if (ifMatch !== undefined) assertMatch(ifMatch, now);
      return this.#changeNow(operation, call, now);
    });
  }

  async #changeNow<K extends OperationId>(
    operation: Operation,
    call: Call<K>,
    before: object | null,
  ): Promise<KeptAnswer> {
    const written = { operation, call, before };
    let output: object;
    try {
      output = await this.#handle(call);
    } catch (thrown) {
      const error = toAshlarError(thrown);
      await this.#trail.changed({ ...written, outcome: error.code, after: null });
      throw thrown;
    }
    const after = withoutSecret(operation, output);
    await this.#trail.changed({ ...written, outcome: 'done', after });
    return { status: operation.status, output };
  }

  /** The object that a change is of, as it is now; null: there is none, or it is made by it. */
  async #before<K extends OperationId>(
    { of }: Operation,
    { input, signal, caller }: Call<K>,
  ): Promise<object | null> {
    const id = operationIds.find((each) => each === of);
    if (id === undefined) return null;
    try {
      // The operation that reads it has the same path parameters, and of the query at most these.
      const { tenant, id: which } = input.query as { tenant?: string; id?: string };
      const read = { params: input.params, query: { tenant, id: which }, body: {} };
      return await this.#handlers[id](read as never, signal, caller);
    } catch (thrown) {
      const error = toAshlarError(thrown);
      if (error.code === 'not-found' || error.code === 'conflict') return null;
      if (error.code === 'invalid-argument') return null; // The change itself says it better.
      throw error;
    }
  }
}

/** The same for every way in which the object can be named. */
function identityOf(object: object, input: { params: object }): string {
  for (const name of ['uuid', 'portalId', 'id', 'endpoint']) {
    if (name in object) return String(Reflect.get(object, name));
  }
  return JSON.stringify(input.params);
}
