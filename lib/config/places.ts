/**
 * Where a daemon has its own files when nobody says otherwise: in a folder of its own below the one
 * where it was started, or as a service where the service manager made room for it.
 *
 * A service manager names those folders in the environment (systemd: exec(5), StateDirectory= and
 * RuntimeDirectory=); the container image does the same.
 */
import { resolve } from 'node:path';

/** The folder of a daemon that is no service, below the one where it was started. */
export const ownFolder = '.ashlar';

/** The control socket of the installed service. */
export const serviceSocket = '/run/ashlar/ashlar.sock';

/** The configuration file of the installed service. */
export const serviceConfig = '/etc/ashlar/ashlar.toml';

/** Absolute folders. */
export interface Places {
  /** Of the pool, its key, the audit log, the events. */
  state: string;
  /** Of the control socket. */
  runtime: string;
}

/** Some of the environment. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The folders of a daemon that is started in `cwd`. */
export function placesOf(environment: Environment, cwd: string): Places {
  const place = (name: string): string => {
    // Several folders are one list with colons between; ours is the first.
    const [first = ''] = (environment[name] ?? '').split(':');
    return first.startsWith('/') ? first : resolve(cwd, ownFolder);
  };
  return { state: place('STATE_DIRECTORY'), runtime: place('RUNTIME_DIRECTORY') };
}
