/**
 * The controller's services over Ashlar's API.
 *
 * A walk of a CreateVolume, file by file:
 *
 * 1. controller.ts takes the request; create.ts checks what can be checked alone: the name
 *    (../names.ts), the ways of use (capabilities.ts), the range of sizes (sizes.ts) and the
 *    parameters (parameters.ts).
 * 2. The name's UUID is the volume's identity, for all controllers and for ever. It is locked
 *    (../locks.ts), and asked for at every daemon (endpoints.ts): when it is there it is compared
 *    with what is wanted, and is the answer or ALREADY_EXISTS. A daemon that does not answer might
 *    have it: UNAVAILABLE.
 * 3. placement.ts ranks the daemons by topology and asks each what it has: tenant, policy,
 *    schedule, room. What comes from a snapshot or volume stays where that is.
 * 4. endpoint.ts sends createVolume or cloneVolume with that UUID, over a connection that
 *    connections.ts holds; sent twice it makes one volume.
 * 5. Once more all other daemons are asked: another controller may have done the same elsewhere.
 * 6. schedules.ts puts it into its snapshot schedule; objects.ts makes the answer.
 *
 * A call that is cut off anywhere leaves a state from which the next one goes on: every step is
 * done once however often it is asked for, and each begins with a look at what there is.
 */
import type { Logger } from 'pino';
import type { EndpointSettings, Segments } from '../config.js';
import { OperationLocks } from '../locks.js';
import type { Handlers } from '../server.js';
import { type ApiCaller, Connections } from './connections.js';
import { ControllerService } from './controller.js';
import { VolumeMaker } from './create.js';
import { Endpoint } from './endpoint.js';
import { Endpoints } from './endpoints.js';
import { EphemeralVolumes } from './ephemeral.js';
import { GroupControllerService } from './groups.js';
import { Listing } from './listing.js';
import { SnapshotMetadataService } from './metadata.js';
import { Publisher } from './publish.js';
import { Snapshots } from './snapshots.js';
import { Volumes } from './volumes.js';

export interface ControllerOptions {
  endpoints: readonly EndpointSettings[];
  logger: Logger;
  /** Volumes of one node at most; 0 or not given: as many as the daemons grant. */
  maxVolumesPerNode?: number;
  /** How requests get to a daemon; not given: over its socket or HTTPS. */
  connect?: (settings: EndpointSettings) => ApiCaller;
}

export interface ControllerServices extends AsyncDisposable {
  Controller: Handlers<'Controller'>;
  GroupController: Handlers<'GroupController'>;
  SnapshotMetadata: Handlers<'SnapshotMetadata'>;
}

/** Nothing is asked of any daemon until the first call. */
export function controllerServices(options: ControllerOptions): ControllerServices {
  const { endpoints, locks, maker, publisher, volumes } = partsOf(options);
  const listing = new Listing(endpoints.all);
  const snapshots = new Snapshots(endpoints, locks, listing);
  const parts = { endpoints, listing, maker, publisher, volumes, snapshots };
  return {
    Controller: new ControllerService(parts),
    GroupController: new GroupControllerService(endpoints, locks),
    SnapshotMetadata: new SnapshotMetadataService(endpoints),
    [Symbol.asyncDispose]: () => endpoints.close(),
  };
}

/**
 * For the node's inline volumes.
 *
 * @param topology where the node is; null: it reaches every daemon.
 */
export function ephemeralVolumes(
  options: ControllerOptions,
  topology: Segments | null,
): EphemeralVolumes {
  const { endpoints, maker, publisher, volumes } = partsOf(options);
  return new EphemeralVolumes({
    maker,
    publisher,
    volumes,
    topology,
    close: () => endpoints.close(),
  });
}

function partsOf(options: ControllerOptions) {
  const { connect = (settings) => new Connections(settings), maxVolumesPerNode = 0 } = options;
  const endpoints = new Endpoints(
    options.endpoints.map((each) => new Endpoint(each, connect(each), options.logger)),
  );
  const locks = new OperationLocks();
  return {
    endpoints,
    locks,
    maker: new VolumeMaker(endpoints, locks),
    publisher: new Publisher(endpoints, locks, maxVolumesPerNode),
    volumes: new Volumes(endpoints, locks),
  };
}
