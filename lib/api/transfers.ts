/**
 * The routes of the two operations whose body is an export stream and no document. It flows as fast
 * as its reader takes it; neither side holds more than a few MiB.
 */
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { AshlarError, toAshlarError } from '../errors.js';
import type { ImportOutcome, Streams } from '../stream/types.js';
import { sendDocument } from './answers.js';
import { authorize } from './calls/access.js';
import { toInteger } from './codec.js';
import type { ImportResult } from './contract/streams.js';
import { problemOf } from './problem.js';
import { hangUpSignal, type RouteParts } from './routes.js';
import { dataBytesHeader, problemTrailer, streamType, transfers } from './transfer_names.js';

/** Adds both routes. */
export function addTransfers(app: FastifyInstance, streams: Streams, parts: RouteParts): void {
  app.addContentTypeParser(streamType, (_request, payload, done) => done(null, payload));
  app.route({
    method: transfers.exportSnapshot.method,
    url: transfers.exportSnapshot.path,
    handler: (request, reply) => exportSnapshot(streams, request, reply, parts),
  });
  app.route({
    method: transfers.importVolume.method,
    url: transfers.importVolume.path,
    handler: async (request, reply) => {
      const result = await importVolume(streams, request, hangUpSignal(reply), parts);
      return sendDocument(request, reply, result);
    },
  });
}

/** Whether a request is of a route whose body takes as long as its sender likes. */
export function isTransfer(request: FastifyRequest): boolean {
  return request.routeOptions.url === transfers.importVolume.path;
}

async function exportSnapshot(
  streams: Streams,
  request: FastifyRequest,
  reply: FastifyReply,
  { callerOf }: RouteParts,
): Promise<FastifyReply> {
  const { checkExport } = await import('./check.js');
  const checked = checkExport(request);
  const { params, query } = authorize(transfers.exportSnapshot, callerOf(request), checked);
  const { body, dataBytes } = await streams.export(params.snapshot, {
    signal: hangUpSignal(reply),
    tenant: query.tenant,
    since: query.since,
    fromOffset: query.from === undefined ? undefined : BigInt(query.from),
  });
  // What fails before the first byte is answered like everything else.
  const first = await body.next();
  let problem = '';
  const bytes = async function* (): AsyncGenerator<Uint8Array, void, void> {
    try {
      if (first.done !== true) yield first.value;
      yield* body;
    } catch (thrown) {
      const error = toAshlarError(thrown);
      request.log.warn({ err: error }, `export of '${params.snapshot}' failed`);
      problem = encodeURIComponent(JSON.stringify(problemOf(error)));
    } finally {
      await body.return();
    }
  };
  reply.code(transfers.exportSnapshot.status).header('content-type', streamType);
  if (dataBytes !== null) reply.header(dataBytesHeader, String(dataBytes));
  reply.trailer(problemTrailer, async () => problem);
  return reply.send(Readable.from(bytes(), { objectMode: false }));
}

async function importVolume(
  streams: Streams,
  request: FastifyRequest,
  signal: AbortSignal,
  { calls, callerOf, peerOf }: RouteParts,
): Promise<ImportResult> {
  const { checkImport } = await import('./check.js');
  const checked = checkImport(request);
  const caller = callerOf(request);
  const { params, query } = authorize(transfers.importVolume, caller, checked);
  const { body } = request;
  if (!(body instanceof Readable)) {
    throw new AshlarError('invalid-argument', `body: an import takes a body of type ${streamType}`);
  }
  const source = body.iterator({ destroyOnReturn: false });
  try {
    const outcome = await streams.import(
      params.volume,
      { [Symbol.asyncIterator]: () => source },
      {
        signal,
        tenant: query.tenant,
        sizeBytes: query.sizeBytes === undefined ? undefined : BigInt(query.sizeBytes),
      },
    );
    const result = importResult(outcome);
    await calls.noteImport({ caller, peer: peerOf(request), params, query }, result);
    return result;
  } catch (thrown) {
    const { code } = toAshlarError(thrown);
    await calls.noteImport({ caller, peer: peerOf(request), params, query }, code);
    // A caller that is still sending hears the answer only if what it sends is taken from it.
    source.return?.().then(
      () => body.resume(),
      () => undefined,
    );
    throw thrown;
  }
}

function importResult({
  volume,
  snapshot,
  kind,
  resumedBytes,
  totals,
}: ImportOutcome): ImportResult {
  return {
    volume: volume.name,
    tenant: volume.tenant,
    volumeUuid: volume.uuid,
    snapshot: snapshot.reference,
    snapshotUuid: snapshot.uuid,
    kind,
    sizeBytes: toInteger(volume.sizeBytes),
    dataBytes: toInteger(totals.dataBytes),
    zeroBytes: toInteger(totals.zeroBytes),
    resumedBytes: toInteger(resumedBytes),
  };
}
