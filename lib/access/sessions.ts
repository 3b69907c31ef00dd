/**
 * Sign-in links and sessions of the web console: who may call the API has somebody else's browser
 * do so for a while. A link is good once and for minutes, since it ends up in histories; the
 * session that it is changed for never leaves the page. Both are kept in memory alone.
 */
import { AshlarError } from '../errors.js';
import { hexText } from '../volumes/uuid.js';
import { hashOf, newSecret } from './secrets.js';
import type { Caller, Sessions, TimedSecret, Tokens } from './types.js';

export const linkMs = 5 * 60_000;
export const sessionMs = 12 * 3_600_000;
/** Of each kind; the oldest goes. A person has a few. */
export const maxSessions = 256;

interface Entry {
  /** Who calls with it. */
  caller: Caller;
  /** Whose link it was. */
  origin: Caller;
  endsMs: number;
}

export class SessionService implements Sessions {
  consoles: readonly string[] = [];
  readonly #tokens: Tokens;
  readonly #nowMs: () => number;
  /** By the hash of the secret, the oldest first. */
  readonly #links = new Map<string, Entry>();
  readonly #sessions = new Map<string, Entry>();
  #count = 0;

  constructor(tokens: Tokens, nowMs: () => number = Date.now) {
    this.#tokens = tokens;
    this.#nowMs = nowMs;
  }

  createLink(caller: Caller): TimedSecret {
    if (caller.via === 'session') {
      throw new AshlarError(
        'permission-denied',
        'a session of the console makes no further one; use a token, or the control socket',
      );
    }
    return this.#add(this.#links, caller, caller, linkMs);
  }

  redeem(secret: string): TimedSecret {
    const key = keyOf(secret);
    const link = this.#links.get(key);
    this.#links.delete(key);
    if (link === undefined || !this.#isGood(link)) {
      throw new AshlarError(
        'unauthenticated',
        'this sign-in link was used already or is older than 5 minutes; ' +
          'get a new one with "ashlar console"',
      );
    }
    this.#count += 1;
    const name = `${link.caller.name} (console ${this.#count})`;
    const { origin } = link;
    return this.#add(this.#sessions, { ...origin, name, via: 'session' }, origin, sessionMs);
  }

  callerOf(secret: string): Caller | null {
    const session = this.#sessions.get(keyOf(secret));
    if (session === undefined) return null;
    if (this.#isGood(session)) return session.caller;
    throw new AshlarError(
      'unauthenticated',
      'this session of the console has ended; get a new link with "ashlar console"',
    );
  }

  end(caller: Caller): void {
    for (const [key, session] of this.#sessions) {
      if (session.caller.name === caller.name) this.#sessions.delete(key);
    }
  }

  #add(to: Map<string, Entry>, caller: Caller, origin: Caller, lastsMs: number): TimedSecret {
    const secret = newSecret();
    const endsMs = this.#nowMs() + lastsMs;
    to.set(keyOf(secret), { caller, origin, endsMs });
    for (const key of to.keys()) {
      if (to.size <= maxSessions) break;
      to.delete(key);
    }
    return { secret, expiresAt: new Date(endsMs).toISOString() };
  }

  /** Of a token, a session lives no longer than the token does. */
  #isGood({ origin, endsMs }: Entry): boolean {
    if (endsMs <= this.#nowMs()) return false;
    if (origin.via === 'socket') return true;
    const token = this.#tokens
      .list(origin.tenant === null ? {} : { tenant: origin.tenant })
      .find(({ name, tenant }) => name === origin.name && tenant === origin.tenant);
    if (token === undefined || token.role !== origin.role) return false;
    return token.expiresAt === null || Date.parse(token.expiresAt) > this.#nowMs();
  }
}

function keyOf(secret: string): string {
  return hexText(hashOf(secret));
}
