/** Identify (Base 5.17): which structure a CNS asks for, and of what. */
import type { CommandCompletion } from '../native.js';
import {
  encodeIdentifyController,
  encodeIdentifyControllerNvm,
  type IdentifyControllerInput,
} from './identify_controller.js';
import {
  encodeCommandSets,
  encodeControllerList,
  encodeIdentifyIndependent,
  encodeIdentifyNamespace,
  encodeNamespaceDescriptors,
  encodeNsidList,
} from './identify_namespace.js';
import { maxNsid } from './limits.js';
import { decodeIdentify, type IdentifyCommand, type Sqe } from './sqe.js';
import { refuse, statuses, succeed } from './statuses.js';

/** A namespace as Identify needs it. */
export interface IdentifiedNamespace {
  nsid: number;
  uuid: Uint8Array;
  nguid: Uint8Array;
  sizeBytes: bigint;
  blockBytes: 512 | 4096;
  anagrpid: number;
  readOnly: boolean;
  /** Bytes of the pool it holds now. */
  usedBytes(): Promise<bigint>;
}

/** What the asking controller is and sees. */
export interface IdentifyContext extends IdentifyControllerInput {
  atomicWriteBytes: number;
  /** Namespaces this host sees, by NSID. */
  namespaces: ReadonlyMap<number, IdentifiedNamespace>;
  /** CNTLIDs of this host's controllers of the subsystem. */
  ownCntlids: readonly number[];
}

const broadcastNsid = 0xffff_ffff;
const emptyPage = (): Uint8Array => new Uint8Array(4096);

/** Answers Identify; a CNS that is not supported gets Invalid Field in Command. */
export async function identify(sqe: Sqe, context: IdentifyContext): Promise<CommandCompletion> {
  const command = decodeIdentify(sqe);
  if (command.cns === 0x01) return succeed(0n, encodeIdentifyController(context));
  // Discovery controllers have no namespaces and no command set (Base 3.1.2.3).
  if (context.kind === 'discovery') return refuse(statuses.invalidField);
  switch (command.cns) {
    case 0x00:
      return identifyNamespace(command, context);
    case 0x02:
    case 0x10:
      return nsidList(command, context);
    case 0x07:
    case 0x1a:
      return onlyNvm(command) ?? nsidList(command, context);
    case 0x03:
      return ofActive(command, context, encodeNamespaceDescriptors);
    case 0x05:
      return onlyNvm(command) ?? ofNamespaceOrZero(command, context, emptyPage);
    case 0x06:
      return onlyNvm(command) ?? succeed(0n, encodeIdentifyControllerNvm());
    case 0x08:
      return ofNamespaceOrZero(command, context, encodeIdentifyIndependent);
    case 0x11:
      return identifyNamespace(command, context);
    case 0x12:
      return ofActive(command, context, () =>
        encodeControllerList(context.ownCntlids, command.cntid),
      );
    case 0x13:
      return succeed(0n, encodeControllerList(context.ownCntlids, command.cntid));
    case 0x1c:
      return commandSets(command, context);
    default:
      return refuse(statuses.invalidField);
  }
}

/** Command set identifiers other than NVM's are not supported. */
function onlyNvm(command: IdentifyCommand): CommandCompletion | null {
  return command.csi === 0 ? null : refuse(statuses.invalidField);
}

function validNsid(nsid: number): boolean {
  return nsid >= 1 && nsid <= maxNsid;
}

async function identifyNamespace(
  command: IdentifyCommand,
  context: IdentifyContext,
): Promise<CommandCompletion> {
  if (!validNsid(command.nsid)) return refuse(statuses.invalidNamespaceOrFormat);
  const namespace = context.namespaces.get(command.nsid);
  if (namespace === undefined) return succeed(0n, emptyPage());
  const usedBytes = await namespace.usedBytes();
  const input = { ...namespace, usedBytes, atomicWriteBytes: context.atomicWriteBytes };
  return succeed(0n, encodeIdentifyNamespace(input));
}

/** An inactive NSID reads as a page of zeroes (Base 5.17.2.8). */
function ofNamespaceOrZero(
  command: IdentifyCommand,
  context: IdentifyContext,
  encode: (namespace: IdentifiedNamespace) => Uint8Array,
): CommandCompletion {
  if (!validNsid(command.nsid)) return refuse(statuses.invalidNamespaceOrFormat);
  const namespace = context.namespaces.get(command.nsid);
  return succeed(0n, namespace === undefined ? emptyPage() : encode(namespace));
}

/** An inactive NSID is an error (Base 5.17.2.3). */
function ofActive(
  command: IdentifyCommand,
  context: IdentifyContext,
  encode: (namespace: IdentifiedNamespace) => Uint8Array,
): CommandCompletion {
  const namespace = context.namespaces.get(command.nsid);
  if (namespace === undefined) return refuse(statuses.invalidNamespaceOrFormat);
  return succeed(0n, encode(namespace));
}

/** Lists start above an NSID; FFFFFFFEh and FFFFFFFFh are no such NSID (Base 5.17.2.2). */
function nsidList(command: IdentifyCommand, context: IdentifyContext): CommandCompletion {
  if (command.nsid >= broadcastNsid - 1) return refuse(statuses.invalidNamespaceOrFormat);
  return succeed(0n, encodeNsidList([...context.namespaces.keys()], command.nsid));
}

/** CNTID names a controller of the subsystem, FFFFh this one. */
function commandSets(command: IdentifyCommand, context: IdentifyContext): CommandCompletion {
  if (command.cntid !== 0xffff && !context.ownCntlids.includes(command.cntid)) {
    return refuse(statuses.invalidField);
  }
  return succeed(0n, encodeCommandSets());
}
