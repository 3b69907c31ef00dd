/** CreateVolume: see the walk of one in services.ts. */
import type { Snapshot, Volume } from '../../api/contract.js';
import { formatSize } from '../../config/units.js';
import { CsiError, toCsiError } from '../errors.js';
import type { OperationLocks } from '../locks.js';
import { ashlarName, checkName, required, volumeUuid } from '../names.js';
import type { RequestOf } from '../wire/services.js';
import { usesOf } from './capabilities.js';
import { codeOf, type Endpoint, Unreachable } from './endpoint.js';
import type { Endpoints, Found } from './endpoints.js';
import { volumeText } from './objects.js';
import { defaultTenant, type Parameters, parseParameters } from './parameters.js';
import { lackOf, place, type Requirement, ranked } from './placement.js';
import { joinSchedule } from './schedules.js';
import { checkRange, isWithin, type Range, rangeText, sizeWithin } from './sizes.js';

type CreateRequest = RequestOf<'Controller', 'createVolume'>;

/** A volume that is wanted, checked as far as that can be without asking anybody. */
export interface WantedVolume {
  /** The CO's. */
  name: string;
  uuid: string;
  range: Range;
  parameters: Parameters;
  requirement: Requirement;
  /** UUID of a snapshot or volume; null: it is empty. */
  source: { kind: 'snapshot' | 'volume'; id: string } | null;
}

/** @throws CsiError INVALID_ARGUMENT, OUT_OF_RANGE. */
export function wantedVolume(request: CreateRequest): WantedVolume {
  const name = checkName('name', request.name);
  usesOf(request.volumeCapabilities);
  checkRange(request.capacityRange);
  return {
    name,
    uuid: volumeUuid(name),
    range: request.capacityRange,
    parameters: parseParameters(request.parameters, request.mutableParameters),
    requirement: request.accessibilityRequirements,
    source: sourceOf(request.volumeContentSource),
  };
}

function sourceOf(source: CreateRequest['volumeContentSource']): WantedVolume['source'] {
  if (source === null) return null;
  const { snapshot, volume } = source;
  if (snapshot !== null && volume === null) {
    return { kind: 'snapshot', id: required('snapshot_id of the source', snapshot.snapshotId) };
  }
  if (volume !== null && snapshot === null) {
    return { kind: 'volume', id: required('volume_id of the source', volume.volumeId) };
  }
  throw new CsiError('INVALID_ARGUMENT', 'volume_content_source is neither snapshot nor volume');
}

export class VolumeMaker {
  readonly #endpoints: Endpoints;
  readonly #locks: OperationLocks;

  constructor(endpoints: Endpoints, locks: OperationLocks) {
    this.#endpoints = endpoints;
    this.#locks = locks;
  }

