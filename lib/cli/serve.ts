/** `ashlar serve`: the daemon, from its configuration to its orderly end. */
import { mkdir, rmdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Logger } from 'pino';
import { localCaller } from '../access/types.js';
import type { CertificateFiles } from '../api/certificate_files.js';
import type { MetricsServer } from '../api/metrics.js';
import type { ApiServer, LoopbackOptions } from '../api/server.js';
import { claimSocket, type SocketFinding } from '../api/socket.js';
import type { AuditLog } from '../audit/log.js';
import { type Config, formatEndpoint } from '../config/config.js';
import { loadConfig } from '../config/load.js';
import type { ConfigFile } from '../config/schema.js';
import { formatSize, formatSizeShort } from '../config/units.js';
import { AshlarError, toAshlarError } from '../errors.js';
import { Metrics } from '../metrics/metrics.js';
import { openNode } from '../node/node.js';
import type { Node, NodeConfig } from '../node/types.js';
import { version } from '../node/version.js';
import type { OtlpTracer } from '../tracing/otlp.js';
import { connectLines, reachable } from './connect_lines.js';
import { signInUrl } from './console.js';
import { openLog } from './log.js';
import { checkPortals } from './portals.js';
import { onHangUp, openCertificate, renewCertificates } from './serve_https.js';
import { ServiceNotices } from './service_notices.js';
import { plural, printLines } from './terminal.js';

export interface ServeOptions {
  config?: string;
  pool?: string;
  size?: string;
  memory?: string;
  populate?: boolean;
  create?: boolean;
  writeThrough?: boolean;
  portal?: string[];
  discovery?: string[] | false;
  mdns?: boolean;
  tls?: Config['target']['tls'];
  reactors?: number;
  cpus?: number[];
  busyPollUs?: number;
  socket?: string;
  console?: string | false;
  logLevel?: Config['log']['level'];
  demo?: boolean;
  json?: boolean;
}

/** Flags by the key that they override. */
const flagNames: ReadonlyMap<string, string> = new Map([
  ['pool.file', '--pool'],
  ['pool.size', '--size'],
  ['pool.memory', '--memory'],
  ['pool.populate', '--populate'],
  ['target.portals', '--portal'],
  ['target.discovery', '--discovery'],
  ['target.mdns', '--no-mdns'],
  ['target.tls', '--tls'],
  ['runtime.reactors', '--reactors'],
  ['runtime.cpus', '--cpus'],
  ['runtime.busyPollUs', '--busy-poll-us'],
  ['api.socket', '--socket'],
  ['api.console', '--console'],
  ['demo.volume', '--demo'],
]);

/** Serves until a signal; resolves to the exit code. */
export async function serve(options: ServeOptions): Promise<number> {
  const config = await loadConfig({
    file: options.config ?? null,
    flags: flagsOf(options),
    flagNames,
    cwd: process.cwd(),
    environment: process.env,
  });
  const logger = openLog(config.log.level);
  const stop = new StopSignal(logger, config.shutdownTimeoutMs);
  surviveReaders();
  reportMistakes(logger);
  const found = await claim(config.api.socket);
  const notices = new ServiceNotices(process.env, logger);
  notices.starting('opening the pool');
  // The API's modules load while native threads open the pool.
  const opening = openInFolder(config, logger);
  const loading = Promise.all([
    import('../api/server.js'),
    import('../api/handlers.js'),
    import('../console/pages.js'),
  ]);
  loading.catch(() => undefined); // Reported below, unless the pool's failure comes first.
  const node = await opening;
  const madeDemo = demoLines(node, config);
  let api: ApiServer;
  let scraped: MetricsServer | undefined;
  let audit: AuditLog | undefined;
  let tracer: OtlpTracer | undefined;
  let afterStart: () => Promise<unknown>;
  let files: CertificateFiles | null = null;
  try {
    const [{ serveApi, loadChecks }, { nodeHandlers }, { consolePages }] = await loading;
    const handlers = nodeHandlers(node);
    const { streams, tokens, sessions, jobs } = node;
    audit = await openAudit(config, logger);
    files = await openCertificate(config);
    const { listen, volumes } = config.metrics;
    const metrics = new Metrics({ node, volumes });
    scraped = await metricsServer(metrics, listen, logger);
    tracer = await openTracer(config, logger);
    api = await serveApi({
      handlers,
      streams,
      tokens,
      sessions,
      jobs,
      audit,
      eventCursorKey: node.eventList.cursorKey,
      metrics,
      tracer,
      https:
        files === null || config.api.https === null
          ? undefined
          : { ...config.api.https, ...files.pem },
      loopback: loopbackOptions(config),
      pages: consolePages(),
      logger,
      socket: config.api.socket,
      found,
    });
    sessions.consoles = consoleUrls(config, api);
    if (files !== null) renewCertificates(files, api, node);
    afterStart = loadChecks;
  } catch (thrown) {
    await scraped?.close();
    await node.close();
    await audit?.close();
    await tracer?.close();
    throw thrown;
  }
  const metricsAt = scraped === undefined ? null : scrapedAt(config, scraped);
  const certificates = files;
  onHangUp(
    async () => certificates?.look(true),
    (signal) => stop.request(signal),
  );
  await announce(node, config, { madeDemo, metricsAt, json: options.json === true });
  await notices.ready(() => serviceStatus(node));
  await afterStart();
  const signal = await stop.requested;
  logger.info({ signal }, stopping);
  notices.stopping(stopping);
  try {
    certificates?.[Symbol.dispose]();
    await Promise.all([api.close(), scraped?.close()]);
    await node.close();
    await audit?.close();
    await tracer?.close();
  } finally {
    stop.done();
  }
  logger.info('stopped');
  return 0;
}

