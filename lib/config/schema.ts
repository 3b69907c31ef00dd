/**
 * The configuration file: every key, its default and its meaning, in one TypeBox schema. The check
 * of a file, the resolved {@link Config} and `ashlar help config` all come from here.
 */
import Type, { type Static } from 'typebox';
import { configDefaults, ktlsModes, logLevels, tlsModes } from './config.js';
import { ownFolder } from './places.js';

/** Said when a value has the wrong type or shape: "must be …". */
interface Expectation {
  description: string;
  expected: string;
  default?: unknown;
}

const exact = { additionalProperties: false };

/** A size is written as text with a unit, or as a plain number of bytes. */
function size(options: Omit<Expectation, 'expected'>) {
  return Type.Optional(
    Type.Union([Type.String(), Type.Integer({ minimum: 0 })], {
      ...options,
      expected: "a size such as '64GiB'",
    }),
  );
}

function text(options: Expectation) {
  return Type.Optional(Type.String({ minLength: 1, ...options }));
}

function flag(options: Omit<Expectation, 'expected'>) {
  return Type.Optional(Type.Boolean({ ...options, expected: 'true or false' }));
}

function endpoints(options: Omit<Expectation, 'expected'>, minItems: number) {
  return Type.Optional(
    Type.Array(Type.String(), {
      ...options,
      minItems,
      maxItems: 16,
      expected: `a list of ${minItems} to 16 addresses such as ["127.0.0.1:4420"]`,
    }),
  );
}

const poolSection = Type.Object(
  {
    file: text({
      description:
        'The pool: a regular file or a block device. A relative path starts at the folder of this file.',
      default: `${ownFolder}/${configDefaults.poolName}`,
      expected: 'a path',
    }),
    size: size({
      description: 'Size of the pool file when it is created. The file is sparse.',
      default: configDefaults.poolSize,
    }),
    create: flag({
      description: 'Create the pool file when it does not exist.',
      default: true,
    }),
    memory: size({
      description:
        'Keep the pool in memory, with this size, instead of a file. All is lost at the end: for benchmarks and tests.',
    }),
    populate: flag({
      description:
        'Take all memory of a memory pool at the start, not as it is written: for benchmarks.',
      default: false,
    }),
    writeThrough: flag({
      description:
        'Make every acknowledged write durable, and report no volatile write cache. Slower.',
      default: false,
    }),
    keyFile: text({
      description:
        "File with the key that wraps the keys of hosts in the pool; made when the first is set, mode 0600. Unset: the pool's path with '.key' behind it, or .ashlar/pool.key for a block device. Keep it apart from backups of the pool.",
      expected: 'a path',
    }),
    mapCache: size({
      description: 'Memory for clean pages of the maps from blocks to their places.',
      default: configDefaults.mapCache,
    }),
  },
  { ...exact, description: 'Where the data is.' },
);

const targetSection = Type.Object(
  {
    portals: endpoints(
      {
        description: 'Where NVMe/TCP hosts reach volumes and the discovery service.',
        default: configDefaults.portals,
      },
      1,
    ),
    discovery: endpoints(
      {
        description:
          'Where they reach the discovery service alone. Unset: port 8009, its registered one, of every address with a portal on port 4420; where it is taken, a warning. []: nowhere.',
      },
      0,
    ),
    mdns: flag({
      description:
        'Announce the discovery service by mDNS (DNS-SD, _nvme-disc._tcp) on the networks through which it is reached, never on loopback.',
      default: true,
    }),
    referrals: endpoints(
      {
        description:
          'Other nodes that the discovery service tells hosts of, beside those of "ashlar referral add". Port 8009 when none is given.',
        default: [],
      },
      0,
    ),
    tls: Type.Optional(
      Type.Enum([...tlsModes], {
        default: configDefaults.tls,
        description:
          'TLS 1.3 at every portal, with the PSKs of "ashlar host psk": none, allowed beside plain connections, or required.',
        expected: `one of ${tlsModes.join(', ')}`,
      }),
    ),
    ktls: Type.Optional(
      Type.Enum([...ktlsModes], {
        default: configDefaults.ktls,
        description:
          'TLS records by the kernel (kTLS) after the handshake. auto: where it can; off: always by this process. "ashlar status" says which.',
        expected: `one of ${ktlsModes.join(', ')}`,
      }),
    ),
  },
  { ...exact, description: 'What NVMe/TCP hosts connect to.' },
);

const nodeSection = Type.Object(
  {
    cntlids: text({
      description:
        'Controller IDs that this node gives. When several nodes serve the same subsystems, each needs a range of its own.',
      default: configDefaults.cntlids,
      expected: "a range such as '1-1000'",
    }),
  },
  { ...exact, description: 'What tells this node from others that serve the same subsystems.' },
);

const runtimeSection = Type.Object(
  {
    reactors: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 64,
        description: 'I/O threads. Unset: one less than CPUs, at least 1, at most 8.',
        expected: 'a whole number from 1 to 64',
      }),
    ),
    cpus: Type.Optional(
      Type.Array(Type.Integer({ minimum: 0, maximum: 4095 }), {
        minItems: 1,
        maxItems: 64,
        description: 'CPUs to pin the I/O threads to, one each. Unset: not pinned.',
        expected: 'a list of CPU numbers such as [0, 1]',
      }),
    ),
    buffers: size({
      description:
        'Memory for I/O buffers of each I/O thread. What is written here is locked, or the daemon does not start. Unset: 64MiB, locked where the limit (ulimit -l) allows it.',
    }),
    busyPollUs: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 1_000_000,
        default: 0,
        description:
          'Poll up to this many microseconds before sleeping, while work keeps coming sooner: ' +
          'lower latency for CPU time. 0: sleep at once.',
        expected: 'a whole number of microseconds from 0 to 1000000',
      }),
    ),
  },
  { ...exact, description: 'Threads and memory.' },
);

