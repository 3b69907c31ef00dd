/**
 * The routes of the two operations whose body is an export stream and no document. It flows as fast
 * as its reader takes it; neither side holds more than a few MiB.
 */
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { AshlarError, toAshlarError } from '../errors.js';
import type { Jobs, NewJob, OpenJob } from '../jobs/types.js';
import type { ImportOutcome, Streams } from '../stream/types.js';
import { defaultTenant } from '../volumes/state.js';
import { isUuidText } from '../volumes/uuid.js';
import { sendDocument } from './answers.js';
import { asSeenBy, authorize } from './calls/access.js';
import { toInteger } from './codec.js';
import type { ImportResult } from './contract/streams.js';
import { problemOf } from './problem.js';
import { hangUpSignal, type RouteParts } from './routes.js';
import { dataBytesHeader, problemTrailer, streamType, transfers } from './transfer_names.js';

type TransferParts = RouteParts & { jobs: Jobs | undefined };

/** Adds both routes. */
export function addTransfers(
  app: FastifyInstance,
  streams: Streams,
  routes: RouteParts,
  jobs: Jobs | undefined,
): void {
  const parts = { ...routes, jobs };
  app.addContentTypeParser(streamType, (_request, payload, done) => done(null, payload));
  app.route({
    method: transfers.exportSnapshot.method,
    url: transfers.exportSnapshot.path,
    handler: (request, reply) =>
      parts.traced.within(request, () => exportSnapshot(streams, request, reply, parts)),
  });
  app.route({
    method: transfers.importVolume.method,
    url: transfers.importVolume.path,
    handler: async (request, reply) => {
      const result = await parts.traced.within(request, () =>
        importVolume(streams, request, hangUpSignal(reply), parts),
      );
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
  { callerOf, jobs }: TransferParts,
): Promise<FastifyReply> {
  const { checkExport } = await import('./check.js');
  const checked = checkExport(request);
  const caller = callerOf(request);
  const { params, query } = authorize(transfers.exportSnapshot, caller, checked);
  const cancel = new AbortController();
  const { body, dataBytes, snapshot } = await streams.export(params.snapshot, {
    signal: AbortSignal.any([cancel.signal, hangUpSignal(reply)]),
    tenant: query.tenant,
    since: query.since,
    fromOffset: query.from === undefined ? undefined : BigInt(query.from),
  });
  const job = openJob(jobs, cancel, {
    kind: 'export',
    title: `export snapshot '${snapshot.reference}'`,
    tenant: snapshot.tenant,
    owner: caller.name,
  });
  // What fails before the first byte is answered like everything else.
  const first = await firstOf(body, job);
  let problem = '';
  const bytes = async function* (): AsyncGenerator<Uint8Array, void, void> {
    try {
      if (first.done !== true) {
        job?.add(first.value.length);
        yield first.value;
      }
      for await (const piece of body) {
        job?.add(piece.length);
        yield piece;
      }
      job?.succeed(null);
    } catch (thrown) {
      job?.fail(thrown);
      const error = toAshlarError(thrown);
      request.log.warn({ err: error }, `export of '${params.snapshot}' failed`);
      const seen = problemOf(asSeenBy(caller, error));
      problem = encodeURIComponent(JSON.stringify(seen));
    } finally {
      await body.return();
      // Whoever read it has hung up, unless it has ended by now.
      job?.fail(new AshlarError('connection-lost', 'whoever read it has gone'));
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
  { calls, callerOf, peerOf, jobs }: TransferParts,
): Promise<ImportResult> {
  const { checkImport } = await import('./check.js');
  const checked = checkImport(request);
  const caller = callerOf(request);
  const { params, query } = authorize(transfers.importVolume, caller, checked);
  const { body } = request;
  if (!(body instanceof Readable)) {
    throw new AshlarError('invalid-argument', `body: an import takes a body of type ${streamType}`);
  }
  const cancel = new AbortController();
  // A UUID may be of any tenant, so its job is the node's to see.
  const tenant = query.tenant ?? (isUuidText(params.volume) ? null : defaultTenant);
  const job = openJob(jobs, cancel, {
    kind: 'import',
    title: `import to volume '${params.volume}'`,
    tenant,
    owner: caller.name,
  });
  const source = body.iterator({ destroyOnReturn: false });
  const counted = counting(source, job, cancel.signal);
  try {
    const outcome = await streams.import(
      params.volume,
      { [Symbol.asyncIterator]: () => counted },
      {
        signal: AbortSignal.any([cancel.signal, signal]),
        tenant: query.tenant,
        sizeBytes: query.sizeBytes === undefined ? undefined : BigInt(query.sizeBytes),
      },
    );
    const result = importResult(outcome);
    job?.succeed(result);
    await calls.noteImport({ caller, peer: peerOf(request), params, query }, result);
    return result;
  } catch (thrown) {
    job?.fail(thrown);
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

/** A job that counts the bytes of its stream. */
type StreamJob = OpenJob & { add(bytes: number): void };

function openJob(
  jobs: Jobs | undefined,
  cancel: AbortController,
  job: Omit<NewJob, 'cancellable'>,
): StreamJob | undefined {
  if (jobs === undefined) return undefined;
  const open = jobs.open({ ...job, cancellable: true });
  open.signal.addEventListener('abort', () => cancel.abort(), { once: true });
  let done = 0;
  const add = (bytes: number): void => {
    done += bytes;
    open.progress(done);
  };
  return { ...open, add };
}

async function firstOf(
  body: AsyncGenerator<Uint8Array, void, void>,
  job: StreamJob | undefined,
): Promise<IteratorResult<Uint8Array, void>> {
  try {
    return await body.next();
  } catch (thrown) {
    job?.fail(thrown);
    throw thrown;
  }
}

async function* counting(
  source: AsyncIterableIterator<Uint8Array>,
  job: StreamJob | undefined,
  cancelled: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  // A sender may be silent for ever.
  const cut = new Promise<never>((_, reject) => {
    const error = new AshlarError('cancelled', 'the import was cancelled');
    cancelled.addEventListener('abort', () => reject(error), { once: true });
  });
  cut.catch(() => undefined);
  for (;;) {
    const next = await Promise.race([source.next(), cut]);
    if (next.done === true) return;
    job?.add(next.value.length);
    yield next.value;
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