const stopping = 'stopping: connections end, then a checkpoint';

/** One line for `systemctl status`. */
async function serviceStatus(node: Node): Promise<string> {
  const status = await node.status();
  if (status.problem !== null) return `${status.state}: ${status.problem}`;
  const volumes = plural(status.volumes, 'volume');
  return `serving ${volumes} to ${plural(status.connections.length, 'controller')}`;
}

async function openAudit({ audit }: Config, logger: Logger): Promise<AuditLog | undefined> {
  if (audit === null) return undefined;
  const { AuditLog } = await import('../audit/log.js');
  return AuditLog.open(audit, logger);
}

/** OpenTelemetry is loaded only where spans go somewhere. */
async function openTracer({ tracing }: Config, logger: Logger): Promise<OtlpTracer | undefined> {
  if (tracing === null) return undefined;
  const { headersFile, ...options } = tracing;
  const [{ OtlpTracer }, { headersFrom }] = await Promise.all([
    import('../tracing/otlp.js'),
    import('../tracing/headers.js'),
  ]);
  const headers = headersFile === null ? {} : await headersFrom(headersFile);
  logger.info({ endpoint: options.endpoint, sample: options.sample }, 'calls are traced');
  return new OtlpTracer({ ...options, version, headers }, logger);
}

async function metricsServer(
  metrics: Metrics,
  listen: Config['metrics']['listen'],
  logger: Logger,
): Promise<MetricsServer | undefined> {
  if (listen === null) return undefined;
  const { serveMetrics } = await import('../api/metrics.js');
  return serveMetrics(metrics, listen, logger);
}

/** Where metrics are over plain HTTP, with the port that was found. */
function scrapedAt({ metrics }: Config, { port }: MetricsServer): string {
  return formatEndpoint({ address: metrics.listen?.address ?? '', port });
}

function loopbackOptions({ api }: Config): LoopbackOptions | undefined {
  if (api.console === null) return undefined;
  const { address, port, implied } = api.console;
  return { address, port, optional: implied };
}

/** Where a browser finds the console. */
function consoleUrls({ api }: Config, { port, loopbackPort }: ApiServer): string[] {
  const { console: loopback, https } = api;
  return [
    ...(loopback === null || loopbackPort === null
      ? []
      : [`http://${formatEndpoint({ ...loopback, port: loopbackPort })}`]),
    ...(https === null || port === null
      ? []
      : [`https://${formatEndpoint({ address: reachable(https.address), port })}`]),
  ];
}

/** A daemon goes on when whoever reads its output has gone. */
function surviveReaders(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.removeAllListeners('error');
    stream.on('error', () => undefined);
  }
}

/** A mistake of our own ends the daemon as a crash would; the log says so on one line. */
function reportMistakes(logger: Logger): void {
  process.on('uncaughtException', (err) => {
    logger.fatal({ err }, 'a mistake of Ashlar ended the daemon; please report it');
    process.exit(1);
  });
}

