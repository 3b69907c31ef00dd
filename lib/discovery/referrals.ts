/** Referrals: the discovery services of other nodes, kept in the catalog or configured. */

import { networkInterfaces } from 'node:os';
import type { Catalog } from '../catalog/catalog.js';
import { type ReferralRecord, referralKey, referralKind } from '../catalog/discovery_kinds.js';
import { discoveryPort, type Endpoint, formatEndpoint } from '../config/config.js';
import { canonicalAddress, parseEndpoint, referralProblem } from '../config/endpoint.js';
import { AshlarError } from '../errors.js';
import type { EventKind } from '../events/kinds.js';
import { isWildcard, type Referral } from '../target/discovery.js';
import type { Target } from '../target/target.js';
import type { KeyedLocks } from '../volumes/locks.js';
import type { CallOptions } from '../volumes/types.js';
import type { AddReferral, ReferralInfo, Referrals } from './types.js';

/** Referrals of a node: each is a record in the page of every host. */
export const maxReferrals = 64;

export interface ReferralParts {
  catalog: Catalog;
  target: Pick<Target, 'portals' | 'setReferrals'>;
  locks: KeyedLocks;
  configured: readonly Endpoint[];
  assertOpen(): void;
  emit(kind: EventKind, message: string): void;
}

export class ReferralService implements Referrals {
  readonly #parts: ReferralParts;

  constructor(parts: ReferralParts) {
    this.#parts = parts;
  }

  /** Hosts are told of what the catalog and the configuration say. */
  show(): void {
    this.#parts.target.setReferrals(
      this.list().map(({ address, port, portalId }): Referral => ({ address, port, portalId })),
    );
  }

  list(): ReferralInfo[] {
    const { catalog, configured } = this.#parts;
    const all = new Map<string, ReferralInfo>();
    for (const { value } of catalog.all(referralKind)) {
      const info = keptInfo(value);
      all.set(info.endpoint, info);
    }
    for (const { address: written, port } of configured) {
      const address = canonicalAddress(written);
      const endpoint = formatEndpoint({ address, port });
      const portalId = all.get(endpoint)?.portalId ?? 0;
      const info = { endpoint, address, port, portalId, configured: true, createdAt: null };
      all.set(endpoint, info);
    }
    return [...all.values()].sort((a, b) => (a.endpoint < b.endpoint ? -1 : 1));
  }

  async add(referral: AddReferral, options: CallOptions = {}): Promise<ReferralInfo> {
    const { catalog, locks, emit, assertOpen } = this.#parts;
    assertOpen();
    const { port, portalId = 0 } = referral;
    const address = this.#checked(referral.address, port, portalId);
    const endpoint = formatEndpoint({ address, port });
    const what = `add referral ${endpoint}`;
    return locks.hold('referrals', what, options.signal, async () => {
      const before = this.#find(endpoint);
      if (before !== undefined) {
        if (options.repeatable === true && before.portalId === portalId) return before;
        const where = before.configured ? ', in the configuration' : '';
        throw new AshlarError(
          'already-exists',
          `hosts are referred to ${endpoint} already${where}`,
        );
      }
      this.#assertRoom();
      const record = { address, port, portalId, createdMs: Date.now() };
      await catalog.transact(
        what,
        (transaction) => transaction.add(referralKind, record),
        options.signal,
      );
      this.show();
      emit('referral-added', `hosts are referred to ${endpoint}`);
      return keptInfo(record);
    });
  }

  find(reference: string): ReferralInfo {
    this.#parts.assertOpen();
    const { endpoint } = namedReferral(reference);
    const found = this.#find(endpoint);
    if (found !== undefined) return found;
    throw notReferred(endpoint);
  }

  async remove(reference: string, options: CallOptions = {}): Promise<void> {
    const { catalog, locks, emit, assertOpen } = this.#parts;
    assertOpen();
    const { address, port, endpoint } = namedReferral(reference);
    const what = `remove referral ${endpoint}`;
    await locks.hold('referrals', what, options.signal, async () => {
      if (this.#find(endpoint)?.configured === true) {
        throw new AshlarError(
          'conflict',
          `referral ${endpoint} is of the configuration (target.referrals); take it out there ` +
            'and start the daemon again',
        );
      }
      const record = catalog.find(referralKind, 'endpoint', referralKey(address, port));
      if (record === null) {
        if (options.repeatable === true) return;
        throw notReferred(endpoint);
      }
      await catalog.transact(
        what,
        (transaction) => transaction.delete(referralKind, record.id),
        options.signal,
      );
      this.show();
      emit('referral-removed', `hosts are not referred to ${endpoint} any more`);
    });
  }

  #find(endpoint: string): ReferralInfo | undefined {
    return this.list().find((each) => each.endpoint === endpoint);
  }

  #assertRoom(): void {
    if (this.list().length < maxReferrals) return;
    throw new AshlarError(
      'limit-exceeded',
      `the node has ${maxReferrals} referrals, its limit; remove one with "ashlar referral remove"`,
    );
  }

  /** @returns the address as it is kept. */
  #checked(written: string, port: number, portalId: number): string {
    const problem = referralProblem(written, port);
    if (problem !== null) {
      throw new AshlarError('invalid-argument', `referral '${written}' port ${port} ${problem}`);
    }
    if (!Number.isInteger(portalId) || portalId < 0 || portalId > 65_535) {
      throw new AshlarError(
        'invalid-argument',
        `portal ID ${portalId} of referral ${written} is not a whole number from 0 to 65535`,
      );
    }
    const address = canonicalAddress(written);
    if (this.#isOwn(address, port)) {
      throw new AshlarError(
        'invalid-argument',
        `${formatEndpoint({ address, port })} is a portal of this node; refer hosts to another ` +
          'node, as they know this one already',
      );
    }
    return address;
  }

  #isOwn(address: string, port: number): boolean {
    const local = Object.values(networkInterfaces()).flatMap((all) => all ?? []);
    return this.#parts.target.portals.some((portal) => {
      if (portal.port !== port) return false;
      if (isWildcard(portal.address)) return local.some((each) => each.address === address);
      return canonicalAddress(portal.address) === address;
    });
  }
}

/** What is told of a referral that the catalog keeps. */
function keptInfo({ address, port, portalId, createdMs }: ReferralRecord): ReferralInfo {
  const endpoint = formatEndpoint({ address, port });
  const createdAt = new Date(createdMs).toISOString();
  return { endpoint, address, port, portalId, configured: false, createdAt };
}

function namedReferral(reference: string): { address: string; port: number; endpoint: string } {
  const named = parseEndpoint(reference, discoveryPort, 'referral');
  const address = canonicalAddress(named.address);
  return { address, port: named.port, endpoint: formatEndpoint({ address, port: named.port }) };
}

function notReferred(endpoint: string): AshlarError {
  return new AshlarError(
    'not-found',
    `hosts are not referred to ${endpoint}; "ashlar referral list" shows where they are`,
  );
}
