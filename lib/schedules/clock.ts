/**
 * Time, as schedules see it: what the clock says now, and being woken later. The only place where
 * it is read, so that a test can let a year pass at once.
 */

export interface Clock {
  /** Milliseconds since 1970 in UTC. May jump, backwards too. */
  nowMs(): number;
  /** Calls `wake` once when so much time has passed; returns how to call it off. */
  wakeAfter(delayMs: number, wake: () => void): () => void;
}

/** The machine's. Its timers stand still while the machine is suspended, and end with the process. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  wakeAfter: (delayMs, wake) => {
    const timer = setTimeout(wake, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
