/** Who may come over TLS (TCP 3.6.1), and as whom. */
import type { NativeAddon, RuntimeHandle } from '../native.js';
import type { TlsPsk } from '../tls/derive.js';
import { type ConnectRefusal, type ConnectRequest, connectRefusal } from './connect.js';
import { statuses } from './statuses.js';

export class TlsKeys {
  readonly #native: NativeAddon;
  readonly #runtime: RuntimeHandle;
  /** By identity. All PSKs of one identity are of the same host and subsystem, which it names. */
  #owners = new Map<string, { hostnqn: string; subnqn: string }>();

  #hosts = new Set<string>();

  constructor(native: NativeAddon, runtime: RuntimeHandle) {
    this.#native = native;
    this.#runtime = runtime;
  }

  /**
   * Replaces all of them. Hosts that are connected stay; a further queue of theirs needs a PSK that
   * is still here.
   *
   * @throws AshlarError limit-exceeded.
   */
  set(psks: readonly TlsPsk[]): void {
    this.#native.tlsSetKeys(
      this.#runtime,
      psks.map(({ identity, psk, hash }) => ({ identity, psk, hash })),
    );
    this.#owners = new Map(psks.map((each) => [each.identity, each]));
    this.#hosts = new Set(psks.map(({ hostnqn }) => hostnqn));
  }

  /** Whether any of them is of this host. */
  has(hostnqn: string): boolean {
    return this.#hosts.has(hostnqn);
  }

  /**
   * Why a Connect over TLS is refused: a PSK lets its own host into its own subsystem, and nobody
   * into another (TCP 3.6.1.3). Null: it is not.
   */
  refusal(identity: string | null, request: ConnectRequest): ConnectRefusal | null {
    if (identity === null) return null;
    const owner = this.#owners.get(identity);
    if (owner?.hostnqn === request.hostnqn && owner.subnqn === request.subnqn) return null;
    const reason =
      owner === undefined
        ? `the TLS PSK of ${request.hostnqn} was removed meanwhile`
        : `the TLS PSK is that of ${owner.hostnqn} for ${owner.subnqn}, but the host ` +
          `connects as ${request.hostnqn} to ${request.subnqn}`;
    return connectRefusal(statuses.connectInvalidHost, reason);
  }
}
