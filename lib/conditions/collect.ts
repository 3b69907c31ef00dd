/** Asks a node for all that a volume is judged by. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Node } from '../node/types.js';
import type { CallOptions } from '../volumes/types.js';
import type { VolumeFacts } from './types.js';

/** Between the two readings that tell whether commands wait for a limit now. */
const betweenMs = 200;

/**
 * @param ofNode the caller runs the node, and is told of its pool and devices.
 * @throws AshlarError not-found.
 */
export async function volumeFacts(
  node: Node,
  name: string,
  ofNode: boolean,
  options: CallOptions = {},
): Promise<VolumeFacts> {
  const volume = await node.volumes.show(name, options);
  const own = { tenant: volume.tenant };
  const counts = () => node.statistics.volume(volume.uuid, own).items[0]?.counters;
  const before = counts();
  // Without a command that ever waited there is nothing to wait for here.
  if ((before?.limitedCommands ?? 0n) > 0n) {
    await pause(betweenMs, undefined, { signal: options.signal });
  }
  const after = counts();
  return {
    volume,
    unfinishedImport:
      node.streams.imports(own).find(({ volumeUuid }) => volumeUuid === volume.uuid) ?? null,
    pool: await node.pool.status(),
    portals: node.portals.list(),
    reservation:
      node.reservations
        .list(own)
        .find((each) => each.nsid === volume.nsid && each.snapshot === null) ?? null,
    schedules: node.schedules.list(own).filter(({ volumes }) => volumes.includes(volume.name)),
    hostsWithKeys: new Set([
      ...node.psks.list(own).map(({ host }) => host),
      ...node.hostKeys.list(own).map(({ nqn }) => nqn),
    ]),
    limited: (after?.limitedCommands ?? 0n) > (before?.limitedCommands ?? 0n),
    failedCommands: after?.errors ?? 0n,
    ofNode,
  };
}
