/** `ashlar console`: a link that signs a browser in at the web console. */
import { AshlarError } from '../errors.js';
import { type DaemonOptions, withDaemon } from './daemon.js';
import { localTime, printJson, printLines } from './terminal.js';

/** The secret is in the fragment, which browsers send to nobody. */
export function signInUrl(consoleUrl: string, secret: string): string {
  return `${consoleUrl}/#sign-in=${secret}`;
}

/** @throws AshlarError conflict: the daemon serves no console. */
export async function printSignIn(options: DaemonOptions): Promise<void> {
  const made = await withDaemon(options, (client) => client.call('createSignIn', {}));
  const urls = made.consoles.map((url) => signInUrl(url, made.secret));
  if (urls.length === 0) {
    throw new AshlarError(
      'conflict',
      'this daemon serves no console; start it with --console 127.0.0.1:8420, or set api.listen',
    );
  }
  if (options.json === true) return printJson({ urls, expiresAt: made.expiresAt });
  printLines([...urls, '', `Good once, until ${localTime(made.expiresAt)}.`]);
}
