/** Who may come over TLS (TCP 3.6.1), and as whom. */
import type { NativeAddon, RuntimeHandle, TlsKeyOrigin } from '../native.js';
import type { TlsPsk } from '../tls/derive.js';
import { type ConnectRefusal, type ConnectRequest, connectRefusal } from './connect.js';
import { GeneratedPsks, type Standing } from './generated_psks.js';
import { statuses } from './statuses.js';

export class TlsKeys {
  readonly #native: NativeAddon;
  readonly #runtime: RuntimeHandle;
  /** By identity. All PSKs of one identity are of the same host and subsystem, which it names. */
  #owners = new Map<string, { hostnqn: string; subnqn: string }>();

  #hosts = new Set<string>();
  /** Those that hosts generate by authenticating. */
  readonly generated: GeneratedPsks;

  constructor(
    native: NativeAddon,
    runtime: RuntimeHandle,
    standing: (hostnqn: string, subnqn: string) => Standing,
  ) {
    this.#native = native;
    this.#runtime = runtime;
    this.generated = new GeneratedPsks({
      now: () => performance.now(),
      standing,
      apply: (psks) => this.#apply('generated', psks),
    });
  }

  /**
   * Replaces all that are configured. Hosts that are connected stay; a further queue of theirs
   * needs a PSK that is still here.
   *
   * @throws AshlarError limit-exceeded.
   */
  set(psks: readonly TlsPsk[]): void {
    this.#apply('configured', psks);
    this.#owners = new Map(psks.map((each) => [each.identity, each]));
    this.#hosts = new Set(psks.map(({ hostnqn }) => hostnqn));
  }

  #apply(origin: TlsKeyOrigin, psks: readonly TlsPsk[]): void {
    const keys = psks.map(({ identity, psk, hash }) => ({ identity, psk, hash }));
    this.#native.tlsSetKeys(this.#runtime, origin, keys);
  }

  /** Whether any that is configured is of this host. */
  has(hostnqn: string): boolean {
    return this.#hosts.has(hostnqn);
  }

  /**
   * Why a Connect over TLS is refused: a PSK lets its own host into its own subsystem, and nobody
   * into another (TCP 3.6.1.3). Null: it is not.
   */
  refusal(identity: string | null, request: ConnectRequest): ConnectRefusal | null {
    if (identity === null) return null;
    const owner = this.#owners.get(identity) ?? this.generated.ownerOf(identity);
    if (owner?.hostnqn === request.hostnqn && owner.subnqn === request.subnqn) return null;
    const reason =
      owner === null
        ? `the TLS PSK of ${request.hostnqn} was removed meanwhile`
        : `the TLS PSK is that of ${owner.hostnqn} for ${owner.subnqn}, but the host ` +
          `connects as ${request.hostnqn} to ${request.subnqn}`;
    return connectRefusal(statuses.connectInvalidHost, reason);
  }
}
