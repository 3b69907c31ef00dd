/**
 * A native addon that only remembers what it is told: for tests of how the target decides, without
 * sockets. Everything that moves bytes is tested with the real addon (test/node).
 */
import type {
  AsyncEvent,
  Authentication,
  CommandCompletion,
  ConnectHandle,
  ControllerHandle,
  ControllerOptions,
  ErrorLog,
  MeterHandle,
  MeterLimits,
  NamespaceAttachment,
  NativeAddon,
  PortalHandle,
  QueueVerdict,
  RuntimeHandle,
  TlsKey,
  VolumeHandle,
} from '../../lib/native.js';

type Told =
  | { call: 'accept'; connect: object; controller: object; authentication: Authentication }
  | { call: 'reject'; connect: object; status: number; result: bigint }
  | { call: 'complete'; command: bigint; completion: CommandCompletion }
  | {
      call: 'authentication';
      command: bigint;
      completion: CommandCompletion;
      verdict: QueueVerdict;
    }
  | { call: 'event'; controller: object; event: AsyncEvent }
  | { call: 'clear'; controller: object; event: AsyncEvent }
  | { call: 'keep-alive'; timeoutMs: number }
  | { call: 'enabled'; enabled: boolean }
  | { call: 'destroy'; controller: object };

const handle = <T>(name: string): T => ({ name }) as T;

export class FakeNative {
  readonly told: Told[] = [];
  readonly created: ControllerOptions[] = [];
  /** The meters that are open, with what was set last. */
  readonly meters = new Map<MeterHandle, { limits: MeterLimits | null; weight: number }>();
  readonly attached = new Map<ControllerHandle, NamespaceAttachment[]>();
  /** What controllerErrorLog answers. */
  errors: ErrorLog = { errorCount: 0n, entries: [] };
  /** controllerSetNamespaces waits for this. */
  settle: Promise<void> = Promise.resolve();
  tlsKeys: readonly TlsKey[] = [];
  generatedKeys: readonly TlsKey[] = [];
  readonly runtime = handle<RuntimeHandle>('runtime');
  #waiting: { matches: (told: Told) => boolean; resolve: (told: Told) => void }[] = [];

  volume(name: string): VolumeHandle {
    return handle(name);
  }

  connect(name: string): ConnectHandle {
    return handle(name);
  }

  /** The next thing of this kind that is told, from now on or already. */
  async take<Call extends Told['call']>(call: Call): Promise<Extract<Told, { call: Call }>> {
    const matches = (told: Told): told is Extract<Told, { call: Call }> => told.call === call;
    const index = this.told.findIndex(matches);
    const found = index < 0 ? undefined : this.told.splice(index, 1)[0];
    if (found !== undefined && matches(found)) return found;
    return new Promise((resolve) => {
      const forward = (told: Told): void => {
        if (matches(told)) resolve(told);
      };
      this.#waiting.push({ matches, resolve: forward });
    });
  }

  #tell(told: Told): void {
    const index = this.#waiting.findIndex(({ matches }) => matches(told));
    const waiting = index < 0 ? undefined : this.#waiting.splice(index, 1)[0];
    if (waiting === undefined) this.told.push(told);
    else waiting.resolve(told);
  }

  /** As the target's `native` option; calls that are not here are none of the target's. */
  addon(): NativeAddon {
    const calls: Partial<NativeAddon> = {
      portalListen: async (_runtime, { port }) => {
        return { portal: handle<PortalHandle>('portal'), port: port === 0 ? 40_000 : port };
      },
      portalClose: async () => undefined,
      tlsSetKeys: (_runtime, origin, keys) => {
        if (origin === 'configured') this.tlsKeys = keys;
        else this.generatedKeys = keys;
      },
      portalSetAna: async () => undefined,
      latencyBoundsNs: () => [1024n],
      meterCreate: () => {
        const meter = handle<MeterHandle>('meter');
        this.meters.set(meter, { limits: null, weight: 100 });
        return meter;
      },
      meterSet: (meter, limits, weight) => {
        this.meters.set(meter, { limits, weight });
      },
      meterClose: (meter) => {
        this.meters.delete(meter);
      },
      controllerCreate: (_runtime, options) => {
        this.created.push(options);
        return handle<ControllerHandle>(`controller ${options.cntlid}`);
      },
      controllerSetNamespaces: async (controller, namespaces) => {
        await this.settle;
        this.attached.set(controller, namespaces);
      },
      controllerSetKeepAlive: (_controller, timeoutMs) =>
        this.#tell({ call: 'keep-alive', timeoutMs }),
      controllerSetEnabled: (_controller, enabled) => this.#tell({ call: 'enabled', enabled }),
      controllerRaiseEvent: (controller, event) => this.#tell({ call: 'event', controller, event }),
      controllerClearEvent: (controller, event) => this.#tell({ call: 'clear', controller, event }),
      controllerErrorLog: async () => this.errors,
      controllerDestroy: (controller) => this.#tell({ call: 'destroy', controller }),
      connectAccept: (connect, controller, authentication) =>
        this.#tell({ call: 'accept', connect, controller, authentication }),
      connectReject: (connect, status, result) =>
        this.#tell({ call: 'reject', connect, status, result }),
      commandComplete: (_controller, command, completion) =>
        this.#tell({ call: 'complete', command, completion }),
      authenticationComplete: (_controller, command, completion, verdict) =>
        this.#tell({ call: 'authentication', command, completion, verdict }),
    };
    return calls as NativeAddon;
  }
}
