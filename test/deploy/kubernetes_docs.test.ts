/** docs/kubernetes.md and the examples, held against the driver, the charts and the files there. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { parse } from 'yaml';
import { parseMutable, parseParameters } from '../../lib/csi/controller/parameters.js';
import { CsiError } from '../../lib/csi/errors.js';
import {
  charts,
  examples,
  type Manifest,
  manifests,
  missing,
  parseManifests,
  render,
} from './charts.js';

const page = fs.readFileSync('docs/kubernetes.md', 'utf8');

/** What a call refuses with. */
function refusal(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    assert.ok(error instanceof CsiError, String(error));
    return error.message;
  }
  return assert.fail('was not refused');
}

/** Names that the driver knows, as it tells whoever uses another one. */
function known(parse: (parameters: Record<string, string>) => unknown): string[] {
  const message = refusal(() => parse({ zzzzzzzzzzzz: '' }));
  return /known are: (.*)$/.exec(message)?.[1]?.split(', ').sort() ?? assert.fail(message);
}
const parameters = known((each) => parseParameters(each, {}));
const mutable = known(parseMutable);

const schema = JSON.parse(
  fs.readFileSync(path.join(charts, 'ashlar-csi/values.schema.json'), 'utf8'),
) as {
  properties: Record<string, { items: { properties: { parameters: { properties: object } } } }>;
};
const inSchema = (list: string): string[] =>
  Object.keys(schema.properties[list]?.items.properties.parameters.properties ?? {}).sort();

describe('parameters of a StorageClass', () => {
  const [, section = ''] = page.split('\n## Parameters of a StorageClass\n');
  const [table = ''] = section.split('\n## ');
  const rows = [...table.matchAll(/^\| `([^`]+)` \| (.*?) \|/gm)];

  test('the table has those that the driver knows, and no other', () => {
    const names = rows.map(([, name = '']) => name).filter((name) => !name.includes('/'));
    assert.deepEqual(names.sort(), parameters);
  });

  test('the values that the table names are taken; another is refused', () => {
    for (const [, name = '', values = ''] of rows.filter(([, each]) => !each?.includes('/'))) {
      const words = [...values.matchAll(/`([^`]+)`/g)].map(([, word = '']) => word);
      for (const word of words)
        assert.ok(parseParameters({ [name]: word }, {}), `${name}: ${word}`);
      const other = () => parseParameters({ [name]: 'neither' }, {});
      if (words.length > 0) assert.match(refusal(other), new RegExp(name));
    }
  });

  test('those of the charts are the same', () => {
    assert.deepEqual(inSchema('storageClasses'), parameters);
    assert.deepEqual(inSchema('volumeAttributesClasses'), mutable);
    for (const name of mutable) {
      const [, row = ''] = new RegExp(`^\\| \`${name}\` \\|(.*)$`, 'm').exec(table) ?? [];
      assert.match(row, /changes/);
    }
  });

  test('the driver takes the classes of examples and manifests', () => {
    const files = [examples, manifests].flatMap((folder) =>
      fs.readdirSync(folder).map((name) => path.join(folder, name)),
    );
    const objects = files.flatMap((file) => parseManifests(fs.readFileSync(file, 'utf8'), file));
    const given = (kind: string) =>
      objects
        .filter((object) => object.kind === kind)
        .map((object: Manifest) => object['parameters'] as Record<string, string>);
    assert.ok(given('StorageClass').length >= 3);
    assert.ok(given('VolumeAttributesClass').length >= 2);
    for (const each of given('StorageClass')) parseParameters(each, {});
    for (const each of given('VolumeAttributesClass')) parseMutable(each);
  });
});

describe('the page', () => {
  test('every file that it names is there, and every example is named', () => {
    for (const [file] of page.matchAll(/deploy\/(?:docker|kubernetes|prometheus)[\w./-]*\w/g))
      assert.ok(fs.existsSync(file), file);
    for (const file of fs.readdirSync(examples)) assert.ok(page.includes(file), file);
    for (const file of fs.readdirSync(manifests)) assert.ok(page.includes(file), file);
  });

  test('every link leads somewhere', () => {
    const heads = [...page.matchAll(/^#+ (.*)$/gm)].map(([, head = '']) =>
      head
        .toLowerCase()
        .replaceAll(/[^\w\s-]/g, '')
        .replaceAll(' ', '-'),
    );
    for (const [, target = ''] of page.matchAll(/\]\(([^)]+)\)/g)) {
      const [file = '', fragment] = target.split('#');
      if (file !== '') assert.ok(fs.existsSync(path.join('docs', file)), target);
      else assert.ok(heads.includes(fragment ?? ''), target);
    }
  });

  test('the charts take the values that it shows', { skip: missing('helm') }, () => {
    const shown = [...page.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, text = '']) => text);
    assert.ok(shown.length >= 4);
    for (const text of shown) {
      const values = parse(text) as Record<string, unknown>;
      const chart = 'nodes' in values ? 'ashlar' : 'ashlar-csi';
      assert.equal(render(chart, { values }).problem, null, text);
    }
  });
});
