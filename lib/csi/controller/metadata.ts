/** The SnapshotMetadata service: what a snapshot holds, and where two differ, from the layers. */
import type { Snapshot } from '../../api/contract.js';
import { CsiError } from '../errors.js';
import { required } from '../names.js';
import type { CsiCall, Handlers } from '../server.js';
import type { Encodable } from '../wire/fields.js';
import type * as m from '../wire/messages.js';
import type { RequestOf, ResponseOf } from '../wire/services.js';
import type { Endpoint } from './endpoint.js';
import type { Endpoints, Found } from './endpoints.js';

type Asked<R extends keyof Handlers<'SnapshotMetadata'>> = RequestOf<'SnapshotMetadata', R>;
type Answer = ResponseOf<'SnapshotMetadata', 'getMetadataDelta'>;
type Block = Encodable<typeof m.BlockMetadata>;

/** Ranges of one message, and of one request to a daemon. */
const maxResults = 1000;
/** Ranges begin and end at these, but for the end of the volume. */
const unit = 4096n;

/** What is asked of a snapshot. */
interface Wanted {
  snapshot: Found<Snapshot>;
  /** UUID of an older one; null: all that it holds. */
  since: string | null;
  startingOffset: bigint;
  maxResults: number;
}

export class SnapshotMetadataService implements Handlers<'SnapshotMetadata'> {
  readonly #endpoints: Endpoints;

  constructor(endpoints: Endpoints) {
    this.#endpoints = endpoints;
  }

  async *getMetadataAllocated(
    request: Asked<'getMetadataAllocated'>,
    { signal }: CsiCall,
  ): AsyncIterable<ResponseOf<'SnapshotMetadata', 'getMetadataAllocated'>> {
    const id = required('snapshot_id', request.snapshotId);
    checkResults(request.maxResults);
    const snapshot = await this.#find(id, signal);
    yield* stream({ ...request, snapshot, since: null }, signal);
  }

  async *getMetadataDelta(
    request: Asked<'getMetadataDelta'>,
    { signal }: CsiCall,
  ): AsyncIterable<ResponseOf<'SnapshotMetadata', 'getMetadataDelta'>> {
    const baseId = required('base_snapshot_id', request.baseSnapshotId);
    const targetId = required('target_snapshot_id', request.targetSnapshotId);
    checkResults(request.maxResults);
    const [base, snapshot] = await Promise.all([
      this.#find(baseId, signal),
      this.#find(targetId, signal),
    ]);
    await assertOrder(base, snapshot, signal);
    yield* stream({ ...request, snapshot, since: base.item.uuid }, signal);
  }

  async #find(id: string, signal: AbortSignal): Promise<Found<Snapshot>> {
    const found = await this.#endpoints.snapshot(id, signal);
    if (found !== null) return found;
    throw new CsiError('NOT_FOUND', `snapshot '${id}' does not exist`);
  }
}

/**
 * Page by page: the next one is asked for when the caller has taken the one before, and none when
 * it has gone. The first message is there also when there is nothing to tell but the size.
 */
async function* stream(wanted: Wanted, signal: AbortSignal): AsyncIterable<Answer> {
  const { snapshot, startingOffset: start } = wanted;
  const { endpoint, item } = snapshot;
  const volumeCapacityBytes = BigInt(item.sizeBytes);
  if (start < 0n || start > volumeCapacityBytes) {
    throw new CsiError(
      'OUT_OF_RANGE',
      `starting_offset ${start} is outside snapshot '${item.uuid}' of ${volumeCapacityBytes} bytes`,
    );
  }
  const limit = wanted.maxResults === 0 ? maxResults : Math.min(wanted.maxResults, maxResults);
  let cursor: string | null = null;
  let told = false;
  do {
    signal.throwIfAborted();
    const page = await readPage(endpoint, wanted, cursor, limit, signal);
    const blockMetadata = page.items
      // Of one snapshot alone, what reads as zeroes holds nothing.
      .filter(({ kind }) => wanted.since !== null || kind === 'data')
      .map(({ offsetBytes, lengthBytes }) => after(start, offsetBytes, lengthBytes))
      .filter((block) => block !== null);
    cursor = page.next;
    if (blockMetadata.length === 0 && (told || cursor !== null)) continue;
    told = true;
    yield { blockMetadataType: 'VARIABLE_LENGTH', volumeCapacityBytes, blockMetadata };
  } while (cursor !== null);
}

function readPage(
  endpoint: Endpoint,
  { snapshot: { item }, since, startingOffset }: Wanted,
  cursor: string | null,
  limit: number,
  signal: AbortSignal,
) {
  const from = String(startingOffset - (startingOffset % unit));
  return endpoint.call(
    'listRanges',
    {
      params: { snapshot: item.uuid },
      query: {
        limit: String(limit),
        from,
        ...(since === null ? {} : { since }),
        ...(cursor === null ? {} : { cursor }),
      },
    },
    { signal },
  );
}

/** The part of a range that is not before the start; null: none of it. */
function after(start: bigint, offsetBytes: number, lengthBytes: number): Block | null {
  const [from, to] = [BigInt(offsetBytes), BigInt(offsetBytes + lengthBytes)];
  if (to <= start) return null;
  const byteOffset = from < start ? start : from;
  return { byteOffset, sizeBytes: to - byteOffset };
}

/** @throws CsiError INVALID_ARGUMENT unless `base` is an older snapshot of the same volume. */
async function assertOrder(
  base: Found<Snapshot>,
  target: Found<Snapshot>,
  signal: AbortSignal,
): Promise<void> {
  const [older, newer] = [base.item, target.item];
  const same = base.endpoint === target.endpoint && older.sourceUuid === newer.sourceUuid;
  if (!same || older.sourceUuid === null) {
    throw new CsiError(
      'INVALID_ARGUMENT',
      `snapshot '${older.uuid}' is of volume '${older.volume}' and '${newer.uuid}' of volume ` +
        `'${newer.volume}'; only snapshots of one volume are compared`,
    );
  }
  // Lists of a volume's snapshots have the oldest first, also of those of one millisecond.
  const all = await base.endpoint.list('listSnapshots', { volume: older.sourceUuid }, signal);
  const place = (uuid: string): number => all.findIndex((each) => each.uuid === uuid);
  if (place(older.uuid) < place(newer.uuid)) return;
  throw new CsiError(
    'INVALID_ARGUMENT',
    `base_snapshot_id '${older.uuid}' (${older.createdAt}) is not older than target_snapshot_id ` +
      `'${newer.uuid}' (${newer.createdAt})`,
  );
}

function checkResults(results: number): void {
  if (results >= 0) return;
  throw new CsiError('INVALID_ARGUMENT', `max_results is ${results}; it cannot be negative`);
}