const apiSection = Type.Object(
  {
    socket: text({
      description:
        'Unix socket of the control API; only its owner may use it (mode 0600). At most 107 bytes.',
      default: `${ownFolder}/${configDefaults.socketName}`,
      expected: 'a path',
    }),
    console: text({
      description:
        "Address of loopback at which the web console and the API are served over plain HTTP, for those who have a token or a link of 'ashlar console'. 'off': nowhere. Unset: 127.0.0.1:8420, with a warning where that is taken, unless `listen` is set, which serves the console too.",
      expected: "an address such as '127.0.0.1:8420', or 'off'",
    }),
    listen: text({
      description:
        'Address at which the API and the web console are served over HTTPS, for those who have a token or a client certificate. Port 8420 when none is given. Unset: nowhere.',
      expected: "an address such as '0.0.0.0:8420'",
    }),
    certificate: text({
      description: 'Its certificate, with those that lead to the root: a PEM file.',
      expected: 'a path',
    }),
    key: text({ description: 'The key of that certificate: a PEM file.', expected: 'a path' }),
    clientCa: text({
      description:
        'Who signs the certificates of clients: a PEM file. "ashlar token create --subject" says what each of them may. Unset: tokens alone.',
      expected: 'a path',
    }),
  },
  { ...exact, description: 'How the command line and other programs reach the daemon.' },
);

const auditSection = Type.Object(
  {
    file: text({
      description:
        "Every change that was asked for by the API, as JSON lines: who, what, before, after. Unset: the pool's path with '.audit.log' behind it, .ashlar/audit.log for a block device, none for a pool in memory.",
      expected: 'a path',
    }),
    size: size({
      description: 'Size at which a file is followed by the next.',
      default: configDefaults.auditSize,
    }),
    keep: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1000,
        default: configDefaults.auditKeep,
        description: 'How many files are kept beside the current one.',
        expected: 'a whole number from 1 to 1000',
      }),
    ),
  },
  { ...exact, description: 'What is written down of changes.' },
);

const eventsSection = Type.Object(
  {
    file: text({
      description:
        "Where events outlive a restart, as JSON lines: those that are kept, the last 1,000 of the node and 200 of each tenant, and not much more. Unset: the pool's path with '.events.log' behind it, .ashlar/events.log for a block device; events of a pool in memory end with it.",
      expected: 'a path',
    }),
  },
  { ...exact, description: 'What is kept of what happened.' },
);

const metricsSection = Type.Object(
  {
    listen: text({
      description:
        'Address at which GET /metrics is answered over plain HTTP to whoever can reach it, for Prometheus. Port 9420 when none is given. Unset: at the API alone, where a token may be asked for.',
      expected: "an address such as '127.0.0.1:9420'",
    }),
    volumes: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 100_000,
        default: configDefaults.metricsVolumes,
        description:
          'How many volumes have series of their own, the oldest; the others are summed as volume="(others)". Each has about 46 series.',
        expected: 'a whole number from 0 to 100000',
      }),
    ),
  },
  { ...exact, description: 'What Prometheus is told, and where.' },
);

const tracingSection = Type.Object(
  {
    endpoint: text({
      description:
        'Where spans of calls of the API are sent: an OTLP/HTTP receiver, such as an OpenTelemetry Collector. /v1/traces is added when it has no path. Unset: nothing is traced.',
      expected: "a URL such as 'http://127.0.0.1:4318'",
    }),
    sample: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 1,
        default: configDefaults.tracingSample,
        description:
          'Which part of the traces is sent, 0 to 1. A caller that sends a traceparent has decided.',
        expected: 'a number from 0 to 1',
      }),
    ),
    service: text({
      description: 'service.name of the spans.',
      default: configDefaults.tracingService,
      expected: 'a name',
    }),
    headersFile: text({
      description:
        "Headers that the receiver wants, one a line, 'Name: value', for example an Authorization. Keep the file to its owner.",
      expected: 'a path',
    }),
  },
  { ...exact, description: 'Traces of calls by OpenTelemetry; off unless there is an endpoint.' },
);

const logSection = Type.Object(
  {
    level: Type.Optional(
      Type.Enum([...logLevels], {
        default: configDefaults.logLevel,
        description: `How much goes to stderr: ${logLevels.join(', ')}.`,
        expected: `one of ${logLevels.join(', ')}`,
      }),
    ),
  },
  { ...exact, description: 'What is logged, as JSON lines on stderr.' },
);

const demoSection = Type.Object(
  {
    volume: text({
      description: 'Name of a volume that any host may use, made when the pool is created.',
      expected: 'a volume name',
    }),
    size: size({ description: 'Its size.', default: configDefaults.demoSize }),
  },
  { ...exact, description: 'A first volume to try things with. Unset: none.' },
);

/** The whole file. Every section and nearly every key may be left out. */
export const configFileSchema = Type.Object(
  {
    pool: Type.Optional(poolSection),
    target: Type.Optional(targetSection),
    node: Type.Optional(nodeSection),
    runtime: Type.Optional(runtimeSection),
    api: Type.Optional(apiSection),
    audit: Type.Optional(auditSection),
    events: Type.Optional(eventsSection),
    metrics: Type.Optional(metricsSection),
    tracing: Type.Optional(tracingSection),
    log: Type.Optional(logSection),
    demo: Type.Optional(demoSection),
    shutdownTimeout: text({
      description: 'How long an orderly end may take before connections are cut.',
      default: configDefaults.shutdownTimeout,
      expected: "a duration such as '10s'",
    }),
  },
  exact,
);

/** A file after its check: sizes and endpoints are still text. */
export type ConfigFile = Static<typeof configFileSchema>;