  /** The volume that is wanted, made now or before. */
  make(wanted: WantedVolume, signal: AbortSignal): Promise<Found<Volume>> {
    return this.#locks.hold([wanted.uuid], 'CreateVolume', async () => {
      const needed = this.#needed(wanted);
      const before = await this.#endpoints.volumeAnywhere(wanted.uuid, needed, signal);
      if (before !== null) assertSame(before, wanted);
      const found = before ?? (await this.#makeNew(wanted, signal));
      const { schedule } = wanted.parameters;
      if (schedule === null || schedule === '') return found;
      try {
        await this.#join(found, schedule, signal);
      } catch (thrown) {
        // It has filled up, or gone, in between: then the volume was not made either.
        if (before === null && isFinal(thrown)) await deleteMade(found, signal);
        throw thrown;
      }
      return found;
    });
  }

  /**
   * Where an earlier call can have made it: within the topology, which a CO changes only when it
   * was told that nothing was made. So a daemon that is down stops nobody elsewhere.
   */
  #needed({ requirement }: WantedVolume): Endpoint[] {
    return ranked(this.#endpoints.all, requirement).flat();
  }

  async #makeNew(wanted: WantedVolume, signal: AbortSignal): Promise<Found<Volume>> {
    const { source } = wanted;
    const found = source === null ? null : await this.#findSource(source, signal);
    const made =
      found === null
        ? await this.#makeEmpty(wanted, signal)
        : await this.#makeFrom(wanted, found, signal);
    await this.#assertAlone(made, this.#needed(wanted), signal);
    this.#endpoints.remember(wanted.uuid, made.endpoint);
    return made;
  }

  async #makeEmpty(wanted: WantedVolume, signal: AbortSignal): Promise<Found<Volume>> {
    const { parameters, range } = wanted;
    const blockBytes = parameters.blockBytes ?? 4096;
    const sizeBytes = sizeWithin(range, blockBytes, null);
    const places = await place(this.#endpoints, wanted.requirement, parameters, sizeBytes, signal);
    const full: string[] = [];
    for (const endpoint of places) {
      try {
        const item = await endpoint.call(
          'createVolume',
          {
            body: { ...common(wanted), sizeBytes: Number(sizeBytes), blockBytes },
            query: { tenant: parameters.tenant ?? defaultTenant, repeatable: 'true' },
          },
          { signal },
        );
        return { endpoint, item };
      } catch (thrown) {
        // Of what does not fit there another may have enough; whatever else, it is told.
        const { status, message } = refusal(thrown, endpoint);
        if (status !== 'RESOURCE_EXHAUSTED') throw refusal(thrown, endpoint);
        full.push(message);
      }
    }
    throw new CsiError('RESOURCE_EXHAUSTED', full.join('; '));
  }

  async #makeFrom(
    wanted: WantedVolume,
    { endpoint, item: source }: Found<Snapshot | Volume>,
    signal: AbortSignal,
  ): Promise<Found<Volume>> {
    const { parameters, requirement } = wanted;
    assertFits(wanted, source);
    if (!ranked([endpoint], requirement).flat().includes(endpoint)) {
      throw new CsiError(
        'RESOURCE_EXHAUSTED',
        `the source is at endpoint '${endpoint.name}', which is not in the requested topology; ` +
          'its clones can only be there',
      );
    }
    const { pool } = parameters;
    const lack = await lackOf(endpoint, source.tenant, parameters, signal);
    if (lack !== null) throw new CsiError(lack.status, `endpoint '${endpoint.name}' ${lack.text}`);
    if (pool !== null) await assertPool(endpoint, pool, signal);
    const size = sizeWithin(wanted.range, source.blockBytes, BigInt(source.sizeBytes));
    try {
      const item = await endpoint.call(
        'cloneVolume',
        {
          body: { ...common(wanted), source: source.uuid, sizeBytes: Number(size) },
          query: { tenant: source.tenant, repeatable: 'true' },
        },
        { signal },
      );
      return { endpoint, item };
    } catch (thrown) {
      throw refusal(thrown, endpoint);
    }
  }

  async #findSource(
    { kind, id }: NonNullable<WantedVolume['source']>,
    signal: AbortSignal,
  ): Promise<Found<Snapshot | Volume>> {
    const found = await (kind === 'snapshot'
      ? this.#endpoints.snapshot(id, signal)
      : this.#endpoints.volume(id, signal));
    if (found !== null) return found;
    throw new CsiError('NOT_FOUND', `the source, ${kind} '${id}', does not exist`);
  }

  /**
   * Another controller may have made one of that name at another endpoint in the meantime. Whoever
   * comes second sees the other's and takes its own back; if both do, both come again.
   */
  async #assertAlone(
    { endpoint, item }: Found<Volume>,
    needed: readonly Endpoint[],
    signal: AbortSignal,
  ): Promise<void> {
    const other = await this.#endpoints.volumeBeside(endpoint, item.uuid, needed, signal);
    if (other === null) return;
    await deleteMade({ endpoint, item }, signal);
    throw new CsiError(
      'ABORTED',
      `volume '${item.name}' was made at endpoint '${other.name}' at the same moment; call again`,
    );
  }

  async #join(found: Found<Volume>, schedule: string, signal: AbortSignal): Promise<void> {
    try {
      await joinSchedule(found, schedule, signal);
    } catch (thrown) {
      if (codeOf(thrown) !== 'not-found') throw thrown;
      const { tenant } = found.item;
      throw new CsiError(
        'INVALID_ARGUMENT',
        `tenant '${tenant}' has no schedule '${schedule}' at endpoint '${found.endpoint.name}'`,
        { cause: thrown },
      );
    }
  }
}

