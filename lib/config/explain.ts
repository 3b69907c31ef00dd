/**
 * Turns TypeBox findings into sentences for people: which key, what it is, what it must be, and for
 * an unknown key the nearest valid one. Shared by the configuration file and the API.
 */
import type { TSchema } from 'typebox';
import { Errors } from 'typebox/schema';
import { nearest } from './nearest.js';

/** One thing that is wrong with a value. */
export interface Finding {
  /** Keys and indexes from the root to the culprit; empty: the root itself. */
  path: string[];
  /** E.g. "must be a size such as '64GiB', not true", without the path. */
  message: string;
}

/** A schema node as plain JSON Schema, which it is. */
type Node = Record<string, unknown>;

/**
 * Everything that is wrong with `value` under `schema`, unknown keys first (they often explain a
 * missing one); empty when it fits.
 */
export function findings(schema: TSchema, value: unknown): Finding[] {
  const [valid, errors] = Errors(schema, value);
  if (valid) return [];
  const unknown: Finding[] = [];
  const wrong: Finding[] = [];
  const seen = new Set<string>();
  for (const error of errors) {
    const path = pointerParts(error.instancePath);
    const node = nodeAt(schema, path);
    const params: Node = { ...error.params };
    if (error.keyword === 'additionalProperties') {
      const valids = Object.keys(asNode(node.properties));
      for (const key of strings(params.additionalProperties)) {
        unknown.push({ path: [...path, key], message: unknownKey(key, path, valids) });
      }
    } else if (error.keyword === 'required') {
      for (const key of strings(params.requiredProperties)) {
        const about = asNode(asNode(node.properties)[key]);
        wrong.push({ path: [...path, key], message: `is missing; give ${expectation(about)}` });
      }
    } else if (!seen.has(error.instancePath) && Object.keys(node).length > 0) {
      // One finding a value: branches of a union would each complain.
      seen.add(error.instancePath);
      // What is only ever written is a secret: what came for it may hold one, whatever its type.
      const found = node.writeOnly === true ? '' : `, not ${shown(valueAt(value, path))}`;
      wrong.push({ path, message: `must be ${expectation(node)}${found}` });
    }
  }
  return [...unknown, ...wrong];
}

function unknownKey(key: string, path: string[], valids: readonly string[]): string {
  const best = nearest(key, valids);
  if (best !== null) return `is not known; did you mean '${best}'?`;
  const place = path.length === 0 ? 'here' : `in '${path.join('.')}'`;
  return `is not known; known ${place}: ${valids.join(', ')}`;
}

/** What a schema node wants, in words. */
function expectation(node: Node): string {
  if (typeof node.expected === 'string') return node.expected;
  if (Array.isArray(node.enum)) return `one of ${node.enum.join(', ')}`;
  const low = node.minimum;
  const high = node.maximum;
  switch (node.type) {
    case 'integer':
      if (low !== undefined && high !== undefined) return `a whole number from ${low} to ${high}`;
      return low === undefined ? 'a whole number' : `a whole number of at least ${low}`;
    case 'number':
      return 'a number';
    case 'string':
      return 'text';
    case 'boolean':
      return 'true or false';
    case 'array':
      return 'a list';
    case 'object':
      return 'a group of keys';
    default:
      return 'another value';
  }
}

/** A value as a message shows it: short, on one line. */
function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'bigint') return value.toString();
  const text = typeof value === 'string' ? `'${value}'` : (JSON.stringify(value) ?? String(value));
  const flat = text.replaceAll(/\p{Cc}/gu, ' ');
  return flat.length > 60 ? `${flat.slice(0, 60)}…` : flat;
}

function pointerParts(pointer: string): string[] {
  if (pointer === '') return [];
  return pointer
    .slice(1)
    .split('/')
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** The schema node that governs a path; {} where none does. */
function nodeAt(schema: TSchema, path: readonly string[]): Node {
  let node = asNode(schema);
  for (const part of path) {
    const properties = asNode(node.properties);
    node = Object.hasOwn(properties, part) ? asNode(properties[part]) : asNode(node.items);
  }
  return node;
}

function valueAt(value: unknown, path: readonly string[]): unknown {
  let current = value;
  for (const part of path) {
    if (typeof current !== 'object' || current === null || !Object.hasOwn(current, part)) {
      return undefined;
    }
    current = Reflect.get(current, part);
  }
  return current;
}

function asNode(value: unknown): Node {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}
