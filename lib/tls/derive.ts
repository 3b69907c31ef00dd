/**
 * What a TLS handshake needs of a configured PSK (TCP 3.6.1.2 and 3.6.1.3):
 *
 *     configured PSK ──"HostNQN"──▶ retained PSK ──"nvme-tls-psk", identity──▶ TLS PSK
 *
 * Both arrows are HKDF-Extract and HKDF-Expand-Label (RFC 5869; RFC 8446, 7.1). An identity names
 * host and subsystem, so that one configured PSK gives another TLS PSK for every subsystem:
 *
 *     NVMe0R01 HOSTNQN SUBNQN                version 0; 01 is SHA-256, 02 is SHA-384
 *     NVMe1R01 HOSTNQN SUBNQN PSKDIGEST      version 1, whose digest tells PSKs of one pair apart
 *
 * nvme-cli before 2.15 (Debian 12 and 13 have such) leaves the lengths of label and context out of
 * what HKDF-Expand-Label feeds to HMAC, and writes the output's length little-endian. Its TLS PSKs
 * are therefore others, in part under the same identities, and a controller that such hosts are to
 * reach has to know both.
 */
import { createHmac, hkdfSync } from 'node:crypto';
import { type ConfiguredPsk, hashOfLength, type PskHash, pskHashes } from './psk.js';

/** A PSK as a TLS server looks it up. Several may share an identity. */
export interface TlsPsk {
  identity: string;
  /** 32 bytes with sha256, 48 with sha384. */
  psk: Uint8Array;
  hash: PskHash;
  hostnqn: string;
  subnqn: string;
}

/** Contexts of HKDF-Expand-Label have their length in one byte. */
const maxContextBytes = 255;

type Expand = (hash: PskHash, key: Uint8Array, label: string, context: string) => Uint8Array;

const asSpecified: Expand = (hash, key, label, context) => {
  const name = Buffer.from(`tls13 ${label}`);
  const about = Buffer.from(context);
  const head = Buffer.from([0, key.length, name.length]);
  return expand(hash, key, [head, name, Buffer.from([about.length]), about]);
};

const asOlderHosts: Expand = (hash, key, label, context) =>
  expand(hash, key, [Buffer.from([key.length, 0]), Buffer.from(`tls13 ${label}${context}`)]);

function expand(hash: PskHash, key: Uint8Array, info: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(hkdfSync(hash, key, '', Buffer.concat(info), key.length));
}

/**
 * Every TLS PSK by which a host with this configured PSK may come to a subsystem: of both versions
 * of identity, and as older hosts derive them.
 *
 * @throws RangeError when the key is neither 32 nor 48 bytes long.
 */
export function tlsPsks(configured: ConfiguredPsk, hostnqn: string, subnqn: string): TlsPsk[] {
  const hash = configured.transform ?? hashOfLength(configured.key.length);
  if (hash === null) throw new RangeError(`a PSK of ${configured.key.length} bytes`);
  const digits = `0${pskHashes[hash].id}`;
  const common = { hash, hostnqn, subnqn };
  const result: TlsPsk[] = [];
  for (const [label, limit] of [
    [asSpecified, maxContextBytes],
    [asOlderHosts, Number.POSITIVE_INFINITY],
  ] as const) {
    const { key, transform } = configured;
    const retained = transform === null ? key : label(transform, key, 'HostNQN', hostnqn);
    const plain = `NVMe0R${digits} ${hostnqn} ${subnqn}`;
    if (Buffer.byteLength(plain) <= limit) {
      const psk = label(hash, retained, 'nvme-tls-psk', plain);
      result.push({ identity: plain, psk, ...common });
    }
    const digest = pskDigest(hash, retained, hostnqn, subnqn);
    result.push({
      identity: `NVMe1R${digits} ${hostnqn} ${subnqn} ${digest}`,
      psk: label(hash, retained, 'nvme-tls-psk', `${digits} ${digest}`),
      ...common,
    });
  }
  return result;
}

/** The end of an identity of version 1, base64. */
function pskDigest(hash: PskHash, retained: Uint8Array, hostnqn: string, subnqn: string): string {
  const code = createHmac(hash, retained);
  return code.update(`${hostnqn} ${subnqn} NVMe-over-Fabrics`).digest('base64');
}
