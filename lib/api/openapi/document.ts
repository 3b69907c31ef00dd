/**
 * The OpenAPI 3.1 document, made from operations.ts and the contract: what is checked is what is
 * written. JSON Schema 2020-12 is the schema language of both.
 */
import type { TSchema } from 'typebox';
import { mediaTypes, problemTypes } from '../codec.js';
import { importResultSchema, transferContract } from '../contract/streams.js';
import { contract, type OperationContract } from '../contract.js';
import { type Operation, operationIds, operations } from '../operations.js';
import { streamType, transfers } from '../transfer_names.js';
import { components, type JsonSchema, jsonSchema } from './schemas.js';
import { introduction, tagOf, tags } from './texts.js';

/** Plain data, as it is sent. */
export type OpenApiDocument = Record<string, unknown>;

export function openApiDocument(version: string): OpenApiDocument {
  const paths: Record<string, Record<string, unknown>> = {};
  const add = (operation: Operation, described: unknown): void => {
    const path = operation.path.replaceAll(/:([a-z]+)/gi, '{$1}');
    const methods = paths[path] ?? {};
    paths[path] = methods;
    methods[operation.method.toLowerCase()] = described;
  };
  for (const id of operationIds) add(operations[id], describe(id));
  add(transfers.exportSnapshot, describeExport());
  add(transfers.importVolume, describeImport());
  return {
    openapi: '3.1.0',
    info: {
      title: 'Ashlar',
      version,
      summary: 'Control plane of a node: volumes, snapshots, hosts, and how they are reached.',
      description: introduction,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/', description: 'This daemon.' }],
    tags,
    paths,
    components: { schemas: components() },
  };
}

function describe(id: (typeof operationIds)[number]): JsonSchema {
  const operation: Operation = operations[id];
  const wanted: OperationContract = contract[id];
  const empty = operation.status === 204;
  const success = empty
    ? { description: 'Done.' }
    : { description: 'Done.', content: documents(wanted.response) };
  return {
    ...common(id, operation, wanted),
    ...(hasProperties(wanted.body)
      ? { requestBody: { required: true, content: documents(wanted.body) } }
      : {}),
    responses: {
      [operation.status]: success,
      ...(operation.method === 'GET' ? { 304: { description: 'As If-None-Match has it.' } } : {}),
      ...problems,
    },
  };
}

function describeExport(): JsonSchema {
  return {
    ...common('exportSnapshot', transfers.exportSnapshot, transferContract.exportSnapshot),
    responses: {
      200: { description: 'The stream.', content: { [streamType]: {} } },
      ...problems,
    },
  };
}

function describeImport(): JsonSchema {
  return {
    ...common('importVolume', transfers.importVolume, transferContract.importVolume),
    requestBody: { required: true, content: { [streamType]: {} } },
    responses: {
      200: { description: 'All of it is durable.', content: documents(importResultSchema) },
      ...problems,
    },
  };
}

function common(
  operationId: string,
  operation: Operation,
  wanted: Pick<OperationContract, 'summary' | 'params' | 'query'>,
): JsonSchema {
  return {
    operationId,
    summary: wanted.summary,
    tags: [tagOf(operation.path)],
    parameters: [...parameters(wanted.params, 'path'), ...parameters(wanted.query, 'query')],
  };
}

/** A document in each of the encodings. */
function documents(schema: TSchema): JsonSchema {
  const media = { schema: jsonSchema(schema) };
  return { [mediaTypes.json]: media, [mediaTypes.msgpack]: media };
}

const problem = {
  description: 'An error; `code` says which.',
  content: {
    [problemTypes.json]: { schema: { $ref: '#/components/schemas/Problem' } },
    [problemTypes.msgpack]: { schema: { $ref: '#/components/schemas/Problem' } },
  },
};
const problems = { '4XX': problem, '5XX': problem };

function parameters(schema: TSchema, place: 'path' | 'query'): JsonSchema[] {
  const required = 'required' in schema && Array.isArray(schema.required) ? schema.required : [];
  return Object.entries(propertiesOf(schema)).map(([name, part]) => {
    const json = jsonSchema(part);
    const { description, ...rest } = typeof json === 'object' ? { ...(json as JsonSchema) } : {};
    return { name, in: place, required: required.includes(name), description, schema: rest };
  });
}

function hasProperties(schema: TSchema): boolean {
  return Object.keys(propertiesOf(schema)).length > 0;
}

function propertiesOf(schema: TSchema): Record<string, unknown> {
  const properties: unknown = 'properties' in schema ? schema.properties : {};
  return typeof properties === 'object' && properties !== null ? { ...properties } : {};
}
