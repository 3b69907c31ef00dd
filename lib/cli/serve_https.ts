/** The certificate of the daemon's HTTPS, renewed while it serves. */
import type { CertificateFiles } from '../api/certificate_files.js';
import type { ApiServer } from '../api/server.js';
import type { Config } from '../config/config.js';
import type { Node } from '../node/types.js';
import { plural } from './terminal.js';

/** @throws AshlarError config-invalid: which file cannot be read or used, and why. */
export async function openCertificate({ api }: Config): Promise<CertificateFiles | null> {
  if (api.https === null) return null;
  const { CertificateFiles } = await import('../api/certificate_files.js');
  return CertificateFiles.open(api.https);
}

/** New files are taken into use when they are there, at the latest after a minute. */
export function renewCertificates(files: CertificateFiles, api: ApiServer, node: Node): void {
  files.watch({
    renewed: (pem, notAfter) => {
      api.renewCertificate(pem);
      const message = `HTTPS is served with a new certificate, good until ${day(notAfter)}`;
      node.tell('info', 'certificate-renewed', message);
    },
    rejected: (error, notAfter) => {
      node.tell(
        'warning',
        'certificate-rejected',
        `${error.message}; HTTPS goes on with the certificate that is good until ${day(notAfter)}`,
      );
    },
    ending: (notAfter, leftMs) => {
      const days = Math.floor(leftMs / 86_400_000);
      const left = leftMs < 0 ? 'has ended' : `ends in ${plural(days, 'day')}`;
      node.tell(
        leftMs < 0 ? 'error' : 'warning',
        'certificate-ending',
        `the certificate of HTTPS ${left}, on ${day(notAfter)}: renew its files`,
      );
    },
  });
}

function day(date: Date): string {
  return date.toISOString().slice(0, 10);
}

/**
 * SIGHUP asks for another look at files. A daemon whose terminal has gone ends in order instead,
 * for who could end it otherwise?
 */
export function onHangUp(look: () => Promise<void>, end: (signal: NodeJS.Signals) => void): void {
  const attended = process.stdin.isTTY || process.stdout.isTTY;
  process.on('SIGHUP', (signal) => {
    if (attended) end(signal);
    else void look();
  });
}
