/**
 * What a service manager is told (systemd: sd_notify(3)): that the daemon serves, how it is, that
 * it ends, and, when it wants to be told so often, that the event loop is alive. Where no manager
 * asks for it in the environment, nothing happens.
 */
import type { Logger } from 'pino';
import type { Environment } from '../config/places.js';
import { loadNative } from '../native.js';

/** One line on how the daemon is, for `systemctl status`. */
export type Describe = () => Promise<string>;

export class ServiceNotices {
  readonly #socket: string | null;
  readonly #watchdogMs: number | null;
  readonly #logger: Logger;
  #beat: NodeJS.Timeout | null = null;
  #status = '';

  constructor(environment: Environment, logger: Logger, pid = process.pid) {
    const { NOTIFY_SOCKET: socket = '', WATCHDOG_USEC: usec = '', WATCHDOG_PID } = environment;
    // Other kinds of address (vsock) are for machines, not for services.
    this.#socket = /^[/@]./.test(socket) ? socket : null;
    const ours = WATCHDOG_PID === undefined || WATCHDOG_PID === String(pid);
    this.#watchdogMs = ours && /^[1-9]\d{0,14}$/.test(usec) ? Number(usec) / 1000 : null;
    this.#logger = logger;
  }

  /** What is under way until {@link ready}. */
  starting(what: string): void {
    this.#tell(`STATUS=${oneLine(what)}`);
  }

  /** Hosts can connect. From now on the manager hears in time that the event loop goes round. */
  async ready(describe: Describe): Promise<void> {
    if (this.#socket === null) return;
    this.#status = oneLine(await describe());
    this.#tell(`READY=1\nSTATUS=${this.#status}`);
    if (this.#watchdogMs === null) return;
    // Half the time that it allows, as sd_watchdog_enabled(3) advises.
    this.#beat = setInterval(() => this.#alive(describe), this.#watchdogMs / 2);
    this.#beat.unref();
  }

  /** An orderly end has begun. */
  stopping(what: string): void {
    if (this.#beat !== null) clearInterval(this.#beat);
    this.#beat = null;
    this.#tell(`STOPPING=1\nSTATUS=${oneLine(what)}`);
  }

  #alive(describe: Describe): void {
    this.#tell('WATCHDOG=1');
    void describe().then((text) => {
      const status = oneLine(text);
      if (status === this.#status || this.#beat === null) return;
      this.#status = status;
      this.#tell(`STATUS=${status}`);
    }, ignore);
  }

  #tell(message: string): void {
    if (this.#socket === null) return;
    const problem = loadNative().serviceNotify(this.#socket, message);
    if (problem === null) return;
    this.#logger.warn({ socket: this.#socket, problem }, 'the service manager was not told');
  }
}

function oneLine(text: string): string {
  return text.replaceAll(/\p{Cc}+/gu, ' ');
}

/** A daemon that is closing has no status any more. */
function ignore(): void {}
