/** What the doctor says of one thing that it looked at. */

/**
 * 'ok': as it should be. 'warn': it works, but slower, or not for long. 'fail': it does not work.
 * 'unknown': it could not be looked at, and `found` says why; no reason to worry.
 */
export type Level = 'ok' | 'warn' | 'fail' | 'unknown';

export interface Finding {
  /** What was looked at, for programs: never changes its meaning. */
  check: string;
  /** What was looked at, for people: a word or three. */
  subject: string;
  level: Level;
  /** The fact, as short as it can be said. */
  found: string;
  /** What it means for Ashlar; empty for what is as it should be and needs no word. */
  why: string;
  /** Command lines, or lines of a file, that change it; empty: nothing is to be changed. */
  fix: readonly string[];
}

/** One check, with the ways in which it can end. */
export class Check {
  readonly #check: string;
  readonly #subject: string;

  constructor(check: string, subject: string) {
    this.#check = check;
    this.#subject = subject;
  }

  ok(found: string): Finding {
    return this.#finding('ok', found, '', []);
  }

  unknown(found: string): Finding {
    return this.#finding('unknown', found, '', []);
  }

  warn(found: string, why: string, fix: readonly string[]): Finding {
    return this.#finding('warn', found, why, fix);
  }

  fail(found: string, why: string, fix: readonly string[]): Finding {
    return this.#finding('fail', found, why, fix);
  }

  #finding(level: Level, found: string, why: string, fix: readonly string[]): Finding {
    return { check: this.#check, subject: this.#subject, level, found, why, fix };
  }
}

/** A kernel setting, now and after every boot. */
export function sysctlFix(key: string, value: string): string {
  return `sysctl -w ${key}='${value}' | tee -a /etc/sysctl.d/60-ashlar.conf`;
}

/** `1, 2 and 3`. */
export function listed(words: readonly string[]): string {
  const last = words.at(-1) ?? '';
  return words.length < 2 ? last : `${words.slice(0, -1).join(', ')} and ${last}`;
}
