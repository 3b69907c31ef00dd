/** The routes of the OpenAPI document and of the page made from it. Made at the first request. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

const paths = { document: '/openapi.json', page: '/docs' } as const;

/** Whether a request is of a route that says nothing of this node. */
export function isDocument({ routeOptions }: FastifyRequest): boolean {
  return routeOptions.url === paths.document || routeOptions.url === paths.page;
}

/** Adds both routes. They say nothing of this node, and need no token. */
export function addDocuments(app: FastifyInstance, version: string): void {
  let made: Promise<{ json: Buffer; page: string; styleHash: string }> | null = null;
  const documents = () => {
    made ??= makeDocuments(version);
    return made;
  };
  app.get(paths.document, async (_request, reply): Promise<FastifyReply> => {
    const { json } = await documents();
    return reply.header('content-type', 'application/json').send(json);
  });
  app.get(paths.page, async (_request, reply): Promise<FastifyReply> => {
    const { page, styleHash } = await documents();
    const policy = `default-src 'none'; style-src '${styleHash}'; base-uri 'none'; frame-ancestors 'none'`;
    return reply
      .header('content-type', 'text/html; charset=utf-8')
      .header('content-security-policy', policy)
      .send(page);
  });
}

async function makeDocuments(version: string) {
  const [{ openApiDocument }, { docsPage, styleHash }] = await Promise.all([
    import('./document.js'),
    import('./page.js'),
  ]);
  const document = openApiDocument(version);
  return { json: Buffer.from(JSON.stringify(document)), page: docsPage(document), styleHash };
}
