/**
 * The plugin's configuration: a TOML file, checked against its schema and resolved, with what flags
 * and the environment say instead. `ashlar help csi` prints every key from here.
 */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import Type, { type Static } from 'typebox';
import { formatEndpoint, type LogLevel, logLevels, portalPort } from '../config/config.js';
import { parseEndpoint } from '../config/endpoint.js';
import { exampleOf } from '../config/example.js';
import { parseToml } from '../config/file.js';
import { parseDurationMs } from '../config/units.js';
import { AshlarError, toAshlarError } from '../errors.js';
import { zoneKey } from './names.js';

export const csiModes = ['controller', 'node', 'all'] as const;
export type CsiMode = (typeof csiModes)[number];

/** As `iopolicy` of an NVMe subsystem in sysfs has it. */
export const ioPolicies = ['round-robin', 'numa', 'queue-depth'] as const;

/** Where a node or an endpoint is: what it has in each of the dimensions that matter. */
export type Segments = Readonly<Record<string, string>>;

/** One Ashlar daemon. */
export interface EndpointSettings {
  /** For messages and the volume context. */
  name: string;
  /** `https://address:port`, tried in turn; empty when there is a socket. */
  urls: readonly string[];
  /** The control socket of a daemon on this machine; null: `urls`. */
  socket: string | null;
  /** Read again when it changes; null: who calls is known by the certificate or the socket. */
  tokenFile: string | null;
  ca: string | null;
  cert: string | null;
  key: string | null;
  /** `address:port` of portals as nodes reach them; empty: as the daemon tells. */
  portals: readonly string[];
  topology: Segments;
}

/** What the node's part does, and how. Times are milliseconds; null: never, for ever. */
export interface NodeSettings {
  /** Folder for the host's identity and what is staged. */
  state: string;
  topology: Segments;
  /** What NodeGetInfo says; 0: the CO decides. */
  maxVolumes: number;
  /** After so long without any path I/O fails instead of waiting. */
  fastIoFailMs: number | null;
  /** After so long the kernel gives a path up. */
  ctrlLossMs: number | null;
  reconnectDelayMs: number;
  keepAliveMs: number;
  ioPolicy: (typeof ioPolicies)[number];
  /** I/O queues of a path; 0: as many as the kernel takes. */
  queues: number;
  /** Of one program that the node runs. */
  commandTimeoutMs: number;
}

export interface CsiConfig {
  mode: CsiMode;
  /** Absolute path of the unix socket. */
  socket: string;
  logLevel: LogLevel;
  endpoints: readonly EndpointSettings[];
  node: NodeSettings;
}

const exact = { additionalProperties: false };
const optional = (description: string, expected: string) =>
  Type.Optional(Type.String({ minLength: 1, description, expected }));
const segments = (description: string) =>
  Type.Optional(
    Type.Record(Type.String(), Type.String(), {
      description,
      default: { [zoneKey]: 'default' },
      expected: `a table such as { "${zoneKey}" = "a" }`,
    }),
  );
const duration = (description: string, standard: string) =>
  Type.Optional(
    Type.String({
      minLength: 1,
      description,
      default: standard,
      expected: "a duration such as '5s'",
    }),
  );

const csiSection = Type.Object(
  {
    mode: Type.Optional(
      Type.Enum([...csiModes], {
        description: 'Which services: controller, node, or all of them in one process.',
        expected: `one of ${csiModes.join(', ')}`,
      }),
    ),
    socket: optional('The unix socket to serve at; also $CSI_ENDPOINT.', 'a path'),
    logLevel: Type.Optional(
      Type.Enum([...logLevels], {
        default: 'info',
        description: 'How much goes to stderr, as JSON lines.',
        expected: `one of ${logLevels.join(', ')}`,
      }),
    ),
  },
  { ...exact, description: 'The plugin itself.' },
);

const endpointSection = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 63, description: 'What messages call it.' }),
    urls: Type.Optional(
      Type.Array(Type.String({ pattern: '^https://' }), {
        minItems: 1,
        maxItems: 8,
        description: 'The API of one daemon over HTTPS; tried in turn.',
        expected: 'a list such as ["https://ashlar-a:8420"]',
      }),
    ),
    socket: optional('Or its control socket, on the same machine.', 'a path'),
    tokenFile: optional('File with the token; read again when it changes.', 'a path'),
    ca: optional("PEM: who signed the daemon's certificate.", 'a path'),
    cert: optional('PEM: a client certificate instead of a token.', 'a path'),
    key: optional('PEM: the key of that.', 'a path'),
    portals: Type.Optional(
      Type.Array(Type.String(), {
        minItems: 1,
        maxItems: 16,
        description:
          'Portals as nodes reach them. Unset: what the daemon listens on, without those for discovery alone.',
        expected: 'a list of addresses such as ["10.0.0.5:4420"]',
      }),
    ),
    topology: segments('Where it is; its volumes can be used by nodes of the same place.'),
  },
  { ...exact, description: 'An Ashlar daemon; one section for each.' },
);

