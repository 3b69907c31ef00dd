/** What goes into and comes out of the operations on the node as a whole; see contract.ts. */
import Type from 'typebox';
import { poolSchema } from './pools.js';
import { portalSchema } from './portals.js';
import { bytes, count, exact, none, orNull, text, time } from './schemas.js';

export const reactorSchema = Type.Object(
  {
    turns: count('Rounds of the reactor.'),
    sleeps: count('How often it slept.'),
    busyNs: count('Time awake, nanoseconds.'),
    connections: count('Connections it serves.'),
    commands: count('Commands it completed.'),
    readBytes: bytes('Bytes sent to hosts.'),
    writtenBytes: bytes('Bytes received from hosts.'),
    buffersInUse: count('I/O buffers held at this moment.'),
    ioPathAllocations: count('Heap allocations on the I/O path; 0 after warm-up.'),
  },
  { ...exact, description: 'One I/O thread.' },
);

const tlsSchema = Type.Object(
  {
    mode: Type.Enum(['none', 'allowed', 'required'], {
      description: 'Whether hosts speak TLS to the portals.',
    }),
    records: Type.Enum(['kernel', 'process'], {
      description: 'Who does the records of a connection once its handshake is done.',
    }),
    problem: orNull(text('Why the process does them; null: the kernel does, or there is no TLS.')),
    kernelConnections: count('Connections since the start with records by the kernel.'),
    processConnections: count('Connections since the start with records by the process.'),
    refused: count('How often the kernel did not take a connection of which it was asked.'),
  },
  { ...exact, description: 'TLS at the portals.' },
);

export const statusSchema = Type.Object(
  {
    state: Type.Enum(['serving', 'failed', 'closing'], {
      description: '"failed": a pool stopped acknowledging; `problem` says why and what to do.',
    }),
    problem: orNull(text('What is wrong, and what to do.')),
    version: text('Version of Ashlar.'),
    pid: count('Process ID of the daemon.'),
    startedAt: time('When the daemon started.'),
    pools: Type.Array(poolSchema),
    portals: Type.Array(portalSchema),
    reactors: Type.Array(reactorSchema),
    tls: tlsSchema,
    tenants: count('How many tenants there are.'),
    volumes: count('How many volumes there are.'),
    snapshots: count('How many snapshots there are.'),
    controllers: count('How many controllers hosts have now.'),
  },
  { ...exact, description: 'The whole node at one glance.' },
);

export const nodeContract = {
  getStatus: {
    summary: 'The node at one glance',
    params: none,
    query: none,
    body: none,
    response: statusSchema,
  },
} as const;
