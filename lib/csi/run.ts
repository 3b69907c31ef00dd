/** A plugin put together: the services of its mode behind one socket, from start to end. */
import type { Logger } from 'pino';
import type { CsiConfig } from './config.js';
import type { EphemeralVolumes } from './controller/ephemeral.js';
import type { ControllerServices } from './controller/services.js';
import { identityService } from './identity.js';
import type { NodeService } from './node/service.js';
import { CsiServer, type ServedServices } from './server.js';

/** A plugin that serves. */
export interface CsiPlugin extends AsyncDisposable {
  readonly socket: string;
  /** Ends it: calls under way have a few seconds. What is mounted stays mounted. */
  close(): Promise<void>;
}

/**
 * Starts the plugin; resolves when its socket answers. Whether Ashlar can be reached is not asked:
 * a controller that restarts for as long as Ashlar is away would help nobody, so calls say it.
 *
 * @throws AshlarError of the socket, of the node's state folder.
 */
export async function runPlugin(config: CsiConfig, logger: Logger): Promise<CsiPlugin> {
  const { mode, endpoints, socket } = config;
  const parts: AsyncDisposable[] = [];
  const close = async (): Promise<void> => {
    // The server first: who still calls must find what it calls.
    for (const part of parts.splice(0).reverse()) await part[Symbol.asyncDispose]();
  };
  try {
    const controller = mode === 'node' ? null : await openController(config, logger);
    if (controller !== null) parts.push(controller);
    const node = mode === 'controller' ? null : await openNode(config, parts, logger);
    const services: ServedServices = {
      Identity: identityService({
        mode,
        ready: async () => {
          // The node's identity is what everything else begins with.
          await node?.nodeGetInfo();
          return true;
        },
      }),
      Controller: controller?.Controller ?? null,
      GroupController: controller?.GroupController ?? null,
      SnapshotMetadata: controller?.SnapshotMetadata ?? null,
      Node: node,
    };
    parts.push(await CsiServer.open({ socket, services, logger }));
  } catch (thrown) {
    await close();
    throw thrown;
  }
  const names = endpoints.map(({ name }) => name);
  logger.info({ mode, socket, endpoints: names }, 'the plugin serves');
  return { socket, close, [Symbol.asyncDispose]: close };
}

/** Loaded only where it is wanted: most nodes need no client of the API. */
async function openController(config: CsiConfig, logger: Logger): Promise<ControllerServices> {
  const { controllerServices } = await import('./controller/services.js');
  const { endpoints, node } = config;
  return controllerServices({ endpoints, logger, maxVolumesPerNode: node.maxVolumes });
}

/** A node that knows endpoints makes pods' inline volumes itself; nobody else is there to. */
async function openNode(
  { endpoints, node: config }: CsiConfig,
  parts: AsyncDisposable[],
  logger: Logger,
): Promise<NodeService> {
  const [{ LinuxHost }, { NodeService: Service }] = await Promise.all([
    import('./host/linux.js'),
    import('./node/service.js'),
  ]);
  const { state, commandTimeoutMs, topology } = config;
  const host = new LinuxHost({ state, commandTimeoutMs });
  let ephemeral: EphemeralVolumes | null = null;
  if (endpoints.length > 0) {
    const { ephemeralVolumes } = await import('./controller/services.js');
    ephemeral = ephemeralVolumes({ endpoints, logger }, topology);
    parts.push(ephemeral);
  }
  const service = new Service({ host, config, ephemeral, logger });
  parts.push(service);
  return service;
}
