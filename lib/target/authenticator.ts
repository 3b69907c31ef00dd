/** Which queue pairs have to authenticate, and where each of them is in doing so. */
import type { Authentication, CommandEvent } from '../native.js';
import { isGenerated } from '../tls/derive.js';
import { type Answer, type Parties, QueueAuthentication } from './authentication.js';
import { addressOf, type ConnectRefusal, connectRefusal } from './connect.js';
import type { Controller } from './controller.js';
import type { GeneratedPsks } from './generated_psks.js';
import { maxAwaitedControllers, maxAwaitedControllersPerAddress } from './limits.js';
import { refuse, statuses } from './statuses.js';

interface Queue {
  /** Its name: what is kept of a QID goes when another queue pair has it. */
  name: bigint;
  authentication: QueueAuthentication;
}

export class Authenticator {
  readonly #generated: Pick<GeneratedPsks, 'add'>;
  /** By controller, by QID: at most 129 of each. */
  readonly #queues = new Map<Controller, Map<number, Queue>>();
  /** Controllers whose host has still to say who it is, in a way that others cannot. */
  readonly #awaited = new Set<Controller>();

  constructor(generated: Pick<GeneratedPsks, 'add'>) {
    this.#generated = generated;
  }

  /**
   * Why a host that would have to authenticate is not even let try; null: it is. Anyone may use its
   * name, so that what is held for those who have not authenticated is little.
   */
  refusal(peer: string): ConnectRefusal | null {
    const busy = (reason: string) => connectRefusal(statuses.connectControllerBusy, reason);
    if (this.#awaited.size >= maxAwaitedControllers) {
      return busy(`${maxAwaitedControllers} hosts are authenticating, the limit`);
    }
    const address = addressOf(peer);
    let ofAddress = 0;
    for (const { identity } of this.#awaited) {
      if (addressOf(identity.peer) === address) ofAddress += 1;
    }
    if (ofAddress < maxAwaitedControllersPerAddress) return null;
    const limit = maxAwaitedControllersPerAddress;
    return busy(`${limit} hosts at ${address} are authenticating, the limit of one address`);
  }

  /** What the admin queue has to do by the keys of now, and with it every I/O queue. */
  admit(controller: Controller): Authentication {
    controller.authentication = authenticationOf(controller);
    const required = controller.authentication !== 'none';
    controller.admission = required ? 'awaited' : 'open';
    if (required) this.#awaited.add(controller);
    else this.#awaited.delete(controller);
    return controller.authentication;
  }

  /** Answers an Authentication Send or Receive. */
  answer(controller: Controller, event: CommandEvent): Answer {
    const queue = this.#queue(controller, event);
    if (queue === null) {
      return { completion: refuse(statuses.invalidOpcode), verdict: 'as-before', failure: null };
    }
    const answer = queue.answer(event);
    if (event.qid !== 0) return answer;
    if (answer.verdict === 'authenticated') {
      controller.admission = 'open';
      this.#awaited.delete(controller);
    }
    if (answer.verdict === 'refused' && controller.admission === 'awaited') {
      controller.admission = 'refused';
    }
    return answer;
  }

  end(controller: Controller): void {
    this.#queues.delete(controller);
    this.#awaited.delete(controller);
  }

  /** null: the host has no key, and need not prove anything. */
  #queue(controller: Controller, { qid, queue }: CommandEvent): QueueAuthentication | null {
    const { subsystem, hostnqn, subnqn } = controller.identity;
    const required = controller.authentication !== 'none';
    if (!required && (subsystem?.keysOf(hostnqn) ?? null) === null) return null;
    const queues = this.#queues.get(controller) ?? new Map<number, Queue>();
    this.#queues.set(controller, queues);
    const known = queues.get(qid);
    if (known?.name === queue) return known.authentication;
    const parties: Parties = {
      hostnqn,
      subnqn,
      keys: () => subsystem?.keysOf(hostnqn) ?? null,
      now: () => performance.now(),
      channel: qid === 0 ? channelOf(controller) : 'none',
      channelRequired: controller.authentication === 'required-with-tls',
      generated: (psk) => {
        const kept = this.#generated.add(
          psk,
          hostnqn,
          subnqn,
          controller.overTls ? controller : null,
        );
        controller.goesOnOverTls ||= kept && !controller.overTls;
        return kept;
      },
    };
    const authentication = new QueueAuthentication(parties, !required);
    queues.set(qid, { name: queue, authentication });
    return authentication;
  }
}

function authenticationOf(controller: Controller): Authentication {
  const { subsystem, hostnqn, tlsIdentity } = controller.identity;
  if (controller.onlyAuthenticates) return 'required-with-tls';
  // The host has proved itself when the PSK was generated.
  if (tlsIdentity !== null && isGenerated(tlsIdentity)) return 'none';
  return (subsystem?.keysOf(hostnqn) ?? null) === null ? 'none' : 'required';
}

/** A configured PSK is not the host's to replace. */
function channelOf({ identity }: Controller): Parties['channel'] {
  const { portalTls, tlsIdentity } = identity;
  if (portalTls === 'none') return 'none';
  if (tlsIdentity === null) return 'new';
  return isGenerated(tlsIdentity) ? 'replacement' : 'none';
}
