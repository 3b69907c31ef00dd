/** What the operations on tokens do; see handlers.ts. */
import type { Caller } from '../../access/types.js';
import { AshlarError } from '../../errors.js';
import type { Node } from '../../node/types.js';
import type { Handlers } from '../server.js';
import { callOptions, page } from './inputs.js';

type TokenOperation = Extract<
  keyof Handlers,
  | `${string}Token`
  | `${string}Tokens`
  | 'getSelf'
  | 'createSignIn'
  | 'createSession'
  | 'deleteSession'
>;

export function tokenOperations({ tokens, sessions }: Node): Pick<Handlers, TokenOperation> {
  return {
    getSelf: async (_input, _signal, caller) => ({ ...caller }),
    createSignIn: async (_input, _signal, caller) => ({
      ...sessions.createLink(caller),
      consoles: [...sessions.consoles],
    }),
    createSession: async ({ body }) => sessions.redeem(body.secret),
    deleteSession: async (_input, _signal, caller) => {
      sessions.end(caller);
      return {};
    },
    listTokens: async ({ query }, signal) =>
      page(
        tokens.list(callOptions(query, signal)),
        query,
        ({ tenant, name }) => `${tenant ?? ''}/${name}`,
      ),
    createToken: async ({ body, query }, signal, caller) => {
      refuseSubject(caller, body.subject);
      const { expiresAt, ...request } = body;
      const wanted = { ...request, expiresMs: instant(expiresAt) };
      return tokens.create(wanted, callOptions(query, signal));
    },
    getToken: async ({ params, query }, signal) =>
      tokens.show(params.token, callOptions(query, signal)),
    rotateToken: async ({ params, body, query }, signal) => {
      const { expiresAt, graceSeconds = 0 } = body;
      const wanted = { graceMs: graceSeconds * 1000, expiresMs: instant(expiresAt) };
      return tokens.rotate(params.token, wanted, callOptions(query, signal));
    },
    deleteToken: async ({ params, query }, signal) => {
      await tokens.remove(params.token, callOptions(query, signal));
      return {};
    },
  };
}

/**
 * A subject is unique on the node, as a certificate names no tenant. A tenant that could give one
 * would learn which there are, and could be first with another's.
 */
function refuseSubject({ name, tenant }: Caller, subject: string | undefined): void {
  if (tenant === null || subject === undefined) return;
  throw new AshlarError(
    'permission-denied',
    `'${name}' is of tenant '${tenant}'; certificates are given to tenants by the node's admins`,
  );
}

function instant(time: string | null | undefined): number | null | undefined {
  return typeof time === 'string' ? Date.parse(time) : time;
}
