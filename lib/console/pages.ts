/**
 * The web console over HTTP: one page, and the files that it names. The page is the same for
 * everyone and holds nothing of this node; what it shows it asks the API for, with the token of
 * whoever looks at it.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Pages } from '../api/server.js';
import { AshlarError } from '../errors.js';
import { sections } from './paths.js';

const assetRoute = '/assets/:file';
const pageRoutes = ['/', ...sections.flatMap((name) => [`/${name}`, `/${name}/*`])];

/** Nothing but our own files: no script in the page, no other site, no frame around it. */
const policy = [
  "default-src 'self'",
  "img-src 'self' data:",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const headers = {
  'content-security-policy': policy,
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  vary: 'accept-encoding',
};

const types: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

interface Asset {
  type: string;
  bytes: Buffer;
  zipped: Buffer;
  etag: string;
}

/** The console, to be served beside the API. Its files are read at the first request. */
export function consolePages(): Pages {
  let reading: Promise<Map<string, Asset>> | null = null;
  const assets = (): Promise<Map<string, Asset>> => {
    reading ??= readAssets().catch((thrown: unknown) => {
      reading = null;
      throw thrown;
    });
    return reading;
  };
  const page = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const asset = (await assets()).get('index.html');
    // Its address stays while it changes with every release.
    return send(request, reply.header('cache-control', 'no-cache'), asset);
  };
  return {
    routes: new Set([assetRoute, ...pageRoutes]),
    add(app: FastifyInstance): void {
      for (const route of pageRoutes) app.get(route, page);
      app.get<{ Params: { file: string } }>(assetRoute, async (request, reply) => {
        const asset = (await assets()).get(request.params.file);
        // Named by what is in it.
        const lasting = 'public, max-age=31536000, immutable';
        if (asset !== undefined) reply.header('cache-control', lasting);
        return send(request, reply, asset);
      });
    },
  };
}

function send(
  request: FastifyRequest,
  reply: FastifyReply,
  asset: Asset | undefined,
): FastifyReply {
  if (asset === undefined) {
    throw new AshlarError('not-found', `${request.url.slice(0, 200)}: there is no such file`);
  }
  const zip = /\bgzip\b/.test(request.headers['accept-encoding'] ?? '');
  const etag = zip ? asset.etag.replace(/"$/, '-gzip"') : asset.etag;
  reply.headers({ ...headers, etag, 'content-type': asset.type });
  if (request.headers['if-none-match'] === etag) return reply.code(304).send();
  if (!zip) return reply.send(asset.bytes);
  return reply.header('content-encoding', 'gzip').send(asset.zipped);
}

async function readAssets(): Promise<Map<string, Asset>> {
  const folder = await builtFolder();
  const names = ['index.html', ...(await readdir(join(folder, 'assets')))];
  const read = names.map(async (name): Promise<[string, Asset]> => {
    const bytes = await readFile(join(folder, name === 'index.html' ? '' : 'assets', name));
    const hash = createHash('sha256').update(bytes).digest('base64url').slice(0, 16);
    const type = types[extname(name)] ?? 'application/octet-stream';
    return [name, { type, bytes, zipped: gzipSync(bytes), etag: `"${hash}"` }];
  });
  return new Map(await Promise.all(read));
}

/** dist/console/app of the package, wherever this file was compiled to. */
async function builtFolder(): Promise<string> {
  const start = dirname(fileURLToPath(import.meta.url));
  for (let folder = start; ; folder = dirname(folder)) {
    const candidate = join(folder, 'dist', 'console', 'app');
    const found = await readFile(join(candidate, 'index.html')).catch(() => null);
    if (found !== null) return candidate;
    if (folder === dirname(folder)) {
      throw new AshlarError('not-found', 'the console is not built; run "npm run build"');
    }
  }
}
