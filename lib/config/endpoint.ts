/** Addresses to listen on, as people write them. */
import { isIP, SocketAddress } from 'node:net';
import { AshlarError } from '../errors.js';
import type { Endpoint } from './config.js';

/**
 * `127.0.0.1:4420`, `[::1]:4420`, or an address alone, which gets `defaultPort`. Names are refused:
 * a portal goes into discovery log pages, where hosts expect an address.
 *
 * @throws AshlarError 'invalid-argument'
 */
export function parseEndpoint(text: string, defaultPort: number, what = 'address'): Endpoint {
  const match = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(\d{1,5}))?$/.exec(text.trim());
  const bare = isIP(text.trim()) === 6 ? text.trim() : null;
  const address = bare ?? match?.[1] ?? match?.[2] ?? '';
  const port = bare === null && match?.[3] !== undefined ? Number(match[3]) : defaultPort;
  if (isIP(address) === 0) {
    throw new AshlarError(
      'invalid-argument',
      `${what} '${text}' is not an IP address and port; write for example ` +
        `'127.0.0.1:${defaultPort}', '0.0.0.0:${defaultPort}' (every interface) or '[::1]:${defaultPort}'`,
    );
  }
  if (port > 65535) {
    throw new AshlarError('invalid-argument', `${what} '${text}' has a port above 65535`);
  }
  return { address, port };
}

/** One way of writing each address: 2001:DB8:0::1 is 2001:db8::1. */
export function canonicalAddress(address: string): string {
  const [bare = '', zone] = address.split('%');
  const family = isIP(bare) === 6 ? 'ipv6' : 'ipv4';
  const text = new SocketAddress({ address: bare, family }).address;
  return zone === undefined ? text : `${text}%${zone}`;
}

/** Addresses that a socket can be bound to, and no host can connect to. */
const notListenable: readonly [pattern: RegExp, what: string][] = [
  [/^(22[4-9]|23\d)\.|^ff[0-9a-f]{2}:/, 'is a multicast address'],
  [/^255\.255\.255\.255$/, 'is the broadcast address'],
  [/^::ffff:\d/, 'is an IPv4 address written as IPv6; write it as IPv4'],
  [/^fe[89ab][0-9a-f]:[^%]*$/, "is link-local and needs its interface, as in 'fe80::1%eth0'"],
];

/** Why no portal can be there, as the end of a sentence; null: there can. */
export function portalProblem(address: string, port: number): string | null {
  const example = "write for example '192.0.2.7:4420', '[2001:db8::7]:4420' or '0.0.0.0:4420'";
  if (isIP(address) === 0) return `is not an IP address; ${example}`;
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    return `has no port from 1 to 65535; ${example}`;
  }
  const canonical = canonicalAddress(address);
  return notListenable.find(([pattern]) => pattern.test(canonical))?.[1] ?? null;
}

/** Addresses that no single other node has, or that differ from host to host. */
const notANode: readonly [pattern: RegExp, what: string][] = [
  [/^(0\.0\.0\.0|::)$/, 'stands for every address'],
  [/%/, 'has a zone, which means something on one machine only'],
  [/^fe[89ab][0-9a-f]:/, 'is link-local, which means another node on every link'],
  [/^(22[4-9]|23\d)\.|^ff[0-9a-f]{2}:/, 'is a multicast address'],
  [/^255\.255\.255\.255$/, 'is the broadcast address'],
];

/** Why hosts cannot be referred to this endpoint, as the end of a sentence; null: they can. */
export function referralProblem(address: string, port: number): string | null {
  const example = "write for example '192.0.2.7' or '[2001:db8::7]:8009'";
  if (isIP(address) === 0) return `is not an IP address; ${example}`;
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    return `has no port from 1 to 65535; ${example}`;
  }
  const canonical = canonicalAddress(address);
  const found = notANode.find(([pattern]) => pattern.test(canonical));
  return found === undefined ? null : `${found[1]}; ${example}`;
}
