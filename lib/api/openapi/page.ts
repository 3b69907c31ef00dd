/**
 * The OpenAPI document as one page for people: no script, nothing fetched, so that it reads the
 * same on a machine without a network. Every operation is a fold with its parameters and fields.
 */
import { type ErrorCode, errorCodes, exitCodeOf } from '../../errors.js';
import { httpStatusOf, titleOf } from '../problem.js';
import type { OpenApiDocument } from './document.js';
import { style } from './style.js';

type Node = Record<string, unknown>;

/** HTML of the whole page. */
export function docsPage(document: OpenApiDocument): string {
  const info = asNode(document.info);
  const operations = operationsOf(document);
  const tags = asList(document.tags).map(asNode);
  const sections = tags.map((tag) => {
    const own = operations.filter(({ operation }) => asList(operation.tags).includes(tag.name));
    const folds = own.map((each) => fold(each, document)).join('\n');
    const name = text(tag.name);
    return `<h2 id="${name}">${name}</h2>\n<p>${text(tag.description)}</p>\n${folds}`;
  });
  const links = tags.map(({ name }) => `<a href="#${text(name)}">${text(name)}</a>`).join(' ');
  return [
    '<!doctype html>',
    '<html lang="en"><head><meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    `<title>${text(info.title)} API</title><style>${style}</style></head><body><main>`,
    `<h1>${text(info.title)} API <small>${text(info.version)}</small></h1>`,
    `<p>${text(info.description)}</p>`,
    '<p>For programs: <a href="/openapi.json">openapi.json</a> (OpenAPI 3.1).</p>',
    `<nav>${links} <a href="#Errors">Errors</a></nav>`,
    ...sections,
    errorTable(),
    '</main></body></html>\n',
  ].join('\n');
}

/** Hash of the style for the policy that lets the page have it and nothing else. */
export { styleHash } from './style.js';

interface Described {
  method: string;
  path: string;
  operation: Node;
}

function operationsOf(document: OpenApiDocument): Described[] {
  return Object.entries(asNode(document.paths)).flatMap(([path, methods]) =>
    Object.entries(asNode(methods)).map(([method, operation]) => {
      return { method: method.toUpperCase(), path, operation: asNode(operation) };
    }),
  );
}

function fold({ method, path, operation }: Described, document: OpenApiDocument): string {
  const body = firstSchema(asNode(operation.requestBody));
  const answers = Object.entries(asNode(operation.responses)).filter(([status]) => status < '4');
  const parts = [
    parameterTable(asList(operation.parameters).map(asNode)),
    body === null ? '' : `<h4>Body</h4>${fieldTable(body, document)}`,
    ...answers.map(([status, answer]) => answerPart(status, asNode(answer), document)),
  ];
  const id = text(operation.operationId);
  return (
    `<details id="${id}"><summary><b class="${method}">${method}</b> <code>${text(path)}</code> ` +
    `<span>${text(operation.summary)}</span></summary>` +
    `<p><code>${id}</code>${notes(operation)}</p>${parts.join('')}</details>`
  );
}

function notes(operation: Node): string {
  return operation.description === undefined ? '' : ` · ${text(operation.description)}`;
}

function answerPart(status: string, answer: Node, document: OpenApiDocument): string {
  const schema = firstSchema(answer);
  const fields = schema === null ? `<p>${text(answer.description)}</p>` : '';
  return `<h4>Answer ${text(status)}</h4>${fields}${schema === null ? '' : fieldTable(schema, document)}`;
}

function firstSchema(holder: Node): Node | null {
  const [media] = Object.values(asNode(holder.content));
  const { schema } = asNode(media);
  return schema === undefined ? null : asNode(schema);
}

function parameterTable(parameters: readonly Node[]): string {
  if (parameters.length === 0) return '';
  const rows = parameters.map((each) => {
    const required = each.required === true ? ', required' : '';
    const kind = `${typeText(asNode(each.schema))}, ${text(each.in)}${required}`;
    return row(text(each.name), kind, text(each.description ?? ''));
  });
  return `<h4>Parameters</h4><table>${rows.join('')}</table>`;
}

/** Fields of an object; those of the items of a list. */
function fieldTable(schema: Node, document: OpenApiDocument): string {
  const own = resolved(schema, document);
  const items = asNode(asNode(own.properties).items);
  const listed = items.type === 'array' ? asNode(items.items) : null;
  const of = listed === null ? own : resolved(listed, document);
  const required = asList(of.required);
  const rows = Object.entries(asNode(of.properties)).map(([name, value]) => {
    const field = asNode(value);
    const optional = required.includes(name) ? '' : ', optional';
    const about = field.description ?? resolved(field, document).description;
    const inner = asList(field.anyOf).map((each) => asNode(each).description);
    const said = about ?? inner.find((each) => each !== undefined) ?? '';
    return row(text(name), `${typeText(field)}${optional}`, text(said));
  });
  const what = of.description === undefined ? '' : `<p>${text(of.description)}</p>`;
  const list = listed === null ? '' : '<p>A page of <code>items</code>, each with:</p>';
  return `${what}${list}<table>${rows.join('')}</table>`;
}

function row(name: string, kind: string, about: string): string {
  return `<tr><td><code>${name}</code></td><td>${kind}</td><td>${about}</td></tr>`;
}

function typeText(schema: Node): string {
  if (typeof schema.$ref === 'string') return text(schema.$ref.split('/').at(-1) ?? '');
  if (Array.isArray(schema.enum)) return schema.enum.map((each) => text(each)).join(' | ');
  if (Array.isArray(schema.anyOf)) {
    return schema.anyOf.map((each) => typeText(asNode(each))).join(' | ');
  }
  if (schema.type === 'array') return `${typeText(asNode(schema.items))}[]`;
  return text(schema.format ?? schema.type ?? '');
}

function resolved(schema: Node, document: OpenApiDocument): Node {
  if (typeof schema.$ref !== 'string') return schema;
  const name = schema.$ref.split('/').at(-1) ?? '';
  return asNode(asNode(asNode(document.components).schemas)[name]);
}

function errorTable(): string {
  const rows = errorCodes.map((code: ErrorCode) =>
    row(text(code), `${httpStatusOf(code)}, exit ${exitCodeOf(code)}`, text(titleOf(code))),
  );
  return `<h2 id="Errors">Errors</h2><table>${rows.join('')}</table>`;
}

function asNode(value: unknown): Node {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

function asList(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
};

/** Text as HTML; words in backquotes are code. */
function text(value: unknown): string {
  return String(value)
    .replaceAll(/[&<>"]/g, (letter) => entities[letter] ?? letter)
    .replaceAll(/`([^`]+)`/g, '<code>$1</code>');
}