const nodeSection = Type.Object(
  {
    state: Type.Optional(
      Type.String({
        minLength: 1,
        default: '/var/lib/ashlar-csi',
        description: "Folder for the host's identity and for what is staged.",
        expected: 'a path',
      }),
    ),
    topology: segments('Where this node is.'),
    maxVolumes: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 4096,
        default: 500,
        description: 'Volumes that this node takes at most; 0: no limit of its own.',
        expected: 'a whole number from 0 to 4096',
      }),
    ),
    fastIoFail: duration(
      "I/O waits so long for a path to come back, and fails then; 'off': it waits for ever.",
      '15s',
    ),
    ctrlLoss: duration("The kernel gives a lost path up after so long; 'off': never.", 'off'),
    reconnectDelay: duration('Between two tries of a lost path.', '2s'),
    keepAlive: duration('A path that is silent for so long is lost.', '5s'),
    ioPolicy: Type.Optional(
      Type.Enum([...ioPolicies], {
        default: 'round-robin',
        description: 'How the kernel chooses between paths.',
        expected: `one of ${ioPolicies.join(', ')}`,
      }),
    ),
    queues: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 128,
        default: 0,
        description: 'I/O queues of each path; 0: as the kernel likes, one for each CPU.',
        expected: 'a whole number from 0 to 128',
      }),
    ),
    commandTimeout: duration('How long one program (mkfs, fsck, mount) may take.', '60s'),
  },
  { ...exact, description: 'Of modes node and all.' },
);

/** The whole file. */
export const csiFileSchema = Type.Object(
  {
    csi: Type.Optional(csiSection),
    endpoints: Type.Optional(Type.Array(endpointSection, { maxItems: 64 })),
    node: Type.Optional(nodeSection),
  },
  exact,
);
type CsiFile = Static<typeof csiFileSchema>;

/** The file with every key, its default and its meaning. */
export function exampleCsiConfig(): string {
  return exampleOf(csiFileSchema, {
    mode: '"controller"',
    'csi.socket': '"/csi/csi.sock"',
    name: '"a"',
    urls: '["https://10.0.0.5:8420"]',
    socket: '"/run/ashlar/ashlar.sock"',
    tokenFile: '"/etc/ashlar-csi/token"',
    ca: '"/etc/ashlar-csi/ca.crt"',
    cert: '"/etc/ashlar-csi/client.crt"',
    key: '"/etc/ashlar-csi/client.key"',
    portals: '["10.0.0.5:4420"]',
  });
}

/** What the command line says; it is stronger than the file. */
export interface CsiFlags {
  mode?: CsiMode | undefined;
  socket?: string | undefined;
  state?: string | undefined;
  logLevel?: LogLevel | undefined;
}

export interface CsiConfigOptions {
  /** The file; null: none. */
  file: string | null;
  flags: CsiFlags;
  cwd: string;
  /** CSI_ENDPOINT: the socket, as `unix:///path`, where neither flag nor file names one. */
  environment: Readonly<Record<string, string | undefined>>;
}

/**
 * Reads, checks and resolves.
 *
 * @throws AshlarError 'config-invalid' for the file, 'usage' for flags and the environment, and what
 * reading a file can bring.
 */
export async function loadCsiConfig(options: CsiConfigOptions): Promise<CsiConfig> {
  const { file, cwd } = options;
  if (file === null) return resolveCsiConfig({}, 'the command line', options);
  const path = resolve(cwd, file);
  const toml = await readFile(path, 'utf8').catch((thrown: unknown) => {
    const { code, message } = toAshlarError(thrown);
    const what = code === 'not-found' ? 'does not exist' : `cannot be read: ${message}`;
    throw new AshlarError(code, `configuration file '${path}' ${what}`, { cause: thrown });
  });
  return resolveCsiConfig(parseToml(csiFileSchema, toml, file), file, options);
}

function resolveCsiConfig(file: CsiFile, name: string, options: CsiConfigOptions): CsiConfig {
  const { flags, cwd, environment } = options;
  const mode = flags.mode ?? file.csi?.mode;
  if (mode === undefined) {
    throw new AshlarError('usage', 'no mode: give --mode controller, node or all');
  }
  const socket = flags.socket ?? file.csi?.socket ?? socketOf(environment['CSI_ENDPOINT']);
  const endpoints = (file.endpoints ?? []).map((section) => endpointOf(section, name, cwd));
  const twice = endpoints.find((one, index) =>
    endpoints.slice(0, index).some((other) => other.name === one.name),
  );
  if (twice !== undefined) throw invalid(name, `two endpoints are called '${twice.name}'`);
  if (mode !== 'node' && endpoints.length === 0) {
    throw invalid(
      name,
      `mode '${mode}' needs at least one [[endpoints]] section: an Ashlar daemon`,
    );
  }
  const node = nodeOf(file.node ?? {}, name, flags, cwd);
  const logLevel = flags.logLevel ?? file.csi?.logLevel ?? 'info';
  return { mode, socket: resolve(cwd, socket), logLevel, endpoints, node };
}

