/**
 * PSKs that hosts generate with this node when they authenticate (Base 2.1, 8.3.4.5.9): kept in
 * memory alone, and as long as their host may need them.
 *
 *   authentication ──▶ unused ──a Connect over TLS──▶ used ──its last controller ends──▶ unused
 *
 * Unused it goes after {@link generatedPskMs}. It goes at once when the host has replaced it, and
 * when what it stands on is gone: the key that the host proved itself with, or the host itself.
 */
import { digest } from '../auth/digests.js';
import type { Secret } from '../auth/secret.js';
import { generatedTlsPsk, type TlsPsk } from '../tls/derive.js';
import type { PskHash } from '../tls/psk.js';
import type { HostKeys } from './authentication.js';
import { generatedPskMs, maxGeneratedPsks, maxGeneratedPsksPerHost } from './limits.js';

/** What a transaction of authentication leaves behind. */
export interface GeneratedPsk {
  hash: PskHash;
  /** As long as the hash. */
  psk: Uint8Array;
  /** With which the host has proved itself. */
  provenBy: Secret;
}

/** What the target knows of a host in a subsystem, as it is now. */
export interface Standing {
  /** null: none, or the host is not known any more. */
  keys: HostKeys | null;
  /** Whether anything is granted to it. */
  granted: boolean;
}

interface Kept extends TlsPsk {
  /** Of its host in its subsystem. */
  place: string;
  /** Tells the key apart with which the host has proved itself, and tells nothing of it. */
  provenBy: string;
  /** Something was granted to the host at some time: that nothing is any more ends the PSK. */
  granted: boolean;
  /** Controllers whose admin queue is over it. */
  users: Set<object>;
  /** Of the clock, when it had a user last. */
  unusedSinceMs: number;
}

/** What the PSKs of a host stand on. */
interface Basis {
  marks: string[];
  granted: boolean;
}

/** Handshakes go by what was applied; a Connect is judged to the millisecond. */
const reviewMs = generatedPskMs / 8;

export interface GeneratedPsksParts {
  /** Milliseconds of a clock that only goes forward. */
  now(): number;
  standing(hostnqn: string, subnqn: string): Standing;
  /** Takes all that there are by now; they may be overwritten after it has returned. */
  apply(psks: readonly TlsPsk[]): void;
}

export class GeneratedPsks {
  readonly #parts: GeneratedPsksParts;
  /** By identity, the oldest first. */
  readonly #kept = new Map<string, Kept>();
  #timer: NodeJS.Timeout | null = null;

  constructor(parts: GeneratedPsksParts) {
    this.#parts = parts;
  }

  /** Whose PSK it is; null: it is none, or not any more. */
  ownerOf(identity: string): { hostnqn: string; subnqn: string } | null {
    const kept = this.#kept.get(identity);
    if (kept === undefined) return null;
    if (this.#lasts(kept, this.#basisOf(kept))) return kept;
    this.#drop(kept);
    this.#apply();
    return null;
  }

  /**
   * Keeps a PSK; the oldest that nobody uses makes room.
   *
   * @param user a controller that is over an earlier one, and over this one from now on. Nobody
   * comes with the earlier one any more, unless another controller is over it. null: there is none.
   * @returns false: every PSK is in use, and this one is not kept.
   */
  add(generated: GeneratedPsk, hostnqn: string, subnqn: string, user: object | null): boolean {
    const { hash, psk, provenBy } = generated;
    const own = this.#of(hostnqn, subnqn);
    const earlier = own.find(({ users }) => user !== null && users.has(user));
    if (user !== null) earlier?.users.delete(user);
    if (earlier !== undefined && isUnused(earlier)) this.#drop(earlier);
    if (!this.#makeRoom(own.filter((each) => this.#kept.has(each.identity)))) {
      this.#apply();
      return false;
    }
    const kept: Kept = {
      ...generatedTlsPsk(hash, psk, hostnqn, subnqn),
      place: placeOf(hostnqn, subnqn),
      provenBy: markOf(provenBy),
      granted: this.#parts.standing(hostnqn, subnqn).granted,
      users: new Set(user === null ? [] : [user]),
      unusedSinceMs: this.#parts.now(),
    };
    this.#kept.set(kept.identity, kept);
    this.#apply();
    return true;
  }

  /** @param own those that the host has. */
  #makeRoom(own: readonly Kept[]): boolean {
    const ownFull = own.length >= maxGeneratedPsksPerHost;
    if (!ownFull && this.#kept.size < maxGeneratedPsks) return true;
    const oldest = (ownFull ? own : [...this.#kept.values()]).find(isUnused);
    this.#drop(oldest);
    return oldest !== undefined;
  }

  /** A controller begins over this PSK; of another kind of PSK it means nothing. */
  use(identity: string | null, user: object): void {
    if (identity !== null) this.#kept.get(identity)?.users.add(user);
  }

  /** A controller has ended. */
  release(user: object): void {
    for (const kept of this.#kept.values()) {
      if (!kept.users.delete(user) || kept.users.size > 0) continue;
      kept.unusedSinceMs = this.#parts.now();
    }
  }

  /** Drops what has no business here any more, by what the target knows now. */
  review(): void {
    const before = this.#kept.size;
    const bases = new Map<string, Basis>();
    for (const kept of [...this.#kept.values()]) {
      const basis = bases.get(kept.place) ?? this.#basisOf(kept);
      bases.set(kept.place, basis);
      if (this.#lasts(kept, basis)) kept.granted ||= basis.granted;
      else this.#drop(kept);
    }
    if (this.#kept.size !== before) this.#apply();
  }

  /** Forgets all. */
  close(): void {
    for (const kept of [...this.#kept.values()]) this.#drop(kept);
    this.#apply();
  }

  #basisOf({ hostnqn, subnqn }: Kept): Basis {
    const { keys, granted } = this.#parts.standing(hostnqn, subnqn);
    return { marks: keys?.host.map(markOf) ?? [], granted };
  }

  #lasts(kept: Kept, { marks, granted }: Basis): boolean {
    if (!marks.includes(kept.provenBy) || (kept.granted && !granted)) return false;
    return !isUnused(kept) || this.#parts.now() - kept.unusedSinceMs < generatedPskMs;
  }

  #of(hostnqn: string, subnqn: string): Kept[] {
    const wanted = placeOf(hostnqn, subnqn);
    const own: Kept[] = [];
    for (const kept of this.#kept.values()) if (kept.place === wanted) own.push(kept);
    return own;
  }

  #drop(kept: Kept | undefined): void {
    if (kept === undefined) return;
    this.#kept.delete(kept.identity);
    kept.psk.fill(0);
  }

  #apply(): void {
    this.#parts.apply([...this.#kept.values()]);
    if (this.#kept.size > 0) this.#timer ??= setInterval(() => this.review(), reviewMs).unref();
    if (this.#kept.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }
}

const placeOf = (hostnqn: string, subnqn: string): string => `${hostnqn} ${subnqn}`;
const isUnused = ({ users }: Kept): boolean => users.size === 0;

function markOf({ key, transform }: Secret): string {
  return digest('sha256', Buffer.concat([Buffer.from(`${transform} `), key])).toString('hex');
}
