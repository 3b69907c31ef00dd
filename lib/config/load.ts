/**
 * From a configuration file and command-line flags to a {@link Config}. Flags override the file,
 * the file overrides the defaults. Nothing unknown is passed over: a misspelt key is refused by
 * name, with its line and the nearest key that exists.
 */
import { readFile } from 'node:fs/promises';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { AshlarError, toAshlarError } from '../errors.js';
import {
  apiPort,
  type Config,
  configDefaults,
  discoveryPort,
  type Endpoint,
  maxCntlid,
  maxPoolBytes,
  metricsPort,
  minCntlid,
  minPoolBytes,
  portalPort,
} from './config.js';
import { canonicalAddress, parseEndpoint, referralProblem } from './endpoint.js';
import { lineOfKey } from './locate.js';
import { type Environment, type Places, placesOf } from './places.js';
import type { ConfigFile } from './schema.js';
import { checkSocketPath } from './socket_path.js';
import { formatSize, parseDurationMs, parseSize } from './units.js';

const maxVolumeBytes = 64n << 40n;

export interface LoadOptions {
  /** The file; null: none, only defaults and flags. */
  file: string | null;
  /** Flags in the file's own shape, e.g. `{ pool: { size: '1TiB' } }`. */
  flags: ConfigFile;
  /** Flag names by dotted key, for messages: `pool.size` → `--pool-size`. */
  flagNames: ReadonlyMap<string, string>;
  /** Where relative paths of flags start, and where the folder of a daemon is. */
  cwd: string;
  /** May name the folders of a service ({@link placesOf}). */
  environment: Environment;
}

/**
 * Reads, checks and resolves.
 *
 * @throws AshlarError 'config-invalid' for the file, 'usage' for flags, and what reading a file can
 * bring ('not-found', 'permission-denied', 'io-error').
 */
export async function loadConfig(options: LoadOptions): Promise<Config> {
  const { file } = options;
  if (file === null) return resolveConfig({}, '', options);
  const path = resolve(options.cwd, file);
  let toml: string;
  try {
    toml = await readFile(path, 'utf8');
  } catch (thrown) {
    const error = toAshlarError(thrown);
    const what = error.code === 'not-found' ? 'does not exist' : `cannot be read: ${error.message}`;
    throw new AshlarError(error.code, `configuration file '${path}' ${what}`, { cause: thrown });
  }
  // Loaded only for a file: the schema library would be a good part of a quick start.
  const { parseConfigFile } = await import('./file.js');
  return resolveConfig(parseConfigFile(toml, path), toml, options);
}

/** A value together with where it was written. */
interface Given<T> {
  value: T;
  /** `--pool-size`, or `ashlar.toml:3: pool.size`, or `pool.size` (a default). */
  origin: string;
  code: 'config-invalid' | 'usage';
  /** The folder at which a relative path starts. */
  base: string;
}

class Resolver {
  readonly #file: ConfigFile;
  readonly #toml: string;
  readonly #options: LoadOptions;
  /** Where files are of which nothing is said. */
  readonly places: Places;

  constructor(file: ConfigFile, toml: string, options: LoadOptions) {
    this.places = placesOf(options.environment, options.cwd);
    this.#file = file;
    this.#toml = toml;
    this.#options = options;
  }

  /** The value of one key from flags, file or default, through `read`, which may throw. */
  get<T, R>(
    key: string,
    pick: (file: ConfigFile) => T | undefined,
    fallback: T,
    read: (given: Given<T>) => R,
  ): R {
    const given = this.#given(key, pick, fallback);
    try {
      return read(given);
    } catch (thrown) {
      const error = toAshlarError(thrown);
      if (error.code !== 'invalid-argument') throw error;
      throw new AshlarError(given.code, error.message, { cause: error });
    }
  }

