/** GetCapacity: how much can be made where. */
import { CsiError } from '../errors.js';
import type { Decoded } from '../wire/fields.js';
import type * as m from '../wire/messages.js';
import { incomplete, unsupported } from './capabilities.js';
import { Unreachable } from './endpoint.js';
import type { Endpoints } from './endpoints.js';
import { parseParameters } from './parameters.js';
import { isAt, type Room, roomOf } from './placement.js';
import { maxVolumeBytes } from './sizes.js';

export interface Capacity {
  availableCapacity: bigint;
  maximumVolumeSize: bigint;
  minimumVolumeSize: bigint;
}

/**
 * @throws CsiError INVALID_ARGUMENT, PERMISSION_DENIED when the driver's token may not see pools,
 * UNAVAILABLE when no daemon of that topology answers.
 */
export async function capacityOf(
  { all }: Endpoints,
  request: Decoded<typeof m.GetCapacityRequest>,
  signal: AbortSignal,
): Promise<Capacity> {
  const { volumeCapabilities, accessibleTopology: topology } = request;
  const parameters = parseParameters(request.parameters, {});
  const minimumVolumeSize = BigInt(parameters.blockBytes ?? 4096);
  const nothing = { availableCapacity: 0n, maximumVolumeSize: 0n, minimumVolumeSize };
  for (const capability of volumeCapabilities) {
    const problem = incomplete(capability);
    if (problem !== null) throw new CsiError('INVALID_ARGUMENT', problem);
    if (unsupported(capability) !== null) return nothing;
  }
  const there = all.filter((each) => topology === null || isAt(each, topology.segments));
  const rooms: Room[] = [];
  let silent: Unreachable | null = null;
  for (const answer of await Promise.allSettled(
    there.map((endpoint) => roomOf(endpoint, parameters, signal)),
  )) {
    if (answer.status === 'fulfilled') rooms.push(answer.value);
    else if (answer.reason instanceof Unreachable) silent = answer.reason;
    else throw answer.reason;
  }
  // What does not answer has nothing to give now; but of nobody nothing is known.
  if (rooms.length === 0 && silent !== null) throw silent;
  const sizes = rooms.map(bytesOf);
  const largest = sizes.reduce((a, b) => (a > b ? a : b), 0n);
  const most = largest < maxVolumeBytes ? largest : maxVolumeBytes;
  return {
    availableCapacity: sizes.reduce((sum, size) => sum + size, 0n),
    maximumVolumeSize: most - (most % minimumVolumeSize),
    minimumVolumeSize,
  };
}

function bytesOf({ endpoint, bytes, lack }: Room): bigint {
  if (lack !== null) return 0n;
  if (bytes !== null) return bytes;
  throw new CsiError(
    'PERMISSION_DENIED',
    `the token for endpoint '${endpoint.name}' may not see its pool; give the driver one of role ` +
      "'admin' that is of no tenant",
  );
}
