/**
 * Calls of the API, typed by its contract, of which nothing but types is here. The token is kept in
 * this tab alone and travels in a header, so that no other site can make the browser send it.
 */
import { signal } from '@preact/signals';
import type { Input, Output } from '../../api/contract.js';
import { type Operation, type OperationId, operations } from '../../api/operations.js';
import { AshlarError, type FieldError, isErrorCode } from '../../errors.js';

const storageKey = 'ashlar-token';

/** Who is signed in; null: nobody; 'asking': not known yet. */
export const self = signal<Output<'getSelf'> | null | 'asking'>('asking');
/** Why nobody is signed in any more; null: nobody was. */
export const signOutReason = signal<string | null>(null);
/** Counts changes that this page made, so that what is shown is asked for anew. */
export const changes = signal(0);
/** Whether the daemon answered last time. */
export const reachable = signal(true);

let token: string | null = sessionStorage.getItem(storageKey);

type Parts<K extends OperationId> = {
  [P in keyof Input<K> as object extends Input<K>[P] ? never : P]: Input<K>[P];
} & {
  [P in keyof Input<K> as object extends Input<K>[P] ? P : never]?: Input<K>[P];
};

interface AnyParts {
  params?: object;
  query?: object;
  body?: object;
}

/**
 * One call.
 *
 * @param ifMatch tag of the object as it was read: refused when somebody has changed it since.
 * @throws AshlarError of the problem document; 'connection-lost': no answer. AbortError.
 */
export async function call<K extends OperationId>(
  id: K,
  input: Parts<K>,
  aborter?: AbortSignal,
  ifMatch?: string,
): Promise<Output<K>> {
  const { method } = operations[id];
  const { answer } = await ask(id, input, aborter, ifMatch);
  if (method !== 'GET') changes.value += 1;
  return answer;
}

/** An object, with the tag by which a change of it says which state it is of. */
export async function read<K extends OperationId>(
  id: K,
  input: Parts<K>,
): Promise<{ value: Output<K>; tag: string }> {
  const { answer, headers } = await ask(id, input);
  return { value: answer, tag: headers.get('etag') ?? '*' };
}

async function ask<K extends OperationId>(
  id: K,
  input: Parts<K>,
  aborter?: AbortSignal,
  ifMatch?: string,
): Promise<{ answer: Output<K>; headers: Headers }> {
  const operation: Operation = operations[id];
  const { params = {}, query = {}, body }: AnyParts = input;
  const url = urlOf(operation.path, params, query);
  const response = await send(operation, url, body, aborter, ifMatch);
  const text = await response.text();
  const answer: unknown = text === '' ? {} : parse(text);
  if (!response.ok) throw refusal(answer, response.status, operation);
  return { answer: answer as Output<K>, headers: response.headers };
}

function urlOf(pattern: string, params: object, query: object): string {
  const path = pattern.replaceAll(/:([a-z]+)/gi, (_, name: string) =>
    encodeURIComponent(String(Reflect.get(params, name))),
  );
  const asked = Object.entries(query).filter(([, value]) => value !== undefined && value !== '');
  const search = new URLSearchParams(
    asked.map(([name, value]) => [name, String(value)]),
  ).toString();
  return search === '' ? path : `${path}?${search}`;
}

async function send(
  { method }: Operation,
  url: string,
  body: object | undefined,
  aborter: AbortSignal | undefined,
  ifMatch: string | undefined,
): Promise<Response> {
  const headers: Record<string, string> = { accept: 'application/json' };
  if (token !== null) headers['authorization'] = `Bearer ${token}`;
  if (body !== undefined) headers['content-type'] = 'application/json';
  if (ifMatch !== undefined) headers['if-match'] = ifMatch;
  try {
    const response = await fetch(url, {
      method,
      headers,
      cache: 'no-store',
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(aborter === undefined ? {} : { signal: aborter }),
    });
    reachable.value = true;
    return response;
  } catch (thrown) {
    if (thrown instanceof DOMException && thrown.name === 'AbortError') throw thrown;
    reachable.value = false;
    throw new AshlarError('connection-lost', 'the daemon does not answer; it is asked again');
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function refusal(answer: unknown, status: number, operation: Operation): AshlarError {
  const body = typeof answer === 'object' && answer !== null ? answer : {};
  const code: unknown = Reflect.get(body, 'code');
  const hint: unknown = Reflect.get(body, 'hint');
  const detail: unknown = Reflect.get(body, 'detail');
  const error = new AshlarError(
    isErrorCode(code) ? code : 'internal',
    typeof detail === 'string' ? detail : `the daemon answered ${status} and no reason`,
    { fields: fieldErrors(Reflect.get(body, 'errors')), ...(typeof hint === 'string' && { hint }) },
  );
  if (status === 401 && operation.scope !== 'self') forget(error.message);
  return error;
}

function fieldErrors(errors: unknown): FieldError[] {
  if (!Array.isArray(errors)) return [];
  return errors.map(({ pointer, detail }: { pointer: string; detail: string }) => ({
    path: pointer.split('/').slice(1),
    message: detail,
  }));
}

/** Takes a token if the API knows it. @throws AshlarError unauthenticated. */
export async function signIn(secret: string): Promise<void> {
  token = secret;
  try {
    const caller = await call('getSelf', {});
    sessionStorage.setItem(storageKey, secret);
    signOutReason.value = null;
    self.value = caller;
  } catch (thrown) {
    token = null;
    throw thrown;
  }
}

/** Takes what a link of `ashlar console` holds. @throws AshlarError unauthenticated. */
export async function signInByLink(secret: string): Promise<void> {
  const { secret: session } = await call('createSession', { body: { secret } });
  await signIn(session);
}

/** At the start: by what this tab has, or by a client certificate of the browser. */
export async function resume(): Promise<void> {
  try {
    self.value = await call('getSelf', {});
  } catch (thrown) {
    const lost = thrown instanceof AshlarError && thrown.code === 'connection-lost';
    if (token === null || lost) self.value = null;
    else forget(thrown instanceof Error ? thrown.message : String(thrown));
  }
}

export async function signOut(): Promise<void> {
  const caller = self.value;
  if (caller !== null && caller !== 'asking' && caller.via === 'session') {
    await call('deleteSession', {}).catch(() => undefined);
  }
  forget(null);
}

function forget(reason: string | null): void {
  token = null;
  sessionStorage.removeItem(storageKey);
  signOutReason.value = reason;
  self.value = null;
}

/** What the one who is signed in may; the API refuses the rest anyway. */
export function rights(): { change: boolean; node: boolean; tenant: string | null } {
  const caller = self.value;
  if (caller === null || caller === 'asking') return { change: false, node: false, tenant: null };
  const { role, tenant } = caller;
  return { change: role !== 'viewer', node: tenant === null, tenant };
}

/** Whether the one who is signed in may call this: the rule by which the API itself decides. */
export function may(id: OperationId): boolean {
  const { method, scope }: Operation = operations[id];
  const { change, node } = rights();
  const changes = method !== 'GET';
  if (scope === 'self') return true;
  if (changes && !change) return false;
  return node || scope === 'tenant' || (scope === 'shared' && !changes);
}
