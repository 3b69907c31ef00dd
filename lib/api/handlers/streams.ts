/** What the operations on differences and unfinished imports do. */
import { AshlarError } from '../../errors.js';
import type { Node } from '../../node/types.js';
import type { ImportInfo } from '../../stream/types.js';
import { takePage } from '../../volumes/pages.js';
import { toInteger } from '../codec.js';
import type { Import } from '../contract/streams.js';
import type { Handlers } from '../server.js';

/** Ranges a page, when the caller does not say. */
const rangesPerPage = 1000;

export function streamOperations(
  node: Node,
): Pick<Handlers, 'listRanges' | 'listImports' | 'getImport' | 'abandonImport'> {
  return {
    listRanges: async ({ params, query }, signal) => {
      const { tenant, since } = query;
      const from = query.cursor ?? query.from;
      const page = await node.streams.rangePage(
        params.snapshot,
        query.limit === undefined ? rangesPerPage : Number(query.limit),
        { signal, tenant, since, fromOffset: from === undefined ? undefined : BigInt(from) },
      );
      return {
        items: page.ranges.map(({ offsetBytes, lengthBytes, kind }) => ({
          offsetBytes: toInteger(offsetBytes),
          lengthBytes: toInteger(lengthBytes),
          kind,
        })),
        next: page.nextOffsetBytes === null ? null : String(page.nextOffsetBytes),
      };
    },
    listImports: async ({ query }, signal) => {
      const { tenant, limit, cursor } = query;
      const items = node.streams
        .imports({ signal, tenant })
        .map((item) => ({ key: `${item.tenant}/${item.volume}`, item: importObject(item) }));
      return takePage(items, {
        limit: limit === undefined ? undefined : Number(limit),
        after: cursor,
      });
    },
    getImport: async ({ params, query }, signal) => {
      const { tenant } = query;
      const { uuid, name } = await node.volumes.show(params.volume, { signal, tenant });
      const found = node.streams
        .imports({ signal, tenant })
        .find((each) => each.volumeUuid === uuid);
      if (found !== undefined) return importObject(found);
      throw new AshlarError('not-found', `no import to volume '${name}' is unfinished`);
    },
    abandonImport: async ({ params, query }, signal) => {
      const { tenant, repeatable } = query;
      const options = { signal, tenant, repeatable: repeatable === 'true' };
      await node.streams.abandon(params.volume, options);
      return {};
    },
  };
}

function importObject(info: ImportInfo): Import {
  return {
    ...info,
    appliedBytes: toInteger(info.appliedBytes),
    sizeBytes: toInteger(info.sizeBytes),
  };
}
