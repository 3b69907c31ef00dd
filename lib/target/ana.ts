/** The states of ANA groups through one portal (Base 8.1.3), whether or not it listens. */
import type { AnaState } from '../native.js';
import { maxAnaGroups } from './limits.js';

/** Whether hosts may send I/O that way. */
export function isUsable(state: AnaState): boolean {
  return state === 'optimized' || state === 'non-optimized';
}

const allGroups: readonly number[] = Array.from({ length: maxAnaGroups }, (_, index) => index + 1);

export class PortalAna {
  /** As they were set; a group that is not here is optimized. */
  readonly #set = new Map<number, AnaState>();
  /** How often what hosts see of a group has changed. */
  readonly #changes = new Map<number, bigint>();
  #drained = false;
  #changeCount = 0n;

  /** As hosts see it. Through a drained portal no group can be used, whatever was set. */
  stateOf(anagrpid: number): AnaState {
    const state = this.#set.get(anagrpid) ?? 'optimized';
    return this.#drained && state !== 'persistent-loss' ? 'inaccessible' : state;
  }

  changeCountOf(anagrpid: number): bigint {
    return this.#changes.get(anagrpid) ?? 0n;
  }

  /** Of the whole log page. */
  get changeCount(): bigint {
    return this.#changeCount;
  }

  get drained(): boolean {
    return this.#drained;
  }

  /** Groups of which hosts see another state than optimized. */
  get groups(): number[] {
    return allGroups.filter((anagrpid) => this.stateOf(anagrpid) !== 'optimized');
  }

  /** @returns the groups of which hosts see another state now. */
  set(anagrpid: number, state: AnaState): number[] {
    return this.#changed(() => {
      if (state === 'optimized') this.#set.delete(anagrpid);
      else this.#set.set(anagrpid, state);
    });
  }

  /** Likewise. */
  setDrained(drained: boolean): number[] {
    return this.#changed(() => {
      this.#drained = drained;
    });
  }

  #changed(change: () => void): number[] {
    const before = allGroups.map((anagrpid) => this.stateOf(anagrpid));
    change();
    const changed = allGroups.filter((anagrpid, at) => this.stateOf(anagrpid) !== before[at]);
    for (const anagrpid of changed) this.#changes.set(anagrpid, this.changeCountOf(anagrpid) + 1n);
    if (changed.length > 0) this.#changeCount += 1n;
    return changed;
  }
}
