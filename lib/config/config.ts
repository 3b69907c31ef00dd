/**
 * What a daemon is told at its start, resolved: sizes are bytes, paths are absolute, defaults are
 * filled in. {@link loadConfig} in load.ts makes one from a file and flags; the file's own schema,
 * with every default and its meaning, is in schema.ts.
 */
import type { DeviceSpec } from '../native.js';

/** An address and port to listen on. */
export interface Endpoint {
  /** IPv4 or IPv6 literal, without brackets. */
  address: string;
  /** 0 to 65535; 0: any free port (tests). */
  port: number;
}

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** Sizes that a pool can have, bytes; native/FORMAT.md says why. */
export const minPoolBytes = 16n << 20n;
export const maxPoolBytes = 256n << 40n;

/** I/O buffers of a reactor of which nothing is said; native/base/limits.h. */
export const defaultBufferBytes = 64n << 20n;

/** Where the API is over HTTPS, or the console on loopback, when only an address is given. */
export const apiPort = 8420;

/** Where metrics are over plain HTTP when only an address is given. */
export const metricsPort = 9420;

/** The registered ports of subsystems and of discovery services over TCP (TCP Transport 3.1.2). */
export const portalPort = 4420;
export const discoveryPort = 8009;

/**
 * Controller IDs that a node can give (Base 4.5): 0 is left out, as hosts print it like "none", and
 * FFF0h to FFFFh are reserved.
 */
export const minCntlid = 1;
export const maxCntlid = 0xffef;

/** Whether hosts speak TLS 1.3 to the portals: never, as each chooses, or always. */
export const tlsModes = ['none', 'allowed', 'required'] as const;
export type TlsMode = (typeof tlsModes)[number];

/** Whether the kernel does the records of TLS: where it can, or never. */
export const ktlsModes = ['auto', 'off'] as const;
export type KtlsMode = (typeof ktlsModes)[number];

/** What holds where neither the file nor a flag says otherwise. */
export const configDefaults = {
  poolName: 'pool.ashlar',
  poolSize: '64GiB',
  mapCache: '256MiB',
  portals: [`127.0.0.1:${portalPort}`],
  cntlids: `${minCntlid}-${maxCntlid}`,
  socketName: 'ashlar.sock',
  console: `127.0.0.1:${apiPort}`,
  auditSize: '16MiB',
  auditKeep: 8,
  metricsVolumes: 1000,
  tracingSample: 1,
  tracingService: 'ashlar',
  logLevel: 'info',
  tls: 'none',
  ktls: 'auto',
  demoSize: '10GiB',
  shutdownTimeout: '10s',
} satisfies {
  logLevel: LogLevel;
  tls: TlsMode;
  ktls: KtlsMode;
  [key: string]: string | string[] | number;
};

export interface PoolConfig {
  device: DeviceSpec;
  /** Size of a pool file that does not exist yet, bytes; the file is sparse. */
  sizeBytes: bigint;
  /** Create the pool file when it does not exist. */
  create: boolean;
  /** Every acknowledged write is durable; the namespaces report no volatile write cache. */
  writeThrough: boolean;
  /** File with the key that wraps secrets, absolute; null: of a pool in memory. */
  keyFile: string | null;
  /** Bound on clean map pages in memory, bytes. */
  mapCacheBytes: bigint;
}

export interface TargetConfig {
  /** Serve volumes and discovery. At least one. */
  portals: Endpoint[];
  /** Serve discovery only. */
  discovery: Endpoint[];
  /** `discovery` was not given but follows from `portals`: one that is taken is done without. */
  discoveryImplied: boolean;
  /** Announce the discovery service by mDNS. */
  mdns: boolean;
  /** Discovery services of other nodes that hosts are told of. */
  referrals: Endpoint[];
  /** Of every portal. */
  tls: TlsMode;
  ktls: KtlsMode;
}

/** What the node needs to know when several serve the same subsystems. */
export interface NodeIdentityConfig {
  /** Controller IDs (CNTLID) that it gives: no other node may give one of them. */
  cntlids: { first: number; last: number };
}

export interface RuntimeConfig {
  /** Reactor threads; null: cores − 1, at least 1, at most 8. */
  reactors: number | null;
  /** CPU numbers to pin the reactors to, one each; null: not pinned. */
  cpus: number[] | null;
  /**
   * I/O buffer memory a reactor, bytes: all of it locked, or the daemon does not start. null:
   * {@link defaultBufferBytes}, locked where the limit allows it.
   */
  bufferBytes: bigint | null;
  /** Poll this long before sleeping, microseconds; 0: sleep at once. */
  busyPollUs: number;
}

export interface ApiConfig {
  /** Path of the control socket. */
  socket: string;
  /** null: the API is not served over HTTPS. */
  https: HttpsConfig | null;
  /** Where API and console are over plain HTTP, within this machine; null: nowhere. */
  console: ConsoleConfig | null;
}

/** An address of loopback. */
export interface ConsoleConfig extends Endpoint {
  /** It was not asked for: where the port is taken, it is done without. */
  implied: boolean;
}

/** The API over HTTPS. Paths are absolute; the files are PEM. */
export interface HttpsConfig extends Endpoint {
  certificate: string;
  key: string;
  /** Clients with a certificate of these are known by its subject; null: tokens alone. */
  clientCa: string | null;
}

/** Where changes are written down. */
export interface AuditConfig {
  /** Absolute. */
  path: string;
  /** Size at which a file is followed by the next, bytes. */
  maxBytes: number;
  /** Files kept beside the current one. */
  keep: number;
}

/** Where events outlive a restart. */
export interface EventsConfig {
  /** Absolute. */
  path: string;
}

/** What Prometheus may ask for. */
export interface MetricsConfig {
  /** Served there over plain HTTP, to whoever can reach it; null: at the API alone. */
  listen: Endpoint | null;
  /** Volumes with series of their own; the others are summed. */
  volumes: number;
}

/** Where the spans of calls go. */
export interface TracingConfig {
  /** URL of an OTLP/HTTP receiver. */
  endpoint: string;
  /** How many of the traces that callers have not decided about, 0 to 1. */
  sample: number;
  /** What this node is called there. */
  service: string;
  /** File of headers that are sent along, absolute; null: none. */
  headersFile: string | null;
}

export interface LogConfig {
  level: LogLevel;
}

/** A volume that is made, and granted to every host, when the pool is created. */
export interface DemoConfig {
  volume: string;
  sizeBytes: bigint;
}

/** All of it. */
export interface Config {
  pool: PoolConfig;
  target: TargetConfig;
  node: NodeIdentityConfig;
  runtime: RuntimeConfig;
  api: ApiConfig;
  /** null: of a pool in memory, nothing is written down. */
  audit: AuditConfig | null;
  /** null: of a pool in memory, they do not. */
  events: EventsConfig | null;
  metrics: MetricsConfig;
  /** null: nothing is traced. */
  tracing: TracingConfig | null;
  log: LogConfig;
  demo: DemoConfig | null;
  /** How long an orderly end may take before connections are cut, milliseconds. */
  shutdownTimeoutMs: number;
}

/** `127.0.0.1:4420`, `[::1]:4420`. */
export function formatEndpoint(endpoint: Endpoint): string {
  const { address, port } = endpoint;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
