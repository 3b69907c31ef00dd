/** Which hosts a change would leave without a way to their volumes. */

import type { AnaState } from '../native.js';
import { isUsable } from '../target/ana.js';
import type { Controller } from '../target/controller.js';

/** Groups that hosts may use through each portal, as they last. */
export type Reach = (portalId: number, anagrpid: number) => AnaState | null;

/**
 * Controllers of the hosts that reach some group of their namespaces `before` a change, through any
 * controller they have of that subsystem, and not `after`. The paths of one host are those of one
 * HOSTNQN and HOSTID: the kernel puts exactly these together.
 */
export function cutOff(
  controllers: readonly Controller[],
  before: Reach,
  after: Reach,
): Controller[] {
  const hosts = new Map<string, Controller[]>();
  for (const controller of controllers) {
    const { kind, hostnqn, hostId, subnqn } = controller.identity;
    if (kind !== 'io') continue;
    const key = `${hostnqn} ${Buffer.from(hostId).toString('hex')} ${subnqn}`;
    hosts.set(key, [...(hosts.get(key) ?? []), controller]);
  }
  return [...hosts.values()].filter((paths) => losesGroup(paths, before, after)).flat();
}

function losesGroup(paths: readonly Controller[], before: Reach, after: Reach): boolean {
  const groups = new Set(
    paths.flatMap(({ visible }) => [...visible.values()].map(({ anagrpid }) => anagrpid)),
  );
  const reaches = (reach: Reach, anagrpid: number): boolean =>
    paths.some(({ identity }) => {
      const state = reach(identity.portalId, anagrpid);
      return state !== null && isUsable(state);
    });
  return [...groups].some((group) => reaches(before, group) && !reaches(after, group));
}
