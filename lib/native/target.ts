/** What the target takes and tells: the part of native.ts about it. */
import type { ConnectHandle, ControllerHandle, MeterHandle, VolumeHandle } from '../native.js';

export interface PortalOptions {
  /** Chosen by TypeScript; comes back in {@link ConnectEvent}. 1 to 65535. */
  portalId: number;
  address: string;
  /** 0: any free port. */
  port: number;
  /** Offer digests when the host asks. Both true unless a test says otherwise. */
  allowHeaderDigest: boolean;
  allowDataDigest: boolean;
  tls: PortalTls;
  tlsRecords: TlsRecords;
}

/**
 * Whether connections speak TLS 1.3 (TCP 3.6.1): never; each as it begins, by its first byte; or
 * always, and native code closes plain ones.
 */
export type PortalTls = 'none' | 'allowed' | 'required';

/**
 * Whether people configured a PSK, or a host generated it with the target; those of each origin are
 * replaced apart, and no identity is of both.
 */
export type TlsKeyOrigin = 'configured' | 'generated';

/**
 * Who does the records once a handshake is done. A connection that the kernel does not take stays
 * with the process, and is counted.
 */
export type TlsRecords = 'kernel' | 'process';

/** A PSK with which hosts may begin TLS. Up to eight may share an identity. */
export interface TlsKey {
  identity: string;
  /** 32 bytes with sha256, 48 with sha384. */
  psk: Uint8Array;
  /** Of the cipher suite: TLS_AES_128_GCM_SHA256 or TLS_AES_256_GCM_SHA384. */
  hash: 'sha256' | 'sha384';
}

/**
 * Whether a queue pair has to authenticate. With 'required' Connect is answered with ATR (Base
 * 6.3), and until the verdict 'authenticated' every command but Authentication Send and Receive,
 * one at a time, and Disconnect ends with Authentication Required (191h). A queue pair that has not
 * authenticated within 30 s ends. 'required-with-tls' is the same with ASCR in the answer: the host
 * is to generate a PSK in doing so, and to come again over TLS.
 */
export type Authentication = 'none' | 'required' | 'required-with-tls';

/**
 * What the answer to an Authentication Send or Receive means for its queue pair: nothing; it takes
 * every command from now on; it takes authentication only, as before its first, and ends within
 * 30 s; it takes nothing, and ends when the answer is out.
 */
export type QueueVerdict = 'as-before' | 'authenticated' | 'suspended' | 'refused';

/** A namespace as one controller sees it. */
export interface NamespaceAttachment {
  nsid: number;
  volume: VolumeHandle;
  anagrpid: number;
  readOnly: boolean;
  /** What the namespace's reservation leaves to this controller's host. */
  reservation: ReservationRule;
  /** Counts and limits what is done through it; null: nobody does. */
  meter: MeterHandle | null;
}

/** Which commands of a host end with Reservation Conflict (083h; Base 8.19). */
export type ReservationRule = 'none' | 'writes-refused' | 'reads-and-writes-refused';

export type AnaState =
  | 'optimized'
  | 'non-optimized'
  | 'inaccessible'
  | 'persistent-loss'
  | 'change';

/** The new state of an ANA group through a portal. */
export interface AnaChange {
  /** 1 to 1024. */
  anagrpid: number;
  state: AnaState;
}

export interface ControllerOptions {
  cntlid: number;
  kind: 'io' | 'discovery';
  /** I/O queues the controller accepts, 0 to 128 (0 for discovery). */
  maxIoQueues: number;
  /** Asynchronous Event Requests parked at most, 1 to 16. */
  maxAsyncEvents: number;
  /** Largest transfer of one command, bytes; at least 1 MiB. */
  maxTransferBytes: number;
  /**
   * The host's HOSTID, 16 bytes. An admin queue is let in only when no association of the same host
   * is still ending, so that no command of a lost association lands after the new one has begun.
   */
  hostid: Uint8Array;
}

/**
 * The host sent Fabrics Connect on a new queue pair. Answer with `connectAccept` or
 * `connectReject`; a queue pair not answered within 30 s ends.
 */
export interface ConnectEvent {
  type: 'connect';
  connect: ConnectHandle;
  portalId: number;
  /** "address:port" of the host; IPv6 addresses in brackets. */
  peer: string;
  /** Likewise our own end, which a portal on 0.0.0.0 or :: does not tell. */
  local: string;
  /** The PSK identity by which the host came over TLS; null: a plain connection. */
  tlsIdentity: string | null;
  /** The 64-byte submission queue entry (QID, SQSIZE, CATTR, KATO). */
  sqe: Uint8Array;
  /** The 1,024-byte Connect data, whole (HOSTID, CNTLID, SUBNQN, HOSTNQN). */
  data: Uint8Array;
}

/**
 * A command that native code does not answer itself: of the admin queue (Fabrics Property Get and
 * Set included) all but Keep Alive, Abort, Asynchronous Event Request and Disconnect; of an I/O
 * queue those about reservations and authentication, at most 8 at a time. Answer with
 * `commandComplete`, or `authenticationComplete`.
 */
export interface CommandEvent {
  type: 'command';
  controller: ControllerHandle;
  /** Names the queue pair: another one that takes its QID later has another name. */
  queue: bigint;
  /** 0: the admin queue. */
  qid: number;
  /** Names this command in `commandComplete`. */
  command: bigint;
  sqe: Uint8Array;
  /** Data that came with the command; null when it carries none. */
  data: Uint8Array | null;
  /** Room that the host's SGL gives for data to it, bytes. */
  dataRoomBytes: number;
}

export interface ControllerEndedEvent {
  type: 'controller-ended';
  controller: ControllerHandle;
  reason:
    | 'disconnected'
    | 'keep-alive-expired'
    | 'transport-error'
    | 'not-authenticated'
    | 'destroyed';
  /** One line for the log, e.g. the fatal error status and field. */
  detail: string;
}

export interface CommandCompletion {
  /** SCT << 8 | SC; 0: success. */
  status: number;
  doNotRetry: boolean;
  /** Completion dwords 0 and 1. */
  result: bigint;
  /** Data to the host, cut to its room; null: none. */
  data: Uint8Array | null;
}

/** A command that failed (Base 5.16.1.2). */
export interface ErrorLogEntry {
  /** Of all errors of the controller, from 1. */
  errorCount: bigint;
  /** 0: the admin queue. */
  sqid: number;
  cid: number;
  /** Bits 15:1 as in the completion, DNR included; bit 0 is clear. */
  statusField: number;
  /** Byte (bits 7:0) of the command that is at fault; FFFFh: not one. */
  parameterLocation: number;
  /** SLBA of the command; 0 when it has none. */
  lba: bigint;
  nsid: number;
  opcode: number;
}

export interface ErrorLog {
  /** Errors since the controller began. */
  errorCount: bigint;
  /** The newest 64, newest first. */
  entries: ErrorLogEntry[];
}

export interface AsyncEvent {
  /** Base 5.2: event type (2 notice), information, log page. */
  eventType: number;
  information: number;
  logPage: number;
}
