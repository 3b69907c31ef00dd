/** What is written down of every change: who, what, the object before and after, no secrets. */
import type { AuditLog } from '../../audit/log.js';
import type { Operation } from '../operations.js';
import type { Call } from './calls.js';

/** A change that was made, or refused. */
export interface Change {
  operation: Operation;
  call: Pick<Call<never>, 'caller' | 'peer'> & {
    id: string;
    input: { params: object; query: object; body: object };
  };
  before: object | null;
  /** null: it is gone, or nothing was changed. */
  after: object | null;
  /** 'done', or the code of the error. */
  outcome: string;
}

export class AuditTrail {
  readonly #log: AuditLog | null;

  constructor(log: AuditLog | null) {
    this.#log = log;
  }

  /** Written before the change is answered. */
  async changed({ operation, call, before, after, outcome }: Change): Promise<void> {
    const { caller, peer, id, input } = call;
    const { name, role, tenant, via } = caller;
    await this.#log?.write({
      time: new Date().toISOString(),
      who: { name, role, tenant, via, peer },
      what: id,
      of: { ...input.params, ...input.query },
      request: withoutSecret(operation, input.body),
      outcome,
      before,
      after: after === null || Object.keys(after).length === 0 ? null : after,
    });
  }
}

/** A document whose secret field, if the operation has one, is null. */
export function withoutSecret({ secret }: Operation, document: object): object {
  return secret !== undefined && secret in document ? { ...document, [secret]: null } : document;
}
