/** Reactors that a host, or a local load, has for itself. */
import { loadNative, type RuntimeHandle } from '../native.js';

/** How many, where, and how they wait. */
export interface ReactorOptions {
  /** Pins the one reactor to this CPU. */
  cpu?: number | undefined;
  /** One reactor each, pinned there; I/O queues are spread over them. */
  cpus?: readonly number[] | undefined;
  /** Reactors where no CPUs are named; 1 when left out. */
  reactors?: number | undefined;
  /**
   * How long they poll before they sleep, microseconds; 0 when left out. Who measures polls: one
   * that sleeps measures how fast the scheduler wakes it.
   */
  busyPollUs?: number | undefined;
}

/**
 * Opens them.
 *
 * @throws AshlarError with what the runtime lacks.
 */
export function openReactors(options: ReactorOptions): RuntimeHandle {
  const cpus = options.cpus ?? (options.cpu === undefined ? null : [options.cpu]);
  return loadNative().runtimeOpen(
    {
      reactors: cpus?.length ?? options.reactors ?? 1,
      cpus: cpus === null ? null : [...cpus],
      bufferBytes: null,
      busyPollUs: options.busyPollUs ?? 0,
    },
    () => {},
  );
}
