/** Who calls, and whether that one may: every request goes through here before anything is done. */
import type { TLSSocket } from 'node:tls';
import type { FastifyRequest } from 'fastify';
import { type Caller, localCaller, type Sessions, type Tokens } from '../../access/types.js';
import { AshlarError, asTenantsSee } from '../../errors.js';
import type { Operation } from '../operations.js';

/** How a request came: over the control socket, HTTPS, or plain HTTP within this machine. */
export type Transport = 'socket' | 'https' | 'loopback';

/** Who can say whose secret one is. */
export interface Secrets {
  tokens: Tokens | null;
  sessions: Sessions | null;
}

/**
 * By the token that a request brings, or that of a session; else at the control socket its owner,
 * and over HTTPS whoever the client certificate is of.
 *
 * @throws AshlarError unauthenticated.
 */
export function authenticate(
  request: FastifyRequest,
  transport: Transport,
  { tokens, sessions }: Secrets,
): Caller {
  const { authorization } = request.headers;
  if (authorization === undefined && transport === 'socket') return localCaller;
  if (tokens === null) throw new AshlarError('unauthenticated', 'there are no tokens here');
  if (authorization !== undefined) {
    const secret = /^Bearer +([\x21-\x7e]{1,512})$/i.exec(authorization)?.[1];
    if (secret !== undefined) return sessions?.callerOf(secret) ?? tokens.callerOf(secret);
    throw new AshlarError(
      'unauthenticated',
      "the Authorization header is not of the form 'Bearer TOKEN'",
    );
  }
  const subject = provedSubject(request);
  if (subject !== null) return tokens.callerWithCertificate(subject);
  throw new AshlarError(
    'unauthenticated',
    "give a token as 'Authorization: Bearer …', or a client certificate",
  );
}

/** Subject of the client certificate when its chain ends at the configured CA; null: none does. */
function provedSubject(request: FastifyRequest): string | null {
  const socket = request.raw.socket as Partial<TLSSocket>;
  if (socket.authorized !== true) return null;
  const certificate = socket.getPeerX509Certificate?.();
  return certificate === undefined ? null : subjectText(certificate.subject);
}

/** `O=Acme,CN=ops`: the parts in the order of the certificate, with a comma between. */
export function subjectText(subject: string): string {
  return subject.trim().split('\n').join(',');
}

/** The parts of an input that name a tenant. */
interface TenantInput {
  params: object;
  query: object;
}

/**
 * Refuses what the caller may not, and keeps a tenant's caller to its tenant: its queries name the
 * tenant from here on, so that nothing of another is looked at.
 *
 * @throws AshlarError permission-denied; not-found: another tenant, as if there were none.
 */
export function authorize<I extends TenantInput>(
  operation: Operation,
  caller: Caller,
  input: I,
): I {
  const { scope, method } = operation;
  if (scope === 'self') return input;
  const changes = method !== 'GET' || operation.data === true;
  if (changes && caller.role === 'viewer') {
    throw new AshlarError('permission-denied', `'${caller.name}' is a viewer, and may only look`);
  }
  if (caller.tenant === null) return input;
  if (scope === 'node' || (scope === 'shared' && changes)) {
    throw new AshlarError(
      'permission-denied',
      `'${caller.name}' is of tenant '${caller.tenant}'; this is the node's, for its admins`,
    );
  }
  if (scope === 'shared') return input;
  refuseOther(caller.tenant, 'tenant' in input.params ? input.params.tenant : undefined);
  refuseOther(caller.tenant, 'tenant' in input.query ? input.query.tenant : undefined);
  // Where the path names the tenant, the query has none to name.
  if ('tenant' in input.params) return input;
  return { ...input, query: { ...input.query, tenant: caller.tenant } };
}

/** What went wrong, as the caller may see it. */
export function asSeenBy({ tenant }: Caller, error: AshlarError): AshlarError {
  return tenant === null ? error : asTenantsSee(error);
}

function refuseOther(own: string, named: unknown): void {
  if (named === undefined || named === own) return;
  throw new AshlarError('not-found', `tenant '${String(named)}' does not exist`);
}

const loopbackHost = /^(?:127(?:\.\d{1,3}){3}|localhost|\[::1\])(?::\d+)?$/i;

/**
 * Refuses what a page of somebody else makes a browser send. One whose name is pointed at this
 * machine (DNS rebinding) shows in Host; one that counts on the browser's client certificate in
 * Origin, which browsers add to every change.
 *
 * @throws AshlarError permission-denied.
 */
export function assertOwnPage(
  { host = '', origin }: { host?: string | undefined; origin?: string | undefined },
  transport: Transport,
): void {
  if (transport === 'loopback' && !loopbackHost.test(host)) {
    throw new AshlarError(
      'permission-denied',
      `Host '${host.slice(0, 100)}': here only 127.0.0.1, localhost and [::1] are answered`,
    );
  }
  if (origin === undefined || transport === 'socket') return;
  const own = `${transport === 'https' ? 'https' : 'http'}://${host}`;
  if (origin.toLowerCase() !== own.toLowerCase()) {
    throw new AshlarError(
      'permission-denied',
      `Origin '${origin.slice(0, 100)}': pages of other sites may not call this API`,
    );
  }
}
