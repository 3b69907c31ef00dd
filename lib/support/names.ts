/**
 * Names that a bundle is not to tell: each becomes `volume-3`, `host-1`, `address-2` wherever it
 * stands, so that what belongs together can still be seen. UUIDs say nothing and stay.
 */
import { isIP } from 'node:net';
import { isErrorCode } from '../errors.js';

/** What everybody has. */
const common: ReadonlySet<string> = new Set([
  ...['default', 'memory', 'local', '*', '', 'none', '/', 'ashlar', 'own', 'volumes', 'tenants'],
  ...['127.0.0.1', '0.0.0.0', '::1', '::', '/etc/ashlar/ashlar.toml', '/run/ashlar/ashlar.sock'],
]);

const nqns = /\bnqn\.\d{4}-\d{2}\.[^\s"',;)\]}]+/g;
/** What may be an address; whether it is one is asked. */
const addresses = /(?<![\w:.-])(?:\[?[0-9a-f:]*:[0-9a-f:.]*|\d{1,3}(?:\.\d{1,3}){3})(?![\w.-])/gi;
const namingFields =
  /"(?:name|names|volume|source|reference|prefix|tenant|policy|schedule|snapshot|who|owner)":\s*"([^"\\]+)"/g;
const apiPaths = /\/v1\/[a-z-]+\/([^\s"/?]+)/g;
const quoted = /'([A-Za-z0-9][A-Za-z0-9._@-]{0,254})'/g;
/** Says nothing to anybody else: a UUID or a number. */
const identity = /^(?:[0-9a-f]{8}-[0-9a-f-]{27}|\d+)$/i;

/** As it was before a URL had it. */
function plainName(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const escaped = (name: string): string => name.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');

export class Names {
  readonly #given = new Map<string, string>();
  readonly #counts = new Map<string, number>();
  #pattern: RegExp | null = null;

  /** Notes a name; of several kinds of thing with one name the first counts. */
  add(kind: string, name: string | null): void {
    if (name === null || common.has(name) || this.#given.has(name)) return;
    this.#given.set(name, this.#next(kind));
    this.#pattern = null;
  }

  /**
   * Notes what logs and events name: also of things that are deleted, and in no list any more. By
   * the fields of JSON, by the paths of the API, and by the quotes that our messages put names in.
   */
  learn(text: string): void {
    for (const pattern of [namingFields, apiPaths, quoted]) {
      for (const [, found = ''] of text.matchAll(pattern)) {
        const name = plainName(found);
        for (const part of name.split('@')) {
          if (!identity.test(part) && !isErrorCode(part)) this.add('name', part);
        }
      }
    }
  }

  /** From the names to what stands for them, for whoever made the bundle. */
  get table(): Record<string, string> {
    return Object.fromEntries(this.#given);
  }

  /** The text without names. */
  hide(text: string): string {
    // NQNs first: they have names and addresses in them.
    const withoutNqns = text.replaceAll(nqns, (nqn) => this.#of('nqn', nqn));
    const withoutNames =
      this.#given.size === 0
        ? withoutNqns
        : withoutNqns.replaceAll(this.#names(), (name) => this.#given.get(name) ?? name);
    return withoutNames.replaceAll(addresses, (found) => {
      const address = found.replace(/^\[/, '');
      return isIP(address) === 0 ? found : found.replace(address, this.#of('address', address));
    });
  }

  #of(kind: string, name: string): string {
    this.add(kind, name);
    return this.#given.get(name) ?? name;
  }

  #names(): RegExp {
    if (this.#pattern !== null) return this.#pattern;
    // The longest first: `web-2` is not `web` with something behind.
    const all = [...this.#given.keys()].sort((a, b) => b.length - a.length).map(escaped);
    this.#pattern = new RegExp(`(?<![\\w.-])(?:${all.join('|')})(?![\\w-])`, 'g');
    return this.#pattern;
  }

  #next(kind: string): string {
    const count = (this.#counts.get(kind) ?? 0) + 1;
    this.#counts.set(kind, count);
    return `${kind}-${count}`;
  }
}
