/**
 * The files of the certificate that HTTPS is served with. Others renew them: certbot and its like
 * write new ones, Kubernetes exchanges a link. They are read again every minute and when somebody
 * asks for it (SIGHUP), and what is good is taken into use; what is not leaves the old one in use.
 */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { AshlarError, toAshlarError } from '../errors.js';
import type { CertificatePem } from './listeners.js';

/** Where the files are. */
export interface CertificatePaths {
  certificate: string;
  key: string;
  clientCa: string | null;
}

/** Whoever hears of what became of the files. */
export interface CertificateListener {
  /** A new certificate is there; it is in use when this returns. */
  renewed(pem: CertificatePem, notAfter: Date): void;
  /** The files cannot be used, so the certificate that is in use stays. Once for each reason. */
  rejected(error: AshlarError, notAfter: Date): void;
  /** The certificate in use ends soon, or has ended. Once a day. */
  ending(notAfter: Date, leftMs: number): void;
}

const lookEveryMs = 60_000;
const dayMs = 86_400_000;
/** Those of Let's Encrypt are renewed 30 days before their end: at 14 something is wrong. */
const endingMs = 14 * dayMs;

export class CertificateFiles implements Disposable {
  readonly #paths: CertificatePaths;
  #pem: CertificatePem;
  #listener: CertificateListener | null = null;
  #timer: NodeJS.Timeout | null = null;
  /** The message of the last rejection, and how often it came. */
  #rejected = { message: '', times: 0 };
  #toldEndingMs = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | null = null;

  private constructor(paths: CertificatePaths, pem: CertificatePem) {
    this.#paths = paths;
    this.#pem = pem;
  }

  /** @throws AshlarError config-invalid: which file cannot be read or used, and why. */
  static async open(paths: CertificatePaths): Promise<CertificateFiles> {
    return new CertificateFiles(paths, await read(paths));
  }

  get pem(): CertificatePem {
    return this.#pem;
  }

  /** When the certificate in use ends. */
  get notAfter(): Date {
    return notAfterOf(this.#pem);
  }

  /** Looks at the files from now on. */
  watch(listener: CertificateListener): void {
    this.#listener = listener;
    this.#tellEnding();
    this.#timer = setInterval(() => void this.look(), lookEveryMs);
    this.#timer.unref();
  }

  /**
   * Looks now.
   *
   * @param asked whether somebody waits for what comes of it. Otherwise a first rejection is not
   * told yet: of two files one is written before the other.
   */
  async look(asked = false): Promise<void> {
    while (this.#looking !== null) await this.#looking;
    this.#looking = this.#look(asked);
    await this.#looking;
    this.#looking = null;
  }

  async #look(asked: boolean): Promise<void> {
    try {
      const pem = await read(this.#paths);
      if (!isSame(pem, this.#pem)) {
        this.#listener?.renewed(pem, notAfterOf(pem));
        this.#pem = pem;
        this.#toldEndingMs = Number.NEGATIVE_INFINITY;
      }
      this.#rejected = { message: '', times: 0 };
    } catch (thrown) {
      this.#reject(toAshlarError(thrown), asked);
    }
    this.#tellEnding();
  }

  #reject(error: AshlarError, asked: boolean): void {
    const again = this.#rejected.message === error.message;
    const times = again ? this.#rejected.times + 1 : 1;
    this.#rejected = { message: error.message, times };
    if (asked || times === 2) this.#listener?.rejected(error, this.notAfter);
  }

  #tellEnding(): void {
    const nowMs = Date.now();
    const leftMs = this.notAfter.getTime() - nowMs;
    if (leftMs > endingMs || nowMs - this.#toldEndingMs < dayMs) return;
    this.#toldEndingMs = nowMs;
    this.#listener?.ending(this.notAfter, leftMs);
  }

  [Symbol.dispose](): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#listener = null;
  }
}

/** Reads them, and sees that they fit each other. */
async function read(paths: CertificatePaths): Promise<CertificatePem> {
  const pem = {
    certificate: await readPem('api.certificate', paths.certificate),
    key: await readPem('api.key', paths.key),
    clientCa: paths.clientCa === null ? null : await readPem('api.clientCa', paths.clientCa),
  };
  try {
    const { certificate: cert, key, clientCa } = pem;
    createSecureContext({ cert, key, ...(clientCa === null ? {} : { ca: clientCa }) });
    notAfterOf(pem);
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    throw new AshlarError(
      'config-invalid',
      `the files of HTTPS cannot be used: ${why}; look at api.certificate ` +
        `'${paths.certificate}', and at api.key '${paths.key}', which must be its key` +
        (paths.clientCa === null ? '' : `, and at api.clientCa '${paths.clientCa}'`),
      { cause: thrown },
    );
  }
  return pem;
}

async function readPem(name: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (thrown) {
    const { message } = toAshlarError(thrown);
    throw new AshlarError('config-invalid', `${name} '${path}' cannot be read: ${message}`);
  }
}

/** Of the first in the file, which is the server's own. */
function notAfterOf({ certificate }: CertificatePem): Date {
  return new Date(new X509Certificate(certificate).validTo);
}

function isSame(one: CertificatePem, other: CertificatePem): boolean {
  const same = (a: Buffer | null, b: Buffer | null): boolean =>
    a === null || b === null ? a === b : a.equals(b);
  return (
    same(one.certificate, other.certificate) &&
    same(one.key, other.key) &&
    same(one.clientCa, other.clientCa)
  );
}
