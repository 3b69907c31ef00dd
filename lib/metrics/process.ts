/** What this process uses, and how late its event loop is. */
import { readdirSync, readFileSync } from 'node:fs';
import { type IntervalHistogram, monitorEventLoopDelay, performance } from 'node:perf_hooks';

export interface ProcessReading {
  userSeconds: number;
  systemSeconds: number;
  residentBytes: number;
  virtualBytes: number;
  heapUsedBytes: number;
  heapTotalBytes: number;
  externalBytes: number;
  openFiles: number;
  maxFiles: number | null;
  /** Of the start, since 1970. */
  startSeconds: number;
  loopBusySeconds: number;
}

const startSeconds = performance.timeOrigin / 1000;

export function readProcess(): ProcessReading {
  const cpu = process.cpuUsage();
  const memory = process.memoryUsage();
  return {
    userSeconds: cpu.user / 1e6,
    systemSeconds: cpu.system / 1e6,
    residentBytes: memory.rss,
    virtualBytes: virtualBytes(),
    heapUsedBytes: memory.heapUsed,
    heapTotalBytes: memory.heapTotal,
    externalBytes: memory.external,
    openFiles: readdirSync('/proc/self/fd').length,
    maxFiles: maxFiles(),
    startSeconds,
    loopBusySeconds: performance.eventLoopUtilization().active / 1000,
  };
}

function virtualBytes(): number {
  const kib = /^VmSize:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return Number(kib ?? 0) * 1024;
}

function maxFiles(): number | null {
  const soft = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
  return soft === undefined ? null : Number(soft);
}

/** Seconds. */
export interface Lag {
  mean: number;
  p99: number;
  max: number;
}

/** How often a timer looks, milliseconds: 50 turns a second, while somebody scrapes. */
const resolutionMs = 20;
/** So long nobody has asked: nobody scrapes any more. */
const forgottenMs = 5 * 60_000;

/**
 * How late the event loop runs its timers. Measured only while somebody asks, since it takes a
 * timer that an idle daemon has no other use for.
 */
export class EventLoopLag {
  #delay: IntervalHistogram | null = null;
  #forget: NodeJS.Timeout | null = null;

  /** Since the last call; null: it was not measured yet. */
  read(): Lag | null {
    this.#forget?.refresh();
    if (this.#delay === null) {
      this.#delay = monitorEventLoopDelay({ resolution: resolutionMs });
      this.#delay.enable();
      this.#forget = setTimeout(() => this.close(), forgottenMs).unref();
      return null;
    }
    const delay = this.#delay;
    if (delay.count === 0) return null;
    // It counts from one look to the next, and so the time between them too.
    const late = (ns: number): number => Math.max(0, ns / 1e9 - resolutionMs / 1000);
    const lag = {
      mean: late(delay.mean),
      p99: late(delay.percentile(99)),
      max: late(delay.max),
    };
    delay.reset();
    return lag;
  }

  close(): void {
    if (this.#forget !== null) clearTimeout(this.#forget);
    this.#delay?.disable();
    this.#delay = null;
    this.#forget = null;
  }
}
