/**
 * Reservation notifications of one controller (Base 5.16.1.24 and 8.19): a queue of log pages,
 * which the host reads one by one.
 */
import { FieldWriter } from '../bytes.js';
import type { ReservationNotification } from './reservations.js';

type NotificationType = ReservationNotification['type'];

/** Pages kept unread, which is what the page can count. Of more, the oldest are lost. */
const maxUnread = 255;

interface Notice {
  /** LPC: counts all notices of the controller from 1, so that a gap shows what was lost. */
  count: bigint;
  nsid: number;
  type: NotificationType;
}

export class ReservationNotices {
  #count = 0n;
  #unread: Notice[] = [];
  /** Types not wanted, by NSID: bits as in the feature Reservation Notification Mask. */
  readonly #masks = new Map<number, number>();

  /** @returns whether the host is to be told: it has not masked this type. */
  add(nsid: number, type: NotificationType): boolean {
    if ((this.mask(nsid) & (1 << type)) !== 0) return false;
    this.#count += 1n;
    this.#unread.push({ count: this.#count, nsid, type });
    if (this.#unread.length > maxUnread) this.#unread.shift();
    return true;
  }

  mask(nsid: number): number {
    return this.#masks.get(nsid) ?? 0;
  }

  setMask(nsid: number, mask: number): void {
    if (mask === 0) this.#masks.delete(nsid);
    else this.#masks.set(nsid, mask);
  }

  /** The oldest unread log page; an empty one (type 0) when there is none. */
  page(): Uint8Array {
    const page = new FieldWriter(64);
    const oldest = this.#unread[0];
    if (oldest === undefined) return page.bytes;
    return page
      .u64(0, oldest.count)
      .u8(8, oldest.type)
      .u8(9, this.#unread.length - 1) // Number of Available Log Pages: more than this one
      .u32(12, oldest.nsid).bytes;
  }

  /** The oldest page was read. @returns whether there are more. */
  acknowledge(): boolean {
    this.#unread.shift();
    return this.#unread.length > 0;
  }
}