function socketOf(endpoint: string | undefined): string {
  if (endpoint === undefined || endpoint === '') {
    throw new AshlarError(
      'usage',
      'no socket to serve at: give --csi-socket, or set CSI_ENDPOINT to unix:///PATH',
    );
  }
  const path = endpoint.replace(/^unix:(\/\/)?/, '');
  if (path.startsWith('/')) return path;
  throw new AshlarError('usage', `CSI_ENDPOINT '${endpoint}' is not of the form unix:///PATH`);
}

function endpointOf(
  section: Static<typeof endpointSection>,
  name: string,
  cwd: string,
): EndpointSettings {
  const { urls = [], socket } = section;
  const what = `endpoint '${section.name}'`;
  if ((urls.length === 0) === (socket === undefined)) {
    throw invalid(name, `${what} needs either 'urls' or a 'socket'`);
  }
  if ((section.cert === undefined) !== (section.key === undefined)) {
    throw invalid(name, `${what} needs 'cert' and 'key' together`);
  }
  const path = (file: string | undefined) => (file === undefined ? null : resolve(cwd, file));
  return {
    name: section.name,
    urls: urls.map((url) => urlOf(url, what, name)),
    socket: path(socket),
    tokenFile: path(section.tokenFile),
    ca: path(section.ca),
    cert: path(section.cert),
    key: path(section.key),
    portals: (section.portals ?? []).map((portal) => portalOf(portal, what, name)),
    topology: topologyOf(section.topology, what, name),
  };
}

function urlOf(text: string, what: string, name: string): string {
  try {
    return new URL(text).origin;
  } catch (thrown) {
    throw new AshlarError('config-invalid', `${name}: ${what}: '${text}' is not a URL`, {
      cause: thrown,
    });
  }
}

/** An address: hosts name the paths that they have by it. */
function portalOf(text: string, what: string, name: string): string {
  try {
    return formatEndpoint(parseEndpoint(text, portalPort, 'portal'));
  } catch (thrown) {
    const { message } = toAshlarError(thrown);
    throw new AshlarError('config-invalid', `${name}: ${what}: ${message}`, { cause: thrown });
  }
}

/** CSI, message Topology: names of up to 63 letters behind a prefix, values of up to 63. */
const segmentKeys =
  /^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;
const segmentValues = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;

function topologyOf(given: Segments | undefined, what: string, name: string): Segments {
  for (const [key, value] of Object.entries(given ?? {})) {
    if (segmentKeys.test(key) && segmentValues.test(value)) continue;
    throw invalid(
      name,
      `${what}: topology '${key}' = '${value}' is not one: both are up to 63 of letters, digits, ` +
        "'-', '_' and '.', the key behind a DNS prefix and '/'",
    );
  }
  return given === undefined || Object.keys(given).length === 0 ? { [zoneKey]: 'default' } : given;
}

function nodeOf(
  section: Static<typeof nodeSection>,
  name: string,
  flags: CsiFlags,
  cwd: string,
): NodeSettings {
  const ms = (key: string, text: string): number => {
    const value = parseDurationMs(text, `node.${key}`);
    // The kernel takes whole seconds.
    if (value >= 1_000 && value % 1_000 === 0) return value;
    throw invalid(name, `'node.${key}' is ${text}; it has to be whole seconds, 1s at least`);
  };
  const orNever = (key: string, text: string) => (text === 'off' ? null : ms(key, text));
  return {
    state: resolve(cwd, flags.state ?? section.state ?? '/var/lib/ashlar-csi'),
    topology: topologyOf(section.topology, '[node]', name),
    maxVolumes: section.maxVolumes ?? 500,
    fastIoFailMs: orNever('fastIoFail', section.fastIoFail ?? '15s'),
    ctrlLossMs: orNever('ctrlLoss', section.ctrlLoss ?? 'off'),
    reconnectDelayMs: ms('reconnectDelay', section.reconnectDelay ?? '2s'),
    keepAliveMs: ms('keepAlive', section.keepAlive ?? '5s'),
    ioPolicy: section.ioPolicy ?? 'round-robin',
    queues: section.queues ?? 0,
    commandTimeoutMs: ms('commandTimeout', section.commandTimeout ?? '60s'),
  };
}

function invalid(name: string, what: string): AshlarError {
  return new AshlarError('config-invalid', `${name}: ${what}`);
}
