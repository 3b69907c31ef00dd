/** A node in this process for a test, with ports of its own, and hosts of ours. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { connectHost, type Host } from '../../lib/host/index.js';
import { openNode } from '../../lib/node/node.js';
import type { Node, NodeConfig } from '../../lib/node/types.js';

export const mib = 1n << 20n;
export const gib = 1n << 30n;

export type Overrides = Partial<Omit<NodeConfig, 'pool'>> & { pool?: Partial<NodeConfig['pool']> };

/** One reactor, a pool of 1 GiB in memory, and one portal of each kind on free ports. */
export function nodeConfig(over: Overrides = {}): NodeConfig {
  return {
    runtime: { reactors: 1, cpus: null, bufferBytes: null, busyPollUs: 0 },
    portals: [
      { address: '127.0.0.1', port: 0, discoveryOnly: false },
      { address: '127.0.0.1', port: 0, discoveryOnly: true },
    ],
    cntlids: { first: 1, last: 65_519 },
    demo: null,
    ...over,
    pool: {
      device: { kind: 'memory', sizeBytes: gib },
      create: { sizeBytes: null, journalBytes: null },
      writeThrough: false,
      mapCacheBytes: null,
      ...over.pool,
    },
  };
}

/** What would be in the log goes nowhere; tests look at events. */
export function open(over: Overrides = {}): Promise<Node> {
  return openNode(nodeConfig(over), pino({ level: 'silent' }));
}

/** A pool file of 1 GiB in a folder of its own. */
export class PoolFolder implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'ashlar-node-'));
  readonly path = join(this.folder, 'pool');

  get pool(): NodeConfig['pool'] {
    return {
      device: { kind: 'file', path: this.path },
      create: { sizeBytes: gib, journalBytes: null },
      writeThrough: false,
      mapCacheBytes: null,
    };
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export function hostNqn(name: string): string {
  return `nqn.2026-01.test:${name}`;
}

export function portOf(node: Node, discoveryOnly = false): number {
  const portal = node.portals.list().find((each) => each.discoveryOnly === discoveryOnly);
  if (portal === undefined) throw new Error('the node has no such portal');
  return portal.port;
}

/** Connects our own host to the default tenant's subsystem. */
export function connect(
  node: Node,
  name: string,
  over: { subnqn?: string; discoveryOnly?: boolean; ioQueues?: number } = {},
): Promise<Host> {
  return connectHost({
    address: '127.0.0.1',
    port: portOf(node, over.discoveryOnly === true),
    subnqn: over.subnqn ?? node.tenants.show('default').subnqn,
    hostnqn: hostNqn(name),
    hostid: new Uint8Array(16).fill(name.length),
    ioQueues: over.ioQueues ?? 2,
  });
}

/** Waits until the node has noticed that its hosts are gone: that comes after a host has closed. */
export async function noneConnected(node: Node): Promise<void> {
  const looked = (resolve: () => void): void => {
    void node.status().then(({ connections }) => {
      if (connections.length === 0) resolve();
    });
  };
  await new Promise<void>((resolve) => {
    const stop = node.onEvent(() => looked(done));
    const done = (): void => {
      stop();
      resolve();
    };
    looked(done);
  });
}