/** Values of flags, in the shape of the file that they override. */
function flagsOf(options: ServeOptions): ConfigFile {
  const given = <T>(value: T | undefined, key: string): object =>
    value === undefined ? {} : { [key]: value };
  return {
    pool: {
      ...given(options.pool, 'file'),
      ...given(options.size, 'size'),
      ...given(options.memory, 'memory'),
      ...given(options.populate, 'populate'),
      ...given(options.create === false ? false : undefined, 'create'),
      ...given(options.writeThrough, 'writeThrough'),
    },
    target: {
      ...given(options.portal, 'portals'),
      ...given(options.mdns === false ? false : undefined, 'mdns'),
      ...given(options.discovery === false ? [] : options.discovery, 'discovery'),
      ...given(options.tls, 'tls'),
    },
    runtime: {
      ...given(options.reactors, 'reactors'),
      ...given(options.cpus, 'cpus'),
      ...given(options.busyPollUs, 'busyPollUs'),
    },
    api: {
      ...given(options.socket, 'socket'),
      ...given(options.console === false ? 'off' : options.console, 'console'),
    },
    log: { ...given(options.logLevel, 'level') },
    ...(options.demo === true ? { demo: { volume: 'demo' } } : {}),
  };
}

/** Refuses to start beside a living daemon, and says which one it is. */
async function claim(socket: string): Promise<SocketFinding> {
  try {
    return await claimSocket(socket);
  } catch (thrown) {
    if (!(thrown instanceof AshlarError) || thrown.code !== 'daemon-running') throw thrown;
    const { ApiClient } = await import('../api/client.js');
    const client = new ApiClient({ socket });
    try {
      const status = await client.call('getStatus', {}, { timeoutMs: 2000 });
      const pool = status.pools.map(({ device }) => device.path ?? 'in memory').join(', ');
      throw new AshlarError(
        'daemon-running',
        `a daemon already answers at '${socket}': process ${status.pid}, pool ${pool}; ` +
          'use it, stop it first, or choose another --socket',
      );
    } catch (failure) {
      const told = failure instanceof AshlarError && failure.code === 'daemon-running';
      throw told ? failure : thrown;
    } finally {
      await client.close();
    }
  }
}

/** Opens the node; what was made for a pool that then could not be opened is taken away again. */
async function openInFolder(config: Config, logger: Logger): Promise<Node> {
  const { device, create } = config.pool;
  const first = device.kind === 'file' && create && !(await exists(device.path));
  // Only when a pool would be made: hosts of an existing one may be waiting to connect again, and
  // should not meet a port that closes at once.
  if (first) {
    const { portals, discovery, discoveryImplied } = config.target;
    await checkPortals([...portals, ...(discoveryImplied ? [] : discovery)]);
  }
  const folder = first ? await makePoolFolder(dirname(device.path)) : null;
  try {
    return await openNode(await nodeConfigOf(config), logger);
  } catch (thrown) {
    if (folder !== null) await rmdir(folder).catch(() => undefined);
    throw thrown;
  }
}

async function nodeConfigOf(config: Config): Promise<NodeConfig> {
  const { device, create, sizeBytes, writeThrough, mapCacheBytes, keyFile } = config.pool;
  const ownSize = device.kind === 'memory' || (await isBlockDevice(device.path));
  return {
    pool: {
      device,
      create: create ? { sizeBytes: ownSize ? null : sizeBytes, journalBytes: null } : null,
      writeThrough,
      mapCacheBytes,
      keyFile,
    },
    runtime: config.runtime,
    portals: [
      ...config.target.portals.map((portal) => ({ ...portal, discoveryOnly: false })),
      ...config.target.discovery.map((portal) => {
        return { ...portal, discoveryOnly: true, optional: config.target.discoveryImplied };
      }),
    ],
    mdns: config.target.mdns,
    referrals: config.target.referrals,
    tls: config.target.tls,
    ktls: config.target.ktls,
    cntlids: config.node.cntlids,
    eventFile: config.events?.path ?? null,
    demo: config.demo,
  };
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch {
    return false;
  }
}

async function isBlockDevice(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isBlockDevice();
  } catch {
    return false;
  }
}

/**
 * Makes the folder of the pool file, but not a whole missing path: that is more likely a typing
 * error. Resolves to the folder if it was made, else null.
 */
async function makePoolFolder(folder: string): Promise<string | null> {
  try {
    await mkdir(folder, { mode: 0o700 });
    return folder;
  } catch (thrown) {
    const error = toAshlarError(thrown);
    if (error.code === 'already-exists') return null;
    const why = error.code === 'not-found' ? 'its parent does not exist' : error.message;
    throw new AshlarError(error.code, `folder '${folder}' for the pool cannot be made: ${why}`, {
      cause: thrown,
    });
  }
}