  #given<T>(key: string, pick: (file: ConfigFile) => T | undefined, fallback: T): Given<T> {
    const { cwd, file, flags, flagNames } = this.#options;
    const flag = pick(flags);
    if (flag !== undefined) {
      return { value: flag, origin: flagNames.get(key) ?? key, code: 'usage', base: cwd };
    }
    const written = pick(this.#file);
    if (written === undefined || file === null) {
      return { value: fallback, origin: key, code: 'config-invalid', base: cwd };
    }
    const path = resolve(cwd, file);
    const line = lineOfKey(this.#toml, key.split('.')) ?? 1;
    const origin = `${path}:${line}: ${key}`;
    return { value: written, origin, code: 'config-invalid', base: dirname(path) };
  }
}

function resolveConfig(file: ConfigFile, toml: string, options: LoadOptions): Config {
  const from = new Resolver(file, toml, options);
  const pool = resolvePool(from);
  const config: Config = {
    pool,
    target: resolveTarget(from),
    node: {
      cntlids: from.get(
        'node.cntlids',
        (f) => f.node?.cntlids,
        configDefaults.cntlids,
        cntlidRange,
      ),
    },
    runtime: resolveRuntime(from),
    api: resolveApi(from),
    audit: resolveAudit(from, pool.device),
    events: resolveEvents(from, pool.device),
    metrics: resolveMetrics(from),
    tracing: resolveTracing(from),
    log: {
      level: from.get(
        'log.level',
        (f) => f.log?.level,
        configDefaults.logLevel,
        ({ value }) => value,
      ),
    },
    demo: resolveDemo(from),
    shutdownTimeoutMs: from.get(
      'shutdownTimeout',
      (f) => f.shutdownTimeout,
      configDefaults.shutdownTimeout,
      ({ value, origin }) => parseDurationMs(value, origin),
    ),
  };
  refuseDoublePortals(config);
  return config;
}

function resolvePool(from: Resolver): Config['pool'] {
  const memory = from.get(
    'pool.memory',
    (f) => f.pool?.memory,
    undefined,
    (given) =>
      given.value === undefined
        ? null
        : {
            given,
            bytes: boundedSize({ ...given, value: given.value }, minPoolBytes, maxPoolBytes),
          },
  );
  const file = from.get(
    'pool.file',
    (f) => f.pool?.file,
    undefined,
    (given) => {
      if (given.value !== undefined && memory !== null) {
        throw new AshlarError(
          given.code,
          `${given.origin} and ${memory.given.origin} exclude each other: ` +
            'a pool is a file or in memory',
        );
      }
      return given.value === undefined
        ? join(from.places.state, configDefaults.poolName)
        : resolve(given.base, given.value);
    },
  );
  const sizeBytes = from.get(
    'pool.size',
    (f) => f.pool?.size,
    configDefaults.poolSize,
    (given) => boundedSize(given, minPoolBytes, maxPoolBytes),
  );
  const populate = from.get(
    'pool.populate',
    (f) => f.pool?.populate,
    false,
    ({ value, origin, code }) => {
      if (value && memory === null) {
        throw new AshlarError(code, `${origin} is for a pool in memory; this one is a file`);
      }
      return value;
    },
  );
  return {
    device:
      memory === null
        ? { kind: 'file', path: file }
        : { kind: 'memory', sizeBytes: memory.bytes, populate },
    sizeBytes: memory?.bytes ?? sizeBytes,
    create: from.get(
      'pool.create',
      (f) => f.pool?.create,
      true,
      ({ value }) => value,
    ),
    writeThrough: from.get(
      'pool.writeThrough',
      (f) => f.pool?.writeThrough,
      false,
      ({ value }) => value,
    ),
    keyFile: from.get(
      'pool.keyFile',
      (f) => f.pool?.keyFile,
      undefined,
      ({ value, base }) => {
        if (value !== undefined) return resolve(base, value);
        if (memory !== null) return null;
        return file.startsWith('/dev/') ? join(from.places.state, 'pool.key') : `${file}.key`;
      },
    ),
    mapCacheBytes: from.get(
      'pool.mapCache',
      (f) => f.pool?.mapCache,
      configDefaults.mapCache,
      (given) => boundedSize(given, 1n << 20n, 1n << 40n),
    ),
  };
}

function resolveTarget(from: Resolver): Config['target'] {
  const portals = from.get(
    'target.portals',
    (f) => f.target?.portals,
    configDefaults.portals,
    (given) => endpointList(given, portalPort),
  );
  const discovery = from.get(
    'target.discovery',
    (f) => f.target?.discovery,
    undefined,
    ({ value, ...given }) =>
      value === undefined ? null : endpointList({ ...given, value }, discoveryPort),
  );
  return {
    portals,
    discovery: discovery ?? impliedDiscovery(portals),
    discoveryImplied: discovery === null,
    mdns: from.get(
      'target.mdns',
      (f) => f.target?.mdns,
      true,
      ({ value }) => value,
    ),
    referrals: from.get('target.referrals', (f) => f.target?.referrals, [], referralList),
    tls: from.get(
      'target.tls',
      (f) => f.target?.tls,
      configDefaults.tls,
      ({ value }) => value,
    ),
    ktls: from.get(
      'target.ktls',
      (f) => f.target?.ktls,
      configDefaults.ktls,
      ({ value }) => value,
    ),
  };
}

/**
 * Hosts that are given an address alone look for discovery at its registered port. A portal on
 * another port than the registered one is reached by those who are told of it, and may be one of
 * several daemons on the machine; so nothing follows from it.
 */
function impliedDiscovery(portals: readonly Endpoint[]): Endpoint[] {
  return portals
    .filter(({ port }) => port === portalPort)
    .map(({ address }) => ({ address, port: discoveryPort }))
    .filter(({ address, port }) => {
      return !portals.some((each) => each.port === port && each.address === address);
    });
}

function resolveRuntime(from: Resolver): Config['runtime'] {
  const cpus = from.get(
    'runtime.cpus',
    (f) => f.runtime?.cpus,
    undefined,
    (given) => given,
  );
  const reactors = from.get(
    'runtime.reactors',
    (f) => f.runtime?.reactors,
    undefined,
    (given) => {
      const { value, origin, code } = given;
      const count = cpus.value?.length;
      if (value !== undefined && count !== undefined && count !== value) {
        throw new AshlarError(
          code,
          `${origin} is ${value}, but ${cpus.origin} names ${count} CPUs; ` +
            'name one for each reactor',
        );
      }
      return value ?? count ?? null;
    },
  );
  return {
    reactors,
    cpus: cpus.value ?? null,
    bufferBytes: from.get(
      'runtime.buffers',
      (f) => f.runtime?.buffers,
      undefined,
      ({ value, ...given }) =>
        value === undefined ? null : boundedSize({ ...given, value }, 4n << 20n, 64n << 30n),
    ),
    busyPollUs: from.get(
      'runtime.busyPollUs',
      (f) => f.runtime?.busyPollUs,
      0,
      ({ value }) => value,
    ),
  };
}

function resolveDemo(from: Resolver): Config['demo'] {
  const volume = from.get(
    'demo.volume',
    (f) => f.demo?.volume,
    undefined,
    ({ value }) => value,
  );
  const sizeBytes = from.get(
    'demo.size',
    (f) => f.demo?.size,
    configDefaults.demoSize,
    (given) => boundedSize(given, 512n, maxVolumeBytes),
  );
  return volume === undefined ? null : { volume, sizeBytes };
}

function resolveApi(from: Resolver): Config['api'] {
  const https = resolveHttps(from);
  return {
    socket: from.get(
      'api.socket',
      (f) => f.api?.socket,
      join(from.places.runtime, configDefaults.socketName),
      socketPath,
    ),
    https,
    console: from.get(
      'api.console',
      (f) => f.api?.console,
      undefined,
      ({ value, origin }) => {
        if (value === 'off') return null;
        // Where HTTPS is, the console is too.
        if (value === undefined && https !== null) return null;
        const endpoint = parseEndpoint(value ?? configDefaults.console, apiPort, origin);
        assertLoopback(endpoint, origin);
        return { ...endpoint, implied: value === undefined };
      },
    ),
  };
}

/** Tokens do not travel over a network in plain text. */
function assertLoopback({ address }: Endpoint, origin: string): void {
  if (address.startsWith('127.') || canonicalAddress(address) === '::1') return;
  throw new AshlarError(
    'invalid-argument',
    `${origin} '${address}' is reached from other machines, and plain HTTP is for this one alone; ` +
      "give '127.0.0.1' or '[::1]', or serve HTTPS with api.listen",
  );
}

function resolveHttps(from: Resolver): Config['api']['https'] {
  const listen = from.get(
    'api.listen',
    (f) => f.api?.listen,
    undefined,
    ({ value, origin }) => (value === undefined ? null : parseEndpoint(value, apiPort, origin)),
  );
  const path = (name: 'certificate' | 'key' | 'clientCa'): string | null =>
    from.get(
      `api.${name}`,
      (f) => f.api?.[name],
      undefined,
      ({ value, base }) => (value === undefined ? null : resolve(base, value)),
    );
  const [certificate, key, clientCa] = [path('certificate'), path('key'), path('clientCa')];
  if (listen === null) return null;
  if (certificate !== null && key !== null) return { ...listen, certificate, key, clientCa };
  throw new AshlarError(
    'config-invalid',
    'api.listen is set: HTTPS needs api.certificate and api.key too',
  );
}

/** A log's file: beside the pool's, unless that is a device or in memory. */
function logPath(
  from: Resolver,
  section: 'audit' | 'events',
  device: Config['pool']['device'],
): string | null {
  return from.get(
    `${section}.file`,
    (f) => f[section]?.file,
    undefined,
    ({ value, base }) => {
      if (value !== undefined) return resolve(base, value);
      if (device.kind === 'memory') return null;
      const name = `${section}.log`;
      const { path } = device;
      return path.startsWith('/dev/') ? join(from.places.state, name) : `${path}.${name}`;
    },
  );
}

function resolveEvents(from: Resolver, device: Config['pool']['device']): Config['events'] {
  const path = logPath(from, 'events', device);
  return path === null ? null : { path };
}

function resolveAudit(from: Resolver, device: Config['pool']['device']): Config['audit'] {
  const path = logPath(from, 'audit', device);
  const bytes = from.get(
    'audit.size',
    (f) => f.audit?.size,
    configDefaults.auditSize,
    (given) => boundedSize(given, 64n << 10n, 1n << 40n),
  );
  const keep = from.get(
    'audit.keep',
    (f) => f.audit?.keep,
    configDefaults.auditKeep,
    ({ value }) => value,
  );
  return path === null ? null : { path, maxBytes: Number(bytes), keep };
}

function resolveMetrics(from: Resolver): Config['metrics'] {
  return {
    listen: from.get(
      'metrics.listen',
      (f) => f.metrics?.listen,
      undefined,
      ({ value, origin }) =>
        value === undefined ? null : parseEndpoint(value, metricsPort, origin),
    ),
    volumes: from.get(
      'metrics.volumes',
      (f) => f.metrics?.volumes,
      configDefaults.metricsVolumes,
      ({ value }) => value,
    ),
  };
}

function resolveTracing(from: Resolver): Config['tracing'] {
  const endpoint = from.get(
    'tracing.endpoint',
    (f) => f.tracing?.endpoint,
    undefined,
    ({ value, origin }) => (value === undefined ? null : receiverUrl(value, origin)),
  );
  const sample = from.get(
    'tracing.sample',
    (f) => f.tracing?.sample,
    configDefaults.tracingSample,
    ({ value }) => value,
  );
  const service = from.get(
    'tracing.service',
    (f) => f.tracing?.service,
    configDefaults.tracingService,
    ({ value }) => value,
  );
  const headersFile = from.get(
    'tracing.headersFile',
    (f) => f.tracing?.headersFile,
    undefined,
    ({ value, base }) => (value === undefined ? null : resolve(base, value)),
  );
  return endpoint === null ? null : { endpoint, sample, service, headersFile };
}

function receiverUrl(text: string, origin: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  const plain = url !== null && url.username === '' && url.password === '' && url.hash === '';
  if (url === null || !plain || !/^https?:$/.test(url.protocol)) {
    throw new AshlarError(
      'invalid-argument',
      `${origin}: not a URL of http or https without a user; write for example ` +
        "'http://127.0.0.1:4318', and what the receiver must not tell in tracing.headersFile",
    );
  }
  if (url.pathname === '/') url.pathname = '/v1/traces';
  return url.href;
}

function boundedSize(given: Given<string | number>, low: bigint, high: bigint): bigint {
  const { value, origin } = given;
  const bytes = typeof value === 'number' ? BigInt(value) : parseSize(value, origin);
  if (bytes < low || bytes > high) {
    throw new AshlarError(
      'invalid-argument',
      `${origin} '${value}' is outside ${formatSize(low)} to ${formatSize(high)}`,
    );
  }
  return bytes;
}

function endpointList(given: Given<string[]>, defaultPort: number): Endpoint[] {
  return given.value.map((text) => parseEndpoint(text, defaultPort, given.origin));
}

function referralList(given: Given<string[]>): Endpoint[] {
  return endpointList(given, discoveryPort).map((referral) => {
    const problem = referralProblem(referral.address, referral.port);
    if (problem === null) return referral;
    const { address, port } = referral;
    throw new AshlarError(
      'invalid-argument',
      `${given.origin}: '${address}' port ${port} ${problem}`,
    );
  });
}

function cntlidRange({ value, origin }: Given<string>): { first: number; last: number } {
  const match = /^(\d{1,5})\s*-\s*(\d{1,5})$/.exec(value.trim());
  const [first, last] = [Number(match?.[1]), Number(match?.[2])];
  if (match !== null && first >= minCntlid && first <= last && last <= maxCntlid) {
    return { first, last };
  }
  throw new AshlarError(
    'invalid-argument',
    `${origin} '${value}' is not a range of controller IDs within ${minCntlid}-${maxCntlid}; ` +
      "write for example '1-1000'",
  );
}

function refuseDoublePortals(config: Config): void {
  const seen = new Set<string>();
  for (const { address, port } of [...config.target.portals, ...config.target.discovery]) {
    const name = `${address} port ${port}`;
    if (port !== 0 && seen.has(name)) {
      throw new AshlarError(
        'config-invalid',
        `${name} is named twice under target.portals and target.discovery; ` +
          'a portal serves discovery anyway',
      );
    }
    seen.add(name);
  }
}

function socketPath(given: Given<string>): string {
  const path = isAbsolute(given.value) ? given.value : resolve(given.base, given.value);
  checkSocketPath(path, given.origin);
  return path;
}
