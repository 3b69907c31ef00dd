/**
 * What every operation does: the control plane's own objects in, the API's objects out. No rule is
 * decided here; those are the node's. Each object has a file of its own in handlers/.
 */
import type { Node } from '../node/types.js';
import { conditionOperations } from './handlers/conditions.js';
import { eventOperations } from './handlers/events.js';
import { grantOperations } from './handlers/grants.js';
import { groupOperations } from './handlers/groups.js';
import { hostKeyOperations } from './handlers/host_keys.js';
import { hostOperations } from './handlers/hosts.js';
import { jobOperations } from './handlers/jobs.js';
import { nodeOperations } from './handlers/node.js';
import { policyOperations } from './handlers/policies.js';
import { poolOperations } from './handlers/pools.js';
import { portalOperations } from './handlers/portals.js';
import { pskOperations } from './handlers/psks.js';
import { referralOperations } from './handlers/referrals.js';
import { reservationOperations } from './handlers/reservations.js';
import { scheduleOperations } from './handlers/schedules.js';
import { snapshotOperations } from './handlers/snapshots.js';
import { statisticsOperations } from './handlers/statistics.js';
import { streamOperations } from './handlers/streams.js';
import { tenantOperations } from './handlers/tenants.js';
import { tokenOperations } from './handlers/tokens.js';
import { volumeOperations } from './handlers/volumes.js';
import type { Handlers } from './server.js';

/** Handlers that work on a node. */
export function nodeHandlers(node: Node): Handlers {
  return {
    ...nodeOperations(node),
    ...poolOperations(node),
    ...tenantOperations(node),
    ...volumeOperations(node),
    ...snapshotOperations(node),
    ...groupOperations(node),
    ...scheduleOperations(node),
    ...streamOperations(node),
    ...hostOperations(node),
    ...grantOperations(node),
    ...hostKeyOperations(node),
    ...referralOperations(node),
    ...reservationOperations(node),
    ...portalOperations(node),
    ...pskOperations(node),
    ...eventOperations(node),
    ...jobOperations(node),
    ...tokenOperations(node),
    ...policyOperations(node),
    ...statisticsOperations(node),
    ...conditionOperations(node),
  };
}
