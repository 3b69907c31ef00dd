/** PSKs of hosts, for TLS, as people see them: never the keys. */
import type { CallOptions } from '../volumes/types.js';

/** With which hash the retained PSK is made of a configured one. */
export type PskTransformName = 'none' | 'sha256' | 'sha384';

export interface PskInfo {
  /** Tells the PSKs of a host apart: 12 hexadecimal digits. */
  id: string;
  host: string;
  tenant: string;
  transform: PskTransformName;
  /** 256 (TLS_AES_128_GCM_SHA256) or 384 (TLS_AES_256_GCM_SHA384). */
  bits: number;
  createdAt: string;
}

export interface HostPsks {
  list(options?: CallOptions): PskInfo[];
  /**
   * Makes a PSK for a host, beside those it has. `psk` is it, in the interchange form; nothing
   * gives it out again.
   *
   * @throws AshlarError not-found (the host), limit-exceeded, permission-denied, io-error.
   */
  generate(
    host: string,
    hash: 'sha256' | 'sha384',
    options?: CallOptions,
  ): Promise<PskInfo & { psk: string }>;
  /**
   * Takes a PSK (`NVMeTLSkey-1:…`) that was made elsewhere.
   *
   * @throws AshlarError as generate, and invalid-argument, already-exists.
   */
  set(host: string, psk: string, options?: CallOptions): Promise<PskInfo>;
  /**
   * The host connects no more with this PSK, or with any when `id` is null; connections that it has
   * stay.
   *
   * @throws AshlarError not-found.
   */
  remove(host: string, id: string | null, options?: CallOptions): Promise<void>;
}
