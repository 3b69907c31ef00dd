/** A file or block device loaded without a network, by io_uring: the limit of the machine. */
import { type LoadResult, loadNative, type RuntimeHandle } from '../native.js';
import { type LoadSettings, loadOptions } from './load.js';
import { openReactors, type ReactorOptions } from './reactors.js';

/** What to open, and the reactors to load it from. */
export interface OpenLocalOptions extends ReactorOptions {
  path: string;
  /** A file that does not exist is made with this size; {@link LocalDevice.close} removes it. */
  createSizeBytes?: bigint | undefined;
  readOnly?: boolean | undefined;
}

/**
 * Opens and locks it.
 *
 * @throws AshlarError 'not-found', 'pool-locked', 'permission-denied', 'no-space', or what the
 * runtime lacks.
 */
export async function openLocal(options: OpenLocalOptions): Promise<LocalDevice> {
  const native = loadNative();
  const runtime = openReactors(options);
  try {
    const opened = native.localOpen(runtime, {
      path: options.path,
      createSizeBytes: options.createSizeBytes ?? null,
      readOnly: options.readOnly ?? false,
    });
    return new LocalDevice(runtime, opened);
  } catch (error) {
    await native.runtimeClose(runtime);
    throw error;
  }
}

/** An open one. */
export class LocalDevice implements AsyncDisposable {
  readonly sizeBytes: bigint;
  readonly blockBytes: number;
  /** False: through the page cache. */
  readonly direct: boolean;
  readonly #runtime: RuntimeHandle;
  readonly #opened: ReturnType<ReturnType<typeof loadNative>['localOpen']>;
  #closing: Promise<void> | null = null;

  /** Use {@link openLocal}. */
  constructor(
    runtime: RuntimeHandle,
    opened: ReturnType<ReturnType<typeof loadNative>['localOpen']>,
  ) {
    this.#runtime = runtime;
    this.#opened = opened;
    this.sizeBytes = opened.sizeBytes;
    this.blockBytes = opened.blockBytes;
    this.direct = opened.direct;
  }

  /** Runs a load; one at a time. `nsid` has no meaning here. */
  async load(settings: LoadSettings): Promise<LoadResult> {
    return loadNative().localLoad(this.#opened.local, loadOptions({ nsid: 1, ...settings }));
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      const native = loadNative();
      await native.localClose(this.#opened.local);
      await native.runtimeClose(this.#runtime);
    })();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
