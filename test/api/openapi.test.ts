/** The OpenAPI document: it is one, it is complete, and answers are as it says. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import { openApiDocument } from '../../lib/api/openapi/document.js';
import { docsPage } from '../../lib/api/openapi/page.js';
import { operationIds } from '../../lib/api/operations.js';
import { transfers } from '../../lib/api/transfer_names.js';
import { Conformance } from './conformance.js';
import { ApiFixture } from './fixture.js';
import { walk } from './walk.js';

const allIds = [...operationIds, ...Object.keys(transfers)].sort();

test('openapi: the document is valid by the schema of OpenAPI 3.1', async () => {
  const document = JSON.parse(JSON.stringify(openApiDocument('1.2.3')));
  const { valid, errors } = await new Validator().validate(document);
  assert.equal(valid, true, JSON.stringify(errors));
  assert.equal(document.openapi, '3.1.0');
});

test('openapi: a walk through every operation: each succeeds and answers as documented', async () => {
  await using api = await ApiFixture.open();
  await walk(api);
  assert.deepEqual([...api.conformance.succeeded].sort(), allIds);
  assert.deepEqual(api.conformance.departures, []);
});

test('openapi: an answer that departs is found: a field too many, a wrong type, a strange status', () => {
  const conformance = new Conformance();
  const look = (status: number, body: object, type = 'application/json') =>
    conformance.look({
      method: 'GET',
      path: '/v1/groups',
      status,
      type,
      body: Buffer.from(JSON.stringify(body)),
      request: Buffer.alloc(0),
    });
  look(200, { items: [], next: null });
  assert.deepEqual(conformance.departures, []);
  look(200, { items: [], next: null, more: 1 });
  look(200, { items: 'none', next: null });
  look(201, {});
  look(200, { items: [], next: null }, 'text/html');
  look(404, { code: 'no-such-code' }, 'application/problem+json');
  assert.equal(conformance.departures.length, 5, conformance.departures.join('\n'));
});

test('openapi: served to anyone, and as a page that fetches and runs nothing', async () => {
  await using api = await ApiFixture.open();
  const get = (path: string) => api.rawBehindDoor({ method: 'GET', path });
  const document = await get('/openapi.json');
  assert.equal(document.headers['content-type'], 'application/json');
  assert.equal(JSON.parse(document.body.toString()).openapi, '3.1.0');
  const page = await get('/docs');
  assert.match(String(page.headers['content-type']), /^text\/html/);
  assert.match(String(page.headers['content-security-policy']), /^default-src 'none'/);
  const html = page.body.toString();
  assert.equal(html, docsPage(JSON.parse(document.body.toString())));
  assert.doesNotMatch(html, /<script|<link|<img|src=|https?:/);
  for (const id of allIds) assert.ok(html.includes(`<details id="${id}">`), id);
});

test('openapi: a method that a path has not: 405, and those that it has', async () => {
  await using api = await ApiFixture.open();
  const answer = await api.raw({ method: 'PUT', path: '/v1/volumes/x' });
  assert.equal(answer.status, 405);
  assert.equal(answer.headers.allow, 'GET, PATCH, DELETE');
});
