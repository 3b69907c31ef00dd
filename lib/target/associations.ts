/** How often each host has come and gone, as counts that only grow. */
import type { ControllerEndedEvent } from '../native.js';

export type EndReason = ControllerEndedEvent['reason'];

/** Every reason for which an association ends. */
export const endReasons = [
  'disconnected',
  'keep-alive-expired',
  'transport-error',
  'not-authenticated',
  'destroyed',
] as const satisfies readonly EndReason[];

/**
 * Hosts that are counted one by one, those that came first. Where any host is let in it can give
 * itself a name for every association, and must not grow this without bound.
 */
export const maxCountedHosts = 1000;

/** Stands for all hosts beyond {@link maxCountedHosts} together. */
export const otherHosts = '(others)';

/** I/O associations of one host, with all subsystems. */
export interface HostCounts {
  /** Since the start of the node. */
  begun: number;
  ended: Record<EndReason, number>;
}

export class AssociationCounts {
  readonly #limit: number;
  /** In the order in which they first came. */
  readonly #hosts = new Map<string, HostCounts>();
  /** Connects that were refused, for whatever reason. */
  refused = 0;

  constructor(limit = maxCountedHosts) {
    this.#limit = limit;
  }

  /** Under which name a host that has come is counted. */
  nameOf(hostnqn: string): string {
    return this.#hosts.has(hostnqn) ? hostnqn : otherHosts;
  }

  begin(hostnqn: string): void {
    const room = this.#hosts.size < this.#limit;
    const name = room || this.#hosts.has(hostnqn) ? hostnqn : otherHosts;
    this.#of(name).begun += 1;
  }

  end(hostnqn: string, reason: EndReason): void {
    this.#of(this.nameOf(hostnqn)).ended[reason] += 1;
  }

  entries(): [name: string, counts: HostCounts][] {
    return [...this.#hosts];
  }

  #of(name: string): HostCounts {
    let counts = this.#hosts.get(name);
    if (counts === undefined) {
      const ended = {
        disconnected: 0,
        'keep-alive-expired': 0,
        'transport-error': 0,
        'not-authenticated': 0,
        destroyed: 0,
      };
      counts = { begun: 0, ended };
      this.#hosts.set(name, counts);
    }
    return counts;
  }
}