/** Whether calling again with the same would be in vain. */
function isFinal(thrown: unknown): boolean {
  const { status } = toCsiError(thrown);
  return status === 'RESOURCE_EXHAUSTED' || status === 'INVALID_ARGUMENT';
}

/** Takes back what this call has made, which nobody has been told of. */
async function deleteMade({ endpoint, item }: Found<Volume>, signal: AbortSignal): Promise<void> {
  const input = { params: { volume: item.uuid }, query: { repeatable: 'true' as const } };
  await endpoint.call('deleteVolume', input, { signal });
}

/** What new volumes and clones are made with alike. */
function common({ name, uuid, parameters }: WantedVolume) {
  const { policy, reserved } = parameters;
  return {
    name: ashlarName(name),
    uuid,
    reserved: reserved ?? false,
    ...(policy === null ? {} : { policy: policy === '' ? null : policy }),
  };
}

/** @throws CsiError INVALID_ARGUMENT. */
async function assertPool(endpoint: Endpoint, pool: string, signal: AbortSignal): Promise<void> {
  const found = await endpoint.lookUp('getPool', { params: { pool } }, signal);
  if (found !== null) return;
  throw new CsiError(
    'INVALID_ARGUMENT',
    `endpoint '${endpoint.name}', where the source is, has no pool '${pool}'`,
  );
}

/** A clone is what its source is. @throws CsiError INVALID_ARGUMENT. */
function assertFits({ parameters }: WantedVolume, source: Snapshot | Volume): void {
  const { blockBytes, tenant } = parameters;
  if (blockBytes !== null && blockBytes !== source.blockBytes) {
    throw new CsiError(
      'INVALID_ARGUMENT',
      `the source has blocks of ${source.blockBytes} bytes, and so has what is made from it; ` +
        `parameter blockSize is '${blockBytes}'`,
    );
  }
  if (tenant !== null && tenant !== source.tenant) {
    throw new CsiError(
      'INVALID_ARGUMENT',
      `the source is of tenant '${source.tenant}', and so is what is made from it; parameter ` +
        `tenant is '${tenant}'`,
    );
  }
}

/** @throws CsiError ALREADY_EXISTS saying in what it differs. */
function assertSame(before: Found<Volume>, wanted: WantedVolume): void {
  const { endpoint, item } = before;
  const { parameters, range, source, requirement } = wanted;
  const tenant = parameters.tenant ?? (source === null ? defaultTenant : item.tenant);
  const blockBytes = parameters.blockBytes ?? (source === null ? 4096 : item.blockBytes);
  const { policy } = parameters;
  const differs: string[] = [];
  const compare = (what: string, has: unknown, asked: unknown): void => {
    if (has !== asked) differs.push(`${what} is ${has ?? 'none'}, not ${asked ?? 'none'}`);
  };
  if (!isWithin(range, BigInt(item.sizeBytes))) {
    differs.push(`its size is ${formatSize(BigInt(item.sizeBytes))}, not ${rangeText(range)}`);
  }
  compare('its source', item.sourceUuid, source?.id ?? null);
  compare('its tenant', item.tenant, tenant);
  compare('its block size', item.blockBytes, blockBytes);
  compare('reserve', item.reserved, parameters.reserved ?? false);
  // A clone without a policy of its own has its source's; CSI says nothing else of it.
  if (policy !== null) compare('its policy', item.policy, policy === '' ? null : policy);
  if (ranked([endpoint], requirement).length === 0) {
    differs.push(`it is at endpoint '${endpoint.name}', which is not in the requested topology`);
  }
  if (differs.length === 0) return;
  throw new CsiError(
    'ALREADY_EXISTS',
    `${volumeText(before)} was made before for '${wanted.name}' and is another one: ` +
      differs.join('; '),
  );
}

/** What a refused creation means. */
function refusal(thrown: unknown, endpoint: Endpoint): CsiError {
  if (thrown instanceof Unreachable) return thrown;
  const { status, message } = toCsiError(thrown);
  const text = `endpoint '${endpoint.name}': ${message}`;
  // What was named has been looked for before, so it went away in between.
  if (status === 'NOT_FOUND') return new CsiError('ABORTED', `${text}; call again`);
  return new CsiError(status, text, { cause: thrown });
}
