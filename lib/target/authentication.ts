/**
 * In-band authentication of a queue pair by DH-HMAC-CHAP (Base 2.0, 8.13), the controller's side.
 *
 *   host                                              controller
 *   Authentication Send     AUTH_Negotiate        →
 *   Authentication Receive                        ←   DH-HMAC-CHAP_Challenge, C1
 *   Authentication Send     DH-HMAC-CHAP_Reply    →   answers C1; may carry C2
 *   Authentication Receive                        ←   DH-HMAC-CHAP_Success1; answers C2
 *   Authentication Send     DH-HMAC-CHAP_Success2 →   only where there was a C2 to answer
 *
 * Whatever is wrong in a message makes the next Receive an AUTH_Failure1, after which the queue
 * pair ends; the commands themselves succeed (8.13.4.3).
 *
 * A host may ask that this concatenates a secure channel (Base 2.1, 8.3.4.3): of the exchange and
 * of C1 and C2 both sides make a PSK, and the host comes again, over TLS.
 */
import { randomBytes, randomInt, timingSafeEqual } from 'node:crypto';
import { type HashName, hashes, hashNames } from '../auth/digests.js';
import { beginExchange, type Exchange, type GroupName, groups } from '../auth/groups.js';
import {
  authIds,
  authTypes,
  type Challenge,
  decodeHeader,
  decodeNegotiate,
  decodeReply,
  type Explanation,
  encodeChallenge,
  encodeFailure,
  encodeSuccess1,
  explanations,
  explanationText,
  type Negotiate,
  type Reply,
  secureChannels,
} from '../auth/messages.js';
import {
  controllerResponse,
  generatedPsk,
  hostResponse,
  type ResponseInput,
} from '../auth/responses.js';
import { type Secret, transformKey } from '../auth/secret.js';
import type { CommandCompletion, CommandEvent, QueueVerdict } from '../native.js';
import { hashOfLength } from '../tls/psk.js';
import type { GeneratedPsk } from './generated_psks.js';
import { authenticationMs } from './limits.js';
import { decodeSqe, fabricsTypes, type Sqe } from './sqe.js';
import { refuse, statuses, succeed } from './statuses.js';

/** What a host proves itself with, and what this node does to it. */
export interface HostKeys {
  /** Each is good, so that a host can go over from one to the next. Never empty. */
  host: readonly Secret[];
  /** null: the controller cannot prove itself, so a host that asks for that is refused. */
  controller: Secret | null;
}

export interface Parties {
  hostnqn: string;
  subnqn: string;
  /** As they are now; null: none, so there is nothing to authenticate with. */
  keys(): HostKeys | null;
  /** Milliseconds of a clock that only goes forward. */
  now(): number;
  /** Which secure channel this queue pair may have: none, one at all, or one instead of its own. */
  channel: 'none' | 'new' | 'replacement';
  /** Whether the host has to ask for it. */
  channelRequired: boolean;
  /** Keeps the PSK of a new secure channel; false: there is no room for it. */
  generated(psk: GeneratedPsk): boolean;
}

/** The answer to a command, and what it means for the queue pair. */
export interface Answer {
  completion: CommandCompletion;
  verdict: QueueVerdict;
  /** For the log; null: nothing to tell. */
  failure: string | null;
}

/**
 * Hashes from the strongest on; groups from the one that is taken where the host has it. ffdhe3072
 * is as strong as keys of 128 bits. The larger ones come later because an exchange costs this
 * thread 2 ms with it, 45 ms with ffdhe8192, and a host makes one for each of up to 129 queues.
 */
const hashPolicy = [...hashNames].reverse();
const groupPolicy: readonly GroupName[] = [
  'ffdhe3072',
  'ffdhe4096',
  'ffdhe6144',
  'ffdhe8192',
  'ffdhe2048',
  'null',
];

/**
 * Of a PSK, which is as long as the hash and is for the cipher suite of that hash: so there is none
 * of SHA-512. SHA-256 comes first, as it is as strong as the group that is taken before others, and
 * as the TLS programs of many Linux hosts (tlshd of Debian 13) know no other hash of PSKs.
 */
