/** ANA groups in state 'change': each has its end from the beginning. */
import { anaTransitionSeconds } from '../target/limits.js';

/**
 * A second before what hosts are told (ANATT), after which they give up a path: an event loop that
 * is late by less than that makes none of them do so.
 */
export const longestChangeMs = anaTransitionSeconds * 1000 - 1000;

interface Transition {
  portalId: number;
  anagrpid: number;
  timer: NodeJS.Timeout;
  endsAt: Date;
}

export class Transitions {
  readonly #end: (portalId: number, anagrpid: number) => void;
  readonly #changing = new Map<string, Transition>();

  /** @param end called when the time of a change is over. */
  constructor(end: (portalId: number, anagrpid: number) => void) {
    this.#end = end;
  }

  /** Of a change that is under way the end stays: hosts have counted from its beginning. */
  begin(portalId: number, anagrpid: number): void {
    const key = keyOf(portalId, anagrpid);
    if (this.#changing.has(key)) return;
    const endsAt = new Date(Date.now() + longestChangeMs);
    const timer = setTimeout(() => {
      this.#changing.delete(key);
      this.#end(portalId, anagrpid);
    }, longestChangeMs);
    timer.unref();
    this.#changing.set(key, { portalId, anagrpid, timer, endsAt });
  }

  /** Null: no change is under way. */
  endsAt(portalId: number, anagrpid: number): Date | null {
    return this.#changing.get(keyOf(portalId, anagrpid))?.endsAt ?? null;
  }

  /** Groups that change through a portal. */
  groupsOf(portalId: number): number[] {
    const all = [...this.#changing.values()].filter((each) => each.portalId === portalId);
    return all.map(({ anagrpid }) => anagrpid);
  }

  /** Another state was set, or the portal has gone. */
  stop(portalId: number, anagrpid: number): void {
    const key = keyOf(portalId, anagrpid);
    clearTimeout(this.#changing.get(key)?.timer);
    this.#changing.delete(key);
  }

  close(): void {
    for (const { timer } of this.#changing.values()) clearTimeout(timer);
    this.#changing.clear();
  }
}

const keyOf = (portalId: number, anagrpid: number): string => `${portalId}/${anagrpid}`;
