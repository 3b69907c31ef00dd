/**
 * Secrets that may stand in a text, whoever wrote them there. Nothing that is collected has any;
 * this is the second lock, for what people put into logs, files and names.
 */

export const withheld = '(withheld)';

const shapes: readonly RegExp[] = [
  // Keys of hosts and PSKs, as NVMe writes them.
  /DHHC-1:[0-9a-f]{2}:[A-Za-z0-9+/=]+:?/gi,
  /NVMeTLSkey-1:[0-9a-f]{1,2}:[A-Za-z0-9+/=]+:?/gi,
  // Our tokens, those of other services, and links of `ashlar console`.
  // (43 letters of base64url, in which capitals are never all missing as in names of metrics.)
  /ashlar_(?=[a-z0-9_-]*[A-Z])[A-Za-z0-9_-]{43}/g,
  /(?<=\b(?:bearer|basic)\s+)[A-Za-z0-9+/=._~-]{8,}/gi,
  /(?<=#sign-in=)[^\s"']+/g,
  // Keys and certificates: which is which need not be known.
  /-----BEGIN [A-Z ]+-----[\s\S]*?(?:-----END [A-Z ]+-----|$)/g,
  // Of what looks like a SHA-256: of a token it would let guesses be tried.
  /(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])/gi,
  // The name and password in a URL.
  /(?<=:\/\/)[^\s/@"']+:[^\s/@"']+(?=@)/g,
];

/** Names of fields whose values are nobody's business, whatever they look like. */
const fields = /^(?:secret|psk|password|passphrase|token|authorization|cookie|rkey|crkey|key)$/i;

export function withoutSecrets(text: string): string {
  return shapes.reduce((clean, shape) => clean.replaceAll(shape, withheld), text);
}

/** Every value of a tree of plain data, by this; what stands under a secret's name is withheld. */
export function mapTexts(value: unknown, map: (text: string) => string): unknown {
  if (typeof value === 'string') return map(value);
  if (typeof value === 'bigint') return Number(value);
  if (Array.isArray(value)) return value.map((each) => mapTexts(each, map));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, part]) => [
      name,
      fields.test(name) && typeof part === 'string' ? withheld : mapTexts(part, map),
    ]),
  );
}