/** Says on stdout that the daemon serves, what it made, and how hosts reach it. */
async function announce(
  node: Node,
  config: Config,
  { madeDemo, metricsAt, json }: { madeDemo: string[]; metricsAt: string | null; json: boolean },
): Promise<void> {
  const status = await node.status();
  const tenants = node.tenants.list();
  const lines = connectLines(
    node.portals.list(),
    tenants.map(({ subnqn }) => subnqn),
  );
  const { device } = status;
  const poolPath = device.kind === 'file' ? device.path : null;
  if (json) {
    const ready = {
      event: 'ready',
      pid: process.pid,
      socket: config.api.socket,
      https: config.api.https === null ? null : formatEndpoint(config.api.https),
      consoles: node.sessions.consoles,
      metrics: metricsAt,
      pool: poolPath,
      created: status.created,
      portals: node.portals.list(),
      ...lines,
    };
    process.stdout.write(`${JSON.stringify(ready)}\n`);
    return;
  }
  const size = formatSize(status.pool.sizeBytes);
  const free = formatSizeShort(status.pool.freeChunks * status.pool.chunkBytes);
  const where = poolPath ?? 'in memory';
  const made =
    poolPath === null ? `${size}, lost when the daemon ends` : `${size}, sparse, just created`;
  printLines([
    `Ashlar ${status.version} is serving.`,
    '',
    `  pool     ${where} (${status.created ? made : `${size}, ${free} free`})`,
    ...madeDemo,
    `  volumes  ${status.volumes}`,
    `  control  ${config.api.socket}`,
    ...(config.api.https === null ? [] : [`  https    ${formatEndpoint(config.api.https)}`]),
    ...consoleLines(node, config),
    ...(metricsAt === null ? [] : [`  metrics  http://${metricsAt}/metrics`]),
    '',
    'On a Linux host with nvme-cli, as root:',
    '',
    ...['modprobe nvme-tcp', ...lines.discover, ...lines.connect].map((line) => `  ${line}`),
    '',
    "Next: 'ashlar volume list', 'ashlar --help'. Ctrl-C stops.",
  ]);
}

/** Where the console is; in the demo with the link that signs in, good once and for 5 minutes. */
function consoleLines({ sessions }: Node, { demo }: Config): string[] {
  const [first] = sessions.consoles;
  if (first === undefined) return [];
  if (demo === null) return [`  console  ${first}/ ('ashlar console' prints a link to sign in)`];
  const { secret } = sessions.createLink(localCaller);
  return [
    `  console  ${signInUrl(first, secret)}`,
    "           (good once, for 5 minutes; 'ashlar console' prints another)",
  ];
}

/** A line on the demo volume if this start made it; asked before any program can make others. */
function demoLines(node: Node, config: Config): string[] {
  const events = node.events();
  const started = events.findLastIndex(({ kind }) => kind === 'node-started');
  const made = events.slice(started).some(({ kind }) => kind === 'volume-created');
  if (!made || config.demo === null) return [];
  const { volume, sizeBytes } = config.demo;
  return [`  made     volume '${volume}' of ${formatSize(sizeBytes)}, for any host`];
}

/**
 * SIGTERM and SIGINT. The first asks for an orderly end; a second one, or the time limit, forces
 * it. npm passes a Ctrl-C on that the terminal has sent already, so twins do not count as two.
 */
class StopSignal {
  readonly requested: Promise<NodeJS.Signals>;
  /** Asks for an end as the signal itself would. */
  readonly request: (signal: NodeJS.Signals) => void;
  #force: NodeJS.Timeout | null = null;

  constructor(logger: Logger, timeoutMs: number) {
    const twinMs = 500;
    let firstAt = 0;
    let resolve: (signal: NodeJS.Signals) => void = () => undefined;
    this.requested = new Promise((done) => {
      resolve = done;
    });
    this.request = (signal) => {
      if (firstAt === 0) {
        firstAt = performance.now();
        this.#force = setTimeout(() => {
          logger.error(`not stopped within ${timeoutMs} ms: forced; the next start recovers`);
          process.exit(1);
        }, timeoutMs);
        this.#force.unref();
        resolve(signal);
      } else if (performance.now() - firstAt > twinMs) {
        logger.warn('second signal: forced; the next start recovers');
        process.exit(1);
      }
    };
    process.on('SIGTERM', this.request);
    process.on('SIGINT', this.request);
  }

  done(): void {
    if (this.#force !== null) clearTimeout(this.#force);
  }
}
