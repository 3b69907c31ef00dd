/** Identities that follow from a CO's names, so that what is made twice is one thing. */
import { volumeUuid } from '../names.js';

// No name has a NUL in it, so these are never a volume's.

export function snapshotUuid(name: string): string {
  return volumeUuid(`snapshot\0${name}`);
}

export function groupUuid(name: string): string {
  return volumeUuid(`group\0${name}`);
}

/** The snapshot of that volume in the group of that name. */
export function memberUuid(name: string, volumeId: string): string {
  return volumeUuid(`group\0${name}\0${volumeId}`);
}
