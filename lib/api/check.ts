/** Checks of what comes in, against the contract. */
import type { Static, TSchema } from 'typebox';
import { Check } from 'typebox/schema';
import { findings } from '../config/explain.js';
import { AshlarError } from '../errors.js';
import { transferContract } from './contract/streams.js';
import { contract, type Input, type OperationContract } from './contract.js';
import type { OperationId } from './operations.js';

/** The parts of a request that an operation takes, as they came. */
export interface RequestParts {
  params: unknown;
  query: unknown;
  body: unknown;
}

/**
 * What came in, as the operation's input.
 *
 * @throws AshlarError 'invalid-argument', naming the field, what it must be and what it is.
 */
export function checkInput<K extends OperationId>(id: K, request: RequestParts): Input<K> {
  const wanted: OperationContract = contract[id];
  const input = {
    params: request.params,
    query: request.query,
    body: request.body ?? {},
  };
  check(wanted.params, input.params, 'path');
  check(wanted.query, input.query, 'query');
  check(wanted.body, input.body, 'body');
  // The three checks above are what the type says; contract and type come from one schema.
  return input as Input<K>;
}

type Transfer = typeof transferContract;
/** What an operation with a stream takes beside it, checked. */
type TransferInput<K extends keyof Transfer> = {
  params: Static<Transfer[K]['params']>;
  query: Static<Transfer[K]['query']>;
};

/** @throws AshlarError 'invalid-argument'. */
export function checkExport(request: RequestParts): TransferInput<'exportSnapshot'> {
  return checkTransfer('exportSnapshot', request);
}

/** @throws AshlarError 'invalid-argument'. */
export function checkImport(request: RequestParts): TransferInput<'importVolume'> {
  return checkTransfer('importVolume', request);
}

function checkTransfer<K extends keyof Transfer>(id: K, request: RequestParts): TransferInput<K> {
  const wanted: { params: TSchema; query: TSchema } = transferContract[id];
  check(wanted.params, request.params, 'path');
  check(wanted.query, request.query, 'query');
  return { params: request.params, query: request.query } as TransferInput<K>;
}

function check(schema: TSchema, value: unknown, where: string): void {
  if (Check(schema, value)) return;
  const found = findings(schema, value);
  const [first, ...others] = found;
  const name = first === undefined || first.path.length === 0 ? where : first.path.join('.');
  const more = others.length === 0 ? '' : `; also wrong: ${others.map(keyOf).join(', ')}`;
  const what = first?.message ?? 'does not fit its schema';
  throw new AshlarError('invalid-argument', `${where}: '${name}' ${what}${more}`, {
    fields: where === 'body' ? found : [],
  });
}

function keyOf(finding: { path: string[] }): string {
  return `'${finding.path.join('.')}'`;
}
