/** Exports and imports over the API, for programs and the command line. */
import type { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { AshlarError } from '../errors.js';
import type { ApiClient } from './client.js';
import type { ImportResult } from './contract/streams.js';
import { errorOf } from './problem.js';
import { dataBytesHeader, problemTrailer, streamType, transfers } from './transfer_names.js';

export interface ExportRequest {
  /** `volume@name` or a UUID. */
  snapshot: string;
  since?: string | undefined;
  fromOffset?: bigint | undefined;
  tenant?: string | undefined;
}

/** An export that has begun. */
export interface ExportAnswer {
  /** Bytes of data in the stream, before compression; null: not known. */
  dataBytes: number | null;
  /**
   * The stream. It throws when the daemon cannot go on, with its reason, or hangs up.
   */
  body: AsyncGenerator<Buffer, void, void>;
}

/** @throws AshlarError as of the operation, and as of every call of the client. */
export async function exportSnapshot(
  client: ApiClient,
  request: ExportRequest,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<ExportAnswer> {
  const { snapshot, since, fromOffset: from, tenant } = request;
  const answer = await client.transfer(
    'exportSnapshot',
    {
      operation: transfers.exportSnapshot,
      params: { snapshot },
      query: { since, from, tenant },
      headers: { accept: `${streamType}, application/json` },
    },
    options,
  );
  const bytes = answer.headers[dataBytesHeader];
  return { dataBytes: bytes === undefined ? null : Number(bytes), body: bodyOf(client, answer) };
}

async function* bodyOf(
  client: ApiClient,
  answer: Dispatcher.ResponseData,
): AsyncGenerator<Buffer, void, void> {
  try {
    for await (const piece of answer.body) yield Buffer.from(piece);
  } catch (thrown) {
    throw client.connectionError(thrown, 'exportSnapshot');
  }
  const problem = answer.trailers[problemTrailer];
  if (problem === undefined || problem === '') return;
  throw errorOf(JSON.parse(decodeURIComponent(problem)), answer.statusCode);
}

export interface ImportRequest {
  volume: string;
  /** Of a new volume; the stream's own when not given. */
  sizeBytes?: bigint | undefined;
  tenant?: string | undefined;
}

/**
 * Sends a stream; resolves when all of it is durable in the volume.
 * @throws AshlarError as of the operation, and as of every call of the client.
 */
export async function importVolume(
  client: ApiClient,
  request: ImportRequest,
  stream: Readable,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<ImportResult> {
  const { volume, sizeBytes, tenant } = request;
  const answer = await client.transfer(
    'importVolume',
    {
      operation: transfers.importVolume,
      params: { volume },
      query: { sizeBytes, tenant },
      headers: { 'content-type': streamType },
      body: stream,
    },
    options,
  );
  try {
    // The daemon builds its answers from the same contract.
    return (await answer.body.json()) as ImportResult;
  } catch (thrown) {
    if (thrown instanceof AshlarError) throw thrown;
    throw client.connectionError(thrown, 'importVolume');
  }
}
