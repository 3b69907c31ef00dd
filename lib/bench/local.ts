/** A local file or device, by io_uring: what is left when network and target are taken away. */
import { existsSync, rmSync } from 'node:fs';
import { AshlarError } from '../errors.js';
import { type LocalDevice, openLocal } from '../host/index.js';
import type { LoadResult } from '../native.js';
import type { Setting, Subject, Workload } from './results.js';
import {
  type Generator,
  maxErrors,
  type OpenSubject,
  refuseOverwrite,
  type Turn,
  usedBytes,
} from './subject.js';

export interface LocalSubjectOptions {
  name: string;
  path: string;
  /** A file that is not there is made with this size, and removed at the end. */
  createBytes: number;
  generator: Generator;
  overwrite: boolean;
  writes: boolean;
}

const fillBytes = 1024 * 1024;

export class LocalSubject implements OpenSubject {
  readonly subject: Subject;
  readonly pid = null;
  readonly #device: LocalDevice;
  readonly #mayFill: boolean;
  /** The file that was made for this; null: it was there. Whoever leaves early takes it away. */
  readonly #made: string | null;
  readonly #onExit = (): void => {
    if (this.#made !== null) rmSync(this.#made, { force: true });
  };
  #filled = 0;

  private constructor(
    subject: Subject,
    device: LocalDevice,
    how: { mayFill: boolean; made: string | null },
  ) {
    this.subject = subject;
    this.#device = device;
    this.#mayFill = how.mayFill;
    this.#made = how.made;
    process.once('exit', this.#onExit);
  }

  /**
   * @throws AshlarError 'usage' when what is there would be overwritten; see {@link openLocal}.
   */
  static async open(options: LocalSubjectOptions): Promise<LocalSubject> {
    const { path, generator } = options;
    const there = existsSync(path);
    if (there && options.writes && !options.overwrite) throw refuseOverwrite(path, '');
    const mayFill = !there || options.overwrite;
    const device = await openLocal({
      path,
      createSizeBytes: there ? undefined : BigInt(options.createBytes),
      readOnly: there && !options.writes && !options.overwrite,
      cpus: generator.cpus ?? undefined,
      busyPollUs: generator.pollUs,
    });
    const { sizeBytes, blockBytes, direct } = device;
    const how = direct ? 'direct I/O' : 'through the page cache';
    const subject: Subject = {
      name: options.name,
      kind: 'local',
      description: `io_uring on ${path}, ${how}`,
      facts: { path, sizeBytes: String(sizeBytes), blockBytes: String(blockBytes), how },
    };
    return new LocalSubject(subject, device, { mayFill, made: there ? null : path });
  }

  check(setting: Setting): void {
    if (setting.volumes !== 1 || setting.snapshots > 0 || setting.state === 'fresh-snapshot') {
      throw new AshlarError('usage', `${this.subject.name} has neither volumes nor snapshots`);
    }
  }

  async prepare(setting: Setting, tell: (what: string) => void): Promise<void> {
    if (!this.#mayFill || setting.state === 'as-is' || this.#filled >= setting.spanBytes) return;
    tell(`filling ${this.subject.name}`);
    const spanBytes = usedBytes(setting.spanBytes, this.#device.sizeBytes, fillBytes);
    const result = await this.#device.load({
      ...{ blockBytes: this.#device.blockBytes, ioBytes: fillBytes, depth: 8, spanBytes },
      ...{ pattern: 'sequential', readPercent: 0, maxErrors: 1 },
      maxCommands: spanBytes / BigInt(fillBytes),
    });
    if (result.firstError !== null) throw new AshlarError('io-error', result.firstError);
    this.#filled = setting.spanBytes;
  }

  async beforeRound(): Promise<void> {}

  load(workload: Workload, setting: Setting, turn: Turn): Promise<LoadResult> {
    return this.#device.load({
      blockBytes: this.#device.blockBytes,
      depth: workload.depth,
      queues: workload.queues,
      ioBytes: workload.ioBytes,
      pattern: workload.pattern,
      zipfTheta: workload.zipfTheta ?? undefined,
      readPercent: workload.readPercent,
      spanBytes: usedBytes(setting.spanBytes, this.#device.sizeBytes, workload.ioBytes),
      ratePerSecond: workload.ratePerSecond ?? undefined,
      verify: workload.verify,
      maxErrors,
      ...turn,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#device.close();
    process.off('exit', this.#onExit);
  }
}
