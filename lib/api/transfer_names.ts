/** The two operations whose body is an export stream, as server and client name them. */
import type { Operation } from './operations.js';

export const transfers = {
  exportSnapshot: {
    method: 'GET',
    path: '/v1/snapshots/:snapshot/export',
    status: 200,
    scope: 'tenant',
    data: true,
  },
  importVolume: {
    method: 'POST',
    path: '/v1/volumes/:volume/import',
    status: 200,
    scope: 'tenant',
  },
} as const satisfies Record<string, Operation>;

/** Media type of an export stream. */
export const streamType = 'application/vnd.ashlar.export-stream';
/** Header of an export: bytes of data in it, before compression; left out when not known. */
export const dataBytesHeader = 'x-ashlar-data-bytes';
/** Trailer of an export that could not be finished: the problem document, URI-encoded. */
export const problemTrailer = 'x-ashlar-problem';