const channelHashPolicy: readonly HashName[] = ['sha256', 'sha384'];
/** Without an exchange there is no secret to make a PSK of. */
const channelGroupPolicy = groupPolicy.filter((each) => each !== 'null');

/** SECP and SPSP of authentication (Base 8.13.2). */
const securityProtocol = 0xe9;
const protocolSpecific = 0x0101;

/** A message of the controller that the next Receive takes, and what it means. */
interface Outgoing {
  message: Uint8Array;
  verdict: QueueVerdict;
  failure: string | null;
}

type Step =
  /** Negotiate comes next. */
  | { name: 'idle' }
  /** A message waits for Receive, and `after` follows. */
  | { name: 'telling'; outgoing: Outgoing; after: Step }
  /** The challenge is out; Reply comes next. */
  | { name: 'challenged'; challenge: Challenge; exchange: Exchange | null; secureChannel: number }
  /** The host judges the controller's response; Success2 or Failure2 comes next. */
  | { name: 'judged' };

const idle: Step = { name: 'idle' };

/** The authentication of one queue pair, from one transaction to the next. */
export class QueueAuthentication {
  readonly #parties: Parties;
  #step: Step = idle;
  #transaction = 0;
  #startedMs = 0;
  #sequence = randomInt(1, 2 ** 32 - 1);
  #authenticated: boolean;
  #failed = false;

  /** @param authenticated whether the queue pair takes other commands already. */
  constructor(parties: Parties, authenticated: boolean) {
    this.#parties = parties;
    this.#authenticated = authenticated;
  }

  /** Answers an Authentication Send or Receive. */
  answer(event: Pick<CommandEvent, 'sqe' | 'data' | 'dataRoomBytes'>): Answer {
    const sqe = decodeSqe(event.sqe);
    const problem = fieldProblem(sqe);
    if (problem !== null) return unchanged(problem);
    const lengthBytes = sqe.cdw11;
    if (sqe.fctype === fabricsTypes.authReceive) {
      if (lengthBytes !== event.dataRoomBytes) {
        return unchanged(refuse(statuses.dataSglLengthInvalid));
      }
      return this.#receive(lengthBytes);
    }
    const message = event.data ?? new Uint8Array(0);
    if (lengthBytes !== message.length) return unchanged(refuse(statuses.dataSglLengthInvalid));
    return this.#send(message);
  }

