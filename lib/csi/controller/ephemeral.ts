/**
 * Inline volumes of pods, which live as long as the pod: the node asks for them when it publishes,
 * and nobody else knows of them.
 */
import { parseSize } from '../../config/units.js';
import { toAshlarError } from '../../errors.js';
import type { Segments } from '../config.js';
import { CsiError } from '../errors.js';
import { checkName, hostNqnOf, volumeUuid } from '../names.js';
import type { VolumeMaker } from './create.js';
import { contextKeys } from './objects.js';
import { parseParameters } from './parameters.js';
import type { Publisher } from './publish.js';
import { checkRange, type Range } from './sizes.js';
import type { Volumes } from './volumes.js';

type Texts = Readonly<Record<string, string>>;

export interface EphemeralParts {
  maker: VolumeMaker;
  publisher: Publisher;
  volumes: Volumes;
  /** Where the node is; null: it reaches every daemon. */
  topology: Segments | null;
  close: () => Promise<void>;
}

/** Its volumes are empty, of one node, and gone with {@link remove}. */
export class EphemeralVolumes implements AsyncDisposable {
  readonly #parts: EphemeralParts;

  constructor(parts: EphemeralParts) {
    this.#parts = parts;
  }

  /**
   * Makes the volume and gives it to the node; once, however often it is called.
   *
   * @param volumeId any text of 128 bytes at most, as the CO names it.
   * @param context the parameters of a StorageClass, and `size`, for example '1Gi' (the default).
   * @param secrets as for ControllerPublishVolume.
   * @returns the publish context; its `uuid` is the namespace's.
   * @throws CsiError as CreateVolume and ControllerPublishVolume.
   */
  async create(
    volumeId: string,
    context: Texts,
    nodeId: string,
    signal: AbortSignal,
    secrets: Texts = {},
  ): Promise<Record<string, string>> {
    const name = checkName('volume_id', volumeId);
    const host = hostNqnOf(nodeId);
    const { size, ...rest } = context;
    const range = rangeOf(size);
    const parameters = parseParameters(rest, {});
    const { topology } = this.#parts;
    const requirement =
      topology === null ? null : { requisite: [{ segments: topology }], preferred: [] };
    const uuid = volumeUuid(name);
    await this.#parts.maker.make(
      { name, uuid, range, parameters, requirement, source: null },
      signal,
    );
    return this.#parts.publisher.publish(
      {
        volumeId: uuid,
        nodeId: host,
        use: { kind: 'mount', mode: 'SINGLE_NODE_WRITER', access: 'read-write', alone: 'host' },
        access: 'read-write',
        secrets,
        volumeContext: { [contextKeys.tls]: parameters.tls },
      },
      signal,
    );
  }

  /** Takes it from the node and deletes it with its data; nothing when it is not there. */
  async remove(volumeId: string, nodeId: string, signal: AbortSignal): Promise<void> {
    const uuid = volumeUuid(checkName('volume_id', volumeId));
    await this.#parts.publisher.unpublish(uuid, hostNqnOf(nodeId), signal);
    await this.#parts.volumes.delete(uuid, signal);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#parts.close();
  }
}

/** As Kubernetes writes sizes: '1Gi' is 1 GiB. */
function rangeOf(size: string | undefined): Range {
  if (size === undefined) return null;
  try {
    const requiredBytes = parseSize(size.replace(/([KMGTP]i)$/, '$1B'), "volume attribute 'size'");
    const range = { requiredBytes, limitBytes: 0n };
    checkRange(range);
    return range;
  } catch (thrown) {
    if (thrown instanceof CsiError) throw thrown;
    throw new CsiError('INVALID_ARGUMENT', toAshlarError(thrown).message, { cause: thrown });
  }
}
