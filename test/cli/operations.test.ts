/**
 * The command line can do all that the API can: a command for every operation, run against a real
 * node while a door before the socket notes which operations were called, with what.
 */
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { after, before, test } from 'node:test';
import { contract } from '../../lib/api/contract.js';
import { type OperationId, operationIds, operations } from '../../lib/api/operations.js';
import { exportSnapshot, importVolume } from '../../lib/api/transfer_client.js';
import { filters } from '../../lib/cli/filters.js';
import { ApiFixture } from '../api/fixture.js';
import { ManyLines, type Ran } from './many_lines.js';
import { type Line, order, type Row, rows, type World } from './operation_lines.js';

interface Call {
  id: string;
  status: number;
  query: URLSearchParams;
  body: unknown;
}

let api: ApiFixture;
let lines: ManyLines;
let calls: Call[] = [];
const world: World = { names: new Map(), file: (name) => api.folder.file(name) };

before(async () => {
  api = await ApiFixture.open();
  api.conformance.heard = (id, { path, status, request }) => {
    const query = new URL(path, 'http://ashlar').searchParams;
    // An import's body is a stream, and its operation none of the table.
    const body: unknown = request[0] === 0x7b ? JSON.parse(request.toString()) : {};
    calls.push({ id, status, query, body });
  };
  lines = new ManyLines({ ASHLAR_SOCKET: api.socket });
});
after(async () => {
  await lines[Symbol.asyncDispose]();
  await api[Symbol.asyncDispose]();
});

const text = (line: Line): string => (typeof line === 'string' ? line : line(world));

/** Words between spaces; 'what is quoted' is one. */
function words(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, word]) => quoted ?? word ?? '');
}

/** Runs a line; gives what was called for it. */
async function called(line: string): Promise<{ ran: Ran; calls: Call[] }> {
  calls = [];
  const ran = await lines.run(words(line));
  return { ran, calls };
}

/** An import that was cut off: nothing on the command line makes one as reliably. */
async function cutImport(volume: string): Promise<void> {
  const { body } = await exportSnapshot(api.client, { snapshot: 'web@one' });
  const pieces: Buffer[] = [];
  for await (const piece of body) pieces.push(piece);
  const whole = Buffer.concat(pieces);
  const half = Readable.from([whole.subarray(0, whole.length - 8)], { objectMode: false });
  await assert.rejects(importVolume(api.client, { volume, sizeBytes: undefined }, half));
}

test('every operation has a command that calls it, or a reason why it has none', async () => {
  assert.deepEqual([...order].sort(), [...operationIds].sort());
  for (const id of order) {
    const row: Row = rows[id];
    if ('none' in row) {
      assert.ok(row.none.length > 20, `${id}: the reason says why`);
      continue;
    }
    for (const step of row.before ?? []) {
      if (step === 'cut import') {
        await cutImport('half');
        continue;
      }
      const { ran } = await called(text(step));
      assert.equal(ran.code, 0, `${id}: ${text(step)}: ${ran.err}`);
      row.learn?.(world, ran.out);
    }
    const line = text(row.line);
    const seen = await called(line);
    const own = seen.calls.find((call) => call.id === id);
    assert.ok(own !== undefined, `${id}: not called by: ${line}\n${seen.ran.err}`);
    const good = row.refused === undefined ? own.status < 300 : own.status >= 400;
    assert.ok(good, `${id}: ${own.status} for: ${line}\n${seen.ran.err}`);
    row.learn?.(world, seen.ran.out);
  }
});

/** Names of the fields; those of a part with fields of its own as `part.field`. */
function fieldsOf(schema: object): string[] {
  if (!('properties' in schema)) return [];
  return Object.entries(schema.properties ?? {}).flatMap(([name, part]: [string, object]) =>
    'properties' in part ? fieldsOf(part).map((inner) => `${name}.${inner}`) : [name],
  );
}

/** What gives a query field to any command that has it. */
function usualOption(id: OperationId, field: string): string | null {
  const known: Record<
    string,
    Record<string, { flags: string; choices?: readonly string[] } | null>
  > = filters;
  const filter = known[id]?.[field];
  if (filter !== null && filter !== undefined) {
    const [flag = '', value] = filter.flags.split(' ');
    return value === undefined ? flag : `${flag} ${filter.choices?.[0] ?? 'x'}`;
  }
  switch (field) {
    case 'tenant':
      return '--tenant default';
    case 'limit':
      return '--limit 1';
    case 'cursor':
      return '--after x';
    case 'force':
      return '--force';
    case 'repeatable':
      return operations[id].method === 'DELETE' ? '--if-exists' : '--if-missing';
    default:
      return null;
  }
}

function has(body: unknown, field: string): boolean {
  let part: unknown = body;
  for (const name of field.split('.')) {
    if (typeof part !== 'object' || part === null || !Object.hasOwn(part, name)) return false;
    part = Object.getOwnPropertyDescriptor(part, name)?.value;
  }
  return true;
}

test('every field of every query and body can be given by some option', async () => {
  const missing: string[] = [];
  let tried = 0;
  for (const id of operationIds) {
    const row: Row = rows[id];
    if ('none' in row) continue;
    const { query, body } = contract[id];
    const wanted = [
      ...fieldsOf(query).map((field) => ({ part: 'query' as const, field })),
      ...fieldsOf(body).map((field) => ({ part: 'body' as const, field })),
    ];
    for (const { part, field } of wanted) {
      const own = row.fields?.[field];
      if (own !== undefined && typeof own !== 'string' && 'none' in own) {
        assert.ok(own.none.length > 20, `${id} ${field}: the reason says why`);
        continue;
      }
      const option = own ?? (part === 'query' ? usualOption(id, field) : '') ?? '';
      // Those of a body that every line must give need no option more.
      const line = option.startsWith('ashlar ')
        ? option.slice('ashlar '.length)
        : `${text(row.line)} ${option}`;
      const seen = await called(line);
      tried += 1;
      const given = seen.calls.some(
        (call) =>
          call.id === id && (part === 'query' ? call.query.has(field) : has(call.body, field)),
      );
      if (!given) missing.push(`${id} ${part} ${field}: ${line}: ${seen.ran.err.trim()}`);
    }
  }
  assert.deepEqual(missing, []);
  assert.ok(tried > 200, `tried ${tried}`);
});