  #receive(roomBytes: number): Answer {
    if (this.#step.name !== 'telling') this.#fail(explanations.incorrectMessage);
    if (this.#step.name !== 'telling') return unchanged(refuse(statuses.commandSequenceError));
    const { outgoing, after } = this.#step;
    const { message, verdict, failure } = outgoing;
    // A host that has too little room may ask again with more.
    if (roomBytes < message.length) return unchanged(refuse(statuses.invalidField));
    this.#step = after;
    if (verdict === 'authenticated') this.#authenticated = true;
    return { completion: succeed(0n, message), verdict, failure };
  }

  #send(message: Uint8Array): Answer {
    if (this.#failed) return unchanged(refuse(statuses.commandSequenceError));
    const answer = this.#take(message);
    if (answer !== null) return answer;
    // What an open queue pair was let in by is no longer true: it takes nothing more.
    const shut = this.#failed && this.#authenticated;
    return {
      completion: succeed(),
      verdict: shut ? 'suspended' : 'as-before',
      failure: null,
    };
  }

  /** null: the message is taken, and the queue pair is as it was. */
  #take(message: Uint8Array): Answer | null {
    const header = decodeHeader(message);
    if (header === null) return this.#fail(explanations.incorrectPayload);
    const { authType, authId, transaction } = header;
    if (authType === authTypes.common && authId === authIds.negotiate) {
      return this.#negotiate(message, transaction);
    }
    if (authType === authTypes.common && authId === authIds.failure2) return this.#ended();
    if (this.#step.name !== 'challenged' && this.#step.name !== 'judged') {
      return this.#fail(explanations.incorrectMessage, transaction);
    }
    if (transaction !== this.#transaction) return this.#fail(explanations.incorrectPayload);
    if (this.#parties.now() - this.#startedMs > authenticationMs) {
      return this.#fail(explanations.failed);
    }
    const expected = this.#step.name === 'challenged' ? authIds.reply : authIds.success2;
    if (authType !== authTypes.dhHmacChap || authId !== expected) {
      return this.#fail(explanations.incorrectMessage);
    }
    if (this.#step.name === 'challenged') return this.#reply(message, this.#step);
    // Success2 has 16 bytes, and says nothing but that it came (8.13.5.6).
    if (message.length < 16) return this.#fail(explanations.incorrectPayload);
    this.#step = idle;
    this.#authenticated = true;
    return { completion: succeed(), verdict: 'authenticated', failure: null };
  }

  /** The host says that it gives up: it has refused the controller. */
  #ended(): Answer {
    this.#failed = true;
    this.#step = idle;
    const failure = `${this.#parties.hostnqn} gave up authentication (AUTH_Failure2)`;
    return { completion: succeed(), verdict: 'refused', failure };
  }

  #negotiate(bytes: Uint8Array, transaction: number): Answer | null {
    // Once let in, a host may begin again whenever it likes; before, each beginning has to end.
    if (this.#step.name !== 'idle' && !this.#authenticated) {
      return this.#fail(explanations.incorrectMessage, transaction);
    }
    this.#transaction = transaction;
    this.#startedMs = this.#parties.now();
    const negotiate = decodeNegotiate(bytes);
    if (negotiate === null) return this.#fail(explanations.incorrectPayload);
    const choice = this.#choose(negotiate);
    if (typeof choice === 'number') return this.#fail(choice);
    const { hash, group } = choice;
    const exchange = group === 'null' ? null : beginExchange(group);
    const challenge: Challenge = {
      transaction,
      hash,
      group,
      sequence: this.#nextSequence(),
      challenge: Uint8Array.from(randomBytes(hashes[hash].bytes)),
      publicValue: exchange?.publicValue ?? new Uint8Array(0),
    };
    this.#tell(encodeChallenge(challenge), 'as-before', {
      name: 'challenged',
      challenge,
      exchange,
      secureChannel: negotiate.secureChannel,
    });
    return null;
  }

  /** Hash and group, or why there are none. */
  #choose({
    secureChannel,
    protocols,
  }: Negotiate): Explanation | { hash: HashName; group: GroupName } {
    const concatenates = secureChannel !== secureChannels.none;
    const { channel, channelRequired } = this.#parties;
    const offered = {
      none: null,
      new: secureChannels.newTlsPsk,
      replacement: secureChannels.replaceTlsPsk,
    };
    if (concatenates ? secureChannel !== offered[channel] : channelRequired) {
      return explanations.secureChannelMismatch;
    }
    const [protocol] = protocols;
    if (protocol === undefined || this.#parties.keys() === null) {
      return explanations.protocolNotUsable;
    }
    const hashChoice = concatenates ? channelHashPolicy : hashPolicy;
    const hash = hashChoice.find((each) => protocol.hashIds.includes(hashes[each].id));
    if (hash === undefined) return explanations.hashNotUsable;
    const groupChoice = concatenates ? channelGroupPolicy : groupPolicy;
    const group = groupChoice.find((each) => protocol.groupIds.includes(groups[each].id));
    return group === undefined ? explanations.groupNotUsable : { hash, group };
  }

  #reply(bytes: Uint8Array, step: Extract<Step, { name: 'challenged' }>): Answer | null {
    const { challenge, exchange, secureChannel } = step;
    const concatenates = secureChannel !== secureChannels.none;
    const reply = decodeReply(bytes, challenge.hash);
    if (reply === null) return this.#fail(explanations.incorrectPayload);
    const sessionKey = exchange === null ? null : exchange.sessionKey(reply.publicValue);
    const wanted = exchange === null ? reply.publicValue.length === 0 : sessionKey !== null;
    // The PSK is made of C2 as well.
    if (!wanted || (concatenates && !reply.challengeValid)) {
      return this.#fail(explanations.incorrectPayload);
    }
    const keys = this.#parties.keys();
    if (keys === null) return this.#fail(explanations.failed);
    const { hostnqn, subnqn } = this.#parties;
    const common = {
      hash: challenge.hash,
      sessionKey,
      transaction: this.#transaction,
      secureChannel,
      hostnqn,
      subnqn,
    };
    const asked = { ...common, challenge: challenge.challenge, sequence: challenge.sequence };
    const provenBy = provenKey(reply, keys, asked);
    if (provenBy === null) return this.#fail(explanations.failed);
    if (concatenates && !this.#generate(challenge, reply, sessionKey, provenBy)) {
      return this.#fail(explanations.failed);
    }
    // S2 of zero: a challenge that is there for other uses than an answer (8.13.5.5).
    const asksBack = reply.challengeValid && reply.sequence !== 0;
    if (!asksBack) {
      this.#success(hashes[challenge.hash].bytes, null);
      return null;
    }
    if (keys.controller === null) return this.#fail(explanations.failed);
    const key = transformKey(keys.controller, subnqn);
    const { challenge: challenge2, sequence } = reply;
    const response = controllerResponse({ ...common, key, challenge: challenge2, sequence });
    this.#success(hashes[challenge.hash].bytes, response);
    return null;
  }

  /** Makes the PSK and has it kept; false: that cannot be. */
  #generate(
    { hash, challenge }: Challenge,
    reply: Reply,
    sessionKey: Uint8Array | null,
    provenBy: Secret,
  ): boolean {
    const pskHash = hashOfLength(hashes[hash].bytes);
    if (sessionKey === null || pskHash === null) return false;
    const psk = generatedPsk(hash, sessionKey, challenge, reply.challenge);
    const kept = this.#parties.generated({ hash: pskHash, psk, provenBy });
    psk.fill(0);
    return kept;
  }

  #success(hashBytes: number, response: Uint8Array | null): void {
    const message = encodeSuccess1({ transaction: this.#transaction, hashBytes, response });
    if (response === null) this.#tell(message, 'authenticated', idle);
    else this.#tell(message, 'as-before', { name: 'judged' });
  }

  #tell(message: Uint8Array, verdict: QueueVerdict, after: Step): void {
    this.#step = { name: 'telling', outgoing: { message, verdict, failure: null }, after };
  }

  /** The next Receive takes an AUTH_Failure1, and the queue pair ends. */
  #fail(explanation: Explanation, transaction = this.#transaction): null {
    const message = encodeFailure('failure1', transaction, explanation);
    const failure = `${this.#parties.hostnqn} failed to authenticate: ${explanationText(explanation)}`;
    this.#failed = true;
    this.#step = {
      name: 'telling',
      outgoing: { message, verdict: 'refused', failure },
      after: idle,
    };
    return null;
  }

  /** Never 0, which means that there is no challenge. */
  #nextSequence(): number {
    this.#sequence = this.#sequence === 0xffff_ffff ? 1 : this.#sequence + 1;
    return this.#sequence;
  }
}

