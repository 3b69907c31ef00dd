/** Controller properties and what Property Set makes of them (Base 3.1.3, 3.5, 3.6). */
import type { CommandCompletion } from '../native.js';
import { specVersion } from './identify_controller.js';
import { maxQueueEntries } from './limits.js';
import type { PropertyCommand } from './sqe.js';
import { refuse, statuses, succeed } from './statuses.js';

/** Offsets of the properties of message-based controllers (Base Figure 35). */
export const propertyOffsets = { cap: 0x00, vs: 0x08, cc: 0x14, csts: 0x1c, crto: 0x68 } as const;

/** Both CAP.TO and CRTO.CRWMT: we are ready at once, and promise 15 s in units of 500 ms. */
const readyTimeout = 30;

/**
 * CAP (Base Figure 36): MQES 0's based; CQR; TO; CSS bit 0, the NVM command set; CRMS bit 0, ready
 * means media ready. Doorbells, other page sizes and subsystem reset are not ours.
 */
export const cap =
  BigInt(maxQueueEntries - 1) |
  (1n << 16n) |
  (BigInt(readyTimeout) << 24n) |
  (1n << 37n) |
  (1n << 59n);

/** CSTS.SHST. */
type Shutdown = 'none' | 'complete';

/** What the caller must tell native code and the rest of the controller. */
export type PropertyEffect = 'none' | 'enabled' | 'reset' | 'shutdown';

/**
 * CC and CSTS of one controller. States, as CC.EN and CSTS show them:
 * disabled (EN 0, RDY 0), ready (EN 1, RDY 1), failed (EN 1, CFS 1: CC asked for something that we
 * do not have; only EN 0 leads out) and, over any of them, shutdown complete (SHST 10b).
 */
export class Properties {
  readonly #kind: 'io' | 'discovery';
  #cc = 0;
  #ready = false;
  #fatal = false;
  #shutdown: Shutdown = 'none';

  constructor(kind: 'io' | 'discovery') {
    this.#kind = kind;
  }

  /** CC.EN is set and the controller takes commands. */
  get ready(): boolean {
    return this.#ready && this.#shutdown === 'none';
  }

  get csts(): number {
    const shst = this.#shutdown === 'complete' ? 0b10 << 2 : 0;
    return (this.#ready ? 1 : 0) | (this.#fatal ? 1 << 1 : 0) | shst;
  }

  /** Property Get (Base 6.4): the value in dwords 0 and 1. */
  get(command: PropertyCommand): CommandCompletion {
    const value = this.#value(command.offset, command.sizeCode);
    return value === null ? refuse(statuses.invalidField) : succeed(value);
  }

  #value(offset: number, sizeCode: number): bigint | null {
    if (sizeCode === 1) return offset === propertyOffsets.cap ? cap : null;
    if (sizeCode !== 0) return null;
    switch (offset) {
      case propertyOffsets.vs:
        return BigInt(specVersion);
      case propertyOffsets.cc:
        return BigInt(this.#cc);
      case propertyOffsets.csts:
        return BigInt(this.csts);
      case propertyOffsets.crto:
        return BigInt(readyTimeout);
      default:
        return null;
    }
  }

  /** Property Set (Base 6.6). Only CC can be set; others are read-only or absent. */
  set(command: PropertyCommand): { completion: CommandCompletion; effect: PropertyEffect } {
    if (command.offset !== propertyOffsets.cc || command.sizeCode !== 0) {
      return { completion: refuse(statuses.invalidField), effect: 'none' };
    }
    const cc = Number(command.value & 0xffff_ffffn);
    return { completion: succeed(), effect: this.#setCc(cc) };
  }

  #setCc(cc: number): PropertyEffect {
    const wasEnabled = (this.#cc & 1) === 1;
    const enable = (cc & 1) === 1;
    const wasShutdown = this.#shutdown === 'complete';
    const shutdown = ((cc >>> 14) & 0b11) !== 0;
    this.#cc = cc;
    if (wasEnabled && !enable) {
      // Controller reset (Base 3.7.2): back to the start, a shutdown that came along is complete.
      this.#ready = false;
      this.#fatal = false;
      this.#shutdown = shutdown ? 'complete' : 'none';
      return 'reset';
    }
    if (!wasEnabled && enable) {
      this.#shutdown = 'none';
      this.#ready = this.#supported(cc);
      this.#fatal = !this.#ready;
      if (this.#ready && !shutdown) return 'enabled';
    }
    if (shutdown && !wasShutdown) {
      // Acknowledged writes are as durable as they were: there is nothing to wait for.
      this.#shutdown = 'complete';
      return 'shutdown';
    }
    if (!shutdown && !enable) this.#shutdown = 'none';
    return 'none';
  }

  /** Command set NVM, 4 KiB pages, round robin, and entries of 64 and 16 bytes for I/O queues. */
  #supported(cc: number): boolean {
    const css = (cc >>> 4) & 0b111;
    const mps = (cc >>> 7) & 0b1111;
    const ams = (cc >>> 11) & 0b111;
    const iosqes = (cc >>> 16) & 0b1111;
    const iocqes = (cc >>> 20) & 0b1111;
    if (css !== 0 || mps !== 0 || ams !== 0) return false;
    return this.#kind === 'discovery' || (iosqes === 6 && iocqes === 4);
  }
}
