/** How answers are sent: documents and problems, in the encoding that the caller asked for. */
import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Caller } from '../access/types.js';
import { AshlarError, toAshlarError } from '../errors.js';
import { asSeenBy } from './calls/access.js';
import { type Encoding, encode, encodingFor, mediaTypes, problemTypes } from './codec.js';
import { problemOf } from './problem.js';
import { transfers } from './transfer_names.js';

/** The largest object is a volume with 1,024 host NQNs of 223 bytes: 256 KiB and room. */
export const maxBodyBytes = 1 << 20;

/** A document and its bytes, as they will be sent. */
export function encodedFor(request: FastifyRequest, value: unknown): Buffer {
  return encode(value, encodingFor(request.headers.accept));
}

export function sendBytes(
  request: FastifyRequest,
  reply: FastifyReply,
  bytes: Buffer,
  types: Readonly<Record<Encoding, string>> = mediaTypes,
): FastifyReply {
  return reply
    .header('content-type', types[encodingFor(request.headers.accept)])
    .header('vary', 'accept')
    .send(bytes);
}

export function sendDocument(
  request: FastifyRequest,
  reply: FastifyReply,
  value: unknown,
): FastifyReply {
  return sendBytes(request, reply, encodedFor(request, value));
}

/**
 * @param caller who is told of it; not given: it has nothing that not everyone may know.
 * @param ownStatus what says more than the code's own status.
 */
export function sendProblem(
  thrown: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  { caller, ownStatus }: { caller?: Caller; ownStatus?: number } = {},
): FastifyReply {
  const { error, status } = asRefusal(thrown);
  const seen = caller === undefined ? error : asSeenBy(caller, error);
  const problem = problemOf(seen, ownStatus ?? status);
  if (error.code === 'internal') request.log.error({ err: thrown }, 'api: internal error');
  if (problem.status === 401) reply.header('www-authenticate', 'Bearer realm="ashlar"');
  // What the caller still sends is not read: a refused gigabyte would be. Of an import it is, as
  // its sender would not hear the answer, unless it is a stranger.
  const taken = isImport(request) && problem.status !== 401;
  if (isUnread(request) && !taken) {
    reply.header('connection', 'close');
    closeInTime(request.raw.socket);
  }
  reply.code(problem.status);
  return sendBytes(request, reply, encodedFor(request, problem), problemTypes);
}

function isImport({ routeOptions }: FastifyRequest): boolean {
  return routeOptions.url === transfers.importVolume.path;
}

function isUnread({ raw }: FastifyRequest): boolean {
  const { 'content-length': length, 'transfer-encoding': encoding } = raw.headers;
  return !raw.complete && (encoding !== undefined || (length !== undefined && length !== '0'));
}

/** Of what still comes after an answer, so much is thrown away, for so long. */
const lingerBytes = 8 << 20;
const lingerMs = 1000;
const lingerLookMs = 5;

/**
 * Whoever still sends would not read the answer if the connection were closed below it (RFC 9112,
 * 9.6). So it is closed in one direction, and in the other once the sender has stopped, or has not
 * for too long.
 */
function closeInTime(socket: Socket): void {
  socket.destroySoon = () => {
    socket.end();
    const before = socket.bytesRead;
    const sinceMs = performance.now();
    const look = setInterval(() => {
      const late = performance.now() - sinceMs > lingerMs;
      if (late || socket.bytesRead - before > lingerBytes) socket.destroy();
    }, lingerLookMs);
    socket.once('close', () => clearInterval(look));
  };
}

/** What is no HTTP, has too long headers, or takes too long over them: answered, then hung up. */
export function refuseConnection(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const late = error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
  const long = error.code === 'HPE_HEADER_OVERFLOW';
  const refusal = late
    ? new AshlarError('timed-out', 'the request took too long to arrive')
    : long
      ? new AshlarError('limit-exceeded', 'the request headers are too long')
      : new AshlarError('invalid-argument', 'this is not a valid HTTP request');
  const problem = problemOf(refusal, late ? 408 : long ? 431 : 400);
  const body = JSON.stringify(problem);
  socket.end(
    `HTTP/1.1 ${problem.status} ${problem.title}\r\nconnection: close\r\n` +
      `content-type: ${problemTypes.json}\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

/** Statuses of fastify's own refusals that say more than the code's. */
const frameworkStatuses = new Map([
  ['FST_ERR_CTP_BODY_TOO_LARGE', 413],
  ['FST_ERR_CTP_INVALID_MEDIA_TYPE', 415],
]);

/** The code by which something that was thrown is answered. */
export function codeOf(thrown: unknown): string {
  return asRefusal(thrown).error.code;
}

function asRefusal(thrown: unknown): { error: AshlarError; status: number | undefined } {
  if (thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string') {
    if (thrown.code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
      const message = `body: larger than ${maxBodyBytes} bytes`;
      return { error: new AshlarError('limit-exceeded', message), status: 413 };
    }
    if (thrown.code.startsWith('FST_') || thrown instanceof SyntaxError) {
      const error = new AshlarError('invalid-argument', `request: ${thrown.message}`);
      return { error, status: frameworkStatuses.get(thrown.code) };
    }
  }
  if (thrown instanceof SyntaxError) {
    const error = new AshlarError('invalid-argument', `body: not valid JSON: ${thrown.message}`);
    return { error, status: undefined };
  }
  return { error: toAshlarError(thrown), status: undefined };
}