/**
 * The key that the host has proved itself with; null: none. Tries every key, so that how long it
 * takes does not tell which one it was.
 *
 * SC_C is part of the response, but hosts that have concatenation since before they have that
 * (Linux 6.16 and 6.17) put a zero there. That is taken too: whoever is between host and controller
 * may make a secure channel be asked for by it that the host does not mean, and gains nothing.
 */
function provenKey(reply: Reply, keys: HostKeys, asked: Omit<ResponseInput, 'key'>): Secret | null {
  let proven: Secret | null = null;
  for (const secret of keys.host) {
    const key = transformKey(secret, asked.hostnqn);
    for (const secureChannel of new Set([asked.secureChannel, secureChannels.none])) {
      const expected = hostResponse({ ...asked, key, secureChannel });
      if (timingSafeEqual(expected, reply.response)) proven ??= secret;
    }
  }
  return proven;
}

/** Byte 41: SPSP0, 42: SPSP1, 43: SECP; dword 11: TL or AL. */
function fieldProblem(sqe: Sqe): CommandCompletion | null {
  if (sqe.fields.u8(43) !== securityProtocol || sqe.fields.u16(41) !== protocolSpecific) {
    return refuse(statuses.invalidField);
  }
  return sqe.cdw11 === 0 ? refuse(statuses.invalidField) : null;
}

function unchanged(completion: CommandCompletion): Answer {
  return { completion, verdict: 'as-before', failure: null };
}
