/**
 * The node's discovery subsystem (Base 3.1.2.3): who may have a controller of it and for how long,
 * and what each is told. Hosts reach it by the well-known NQN or by its own.
 */
import { addressOf, type ConnectRefusal, connectRefusal } from './connect.js';
import type { Controller } from './controller.js';
import { type Discoverable, type DiscoveryLog, discoveryRecords } from './discovery.js';
import { DiscoveryViews } from './discovery_views.js';
import { roundKeepAlive } from './features.js';
import {
  discoveryActivityMs,
  maxDiscoveryControllers,
  maxDiscoveryControllersPerAddress,
  maxDiscoveryControllersPerHost,
} from './limits.js';
import { discoveryNqn } from './nqn.js';
import { statuses } from './statuses.js';

export interface DiscoveryOptions {
  /** NQN of this node's discovery subsystem, unlike that of any other. */
  nqn: string;
  /** SN of its controllers. */
  serial: string;
  /** Versions of the page (GENCTR) begin above this; never below what an earlier start gave. */
  firstGeneration: bigint;
}

/** What the target has to tell of. */
export interface DiscoverySubject {
  discoverable(): Omit<Discoverable, 'ownNqn'>;
  /** NQNs of the subsystems that the host may see. */
  visibleTo(hostnqn: string): readonly string[];
  /** Whether the host has a PSK for TLS. */
  hasPsk(hostnqn: string): boolean;
}

export class DiscoverySubsystem {
  readonly nqn: string;
  readonly serial: string;
  readonly #views: DiscoveryViews;
  readonly #controllers = new Map<number, Controller>();

  constructor({ nqn, serial, firstGeneration }: DiscoveryOptions, subject: DiscoverySubject) {
    this.nqn = nqn;
    this.serial = serial;
    const source = {
      visibleTo: (hostnqn: string) => subject.visibleTo(hostnqn),
      records: ({ identity }: Controller, subnqns: readonly string[]) => {
        const hasPsk = subject.hasPsk(identity.hostnqn);
        const discoverable = { ...subject.discoverable(), ownNqn: nqn };
        return discoveryRecords(discoverable, identity, subnqns, hasPsk);
      },
    };
    this.#views = new DiscoveryViews(source, firstGeneration);
  }

  /** Whether a Connect with this SUBNQN is for discovery. */
  isNamed(subnqn: string): boolean {
    return subnqn === discoveryNqn || subnqn === this.nqn;
  }

  /** By CNTLID. */
  get controllers(): ReadonlyMap<number, Controller> {
    return this.#controllers;
  }

  /** Why the host gets no further controller; null: it does. */
  refusal(hostnqn: string, peer: string): ConnectRefusal | null {
    const busy = (reason: string) => connectRefusal(statuses.connectControllerBusy, reason);
    if (this.#controllers.size >= maxDiscoveryControllers) {
      return busy(`the node has ${maxDiscoveryControllers} discovery controllers, its limit`);
    }
    const address = addressOf(peer);
    let ofHost = 0;
    let ofAddress = 0;
    for (const { identity } of this.#controllers.values()) {
      if (identity.hostnqn === hostnqn) ofHost += 1;
      if (addressOf(identity.peer) === address) ofAddress += 1;
    }
    if (ofHost >= maxDiscoveryControllersPerHost) {
      const limit = maxDiscoveryControllersPerHost;
      return busy(`${hostnqn} has ${limit} discovery controllers, the limit of one host`);
    }
    if (ofAddress >= maxDiscoveryControllersPerAddress) {
      const limit = maxDiscoveryControllersPerAddress;
      return busy(`${address} has ${limit} discovery controllers, the limit of one address`);
    }
    return null;
  }

  add(controller: Controller): void {
    this.#controllers.set(controller.identity.cntlid, controller);
    this.#views.add(controller);
  }

  remove(controller: Controller): void {
    this.#controllers.delete(controller.identity.cntlid);
    this.#views.remove(controller);
  }

  /** What some host may discover could have changed. */
  changed(): void {
    this.#views.changed();
  }

  /** A command of the host came: without a KATO that is what keeps its controller. */
  active(controller: Controller): void {
    const { keepAliveMs } = controller.features;
    if (keepAliveMs === 0) controller.setKeepAlive(discoveryKeepAlive(keepAliveMs));
  }

  log(controller: Controller, offset: bigint): DiscoveryLog {
    return this.#views.page(controller, offset);
  }

  acknowledge(controller: Controller): void {
    this.#views.acknowledge(controller);
  }

  close(): void {
    this.#views.close();
  }
}

/**
 * How long a discovery controller lives without a sign of its host. A KATO makes the connection
 * persistent (explicitly; there is no implicit kind here): Keep Alive commands keep it, as with
 * every controller. Without one it is for a look, and ends after two minutes without any command.
 */
export function discoveryKeepAlive(katoMs: number): number {
  return katoMs === 0 ? discoveryActivityMs : roundKeepAlive(katoMs);
}
