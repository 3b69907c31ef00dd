import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectLines } from '../../lib/cli/connect_lines.js';
import { type Column, pairs, table } from '../../lib/cli/table.js';

interface Row {
  name: string;
  size: string;
  note: string;
}

const columns: readonly Column<Row>[] = [
  { title: 'name', value: (row) => row.name, flexible: true },
  { title: 'size', value: (row) => row.size, align: 'right' },
  { title: 'note', value: (row) => row.note, flexible: true },
];
const rows: Row[] = [
  { name: 'a', size: '1 GiB', note: 'x' },
  { name: 'a-much-longer-name', size: '10 GiB', note: 'a note of some length that goes on' },
];

test('table: no terminal: aligned and whole', () => {
  assert.deepEqual(table(rows, columns, null), [
    'NAME                  SIZE  NOTE',
    'a                    1 GiB  x',
    'a-much-longer-name  10 GiB  a note of some length that goes on',
  ]);
});

test('table: a narrow terminal: the widest flexible columns are cut, numbers never', () => {
  for (const width of [30, 40, 50, 60]) {
    for (const line of table(rows, columns, width)) {
      assert.ok([...line].length <= width, `${width}: ${line}`);
      assert.ok(!line.includes('GiB') || /\d GiB/.test(line));
    }
  }
});

test('table: a terminal too narrow for all: headings and numbers stay whole', () => {
  const lines = table(rows, columns, 5);
  assert.match(lines[0] ?? '', /^NAME +SIZE +NOTE$/);
  assert.match(lines[2] ?? '', /10 GiB/);
});

test('table: control characters that came from outside: never reach the terminal', () => {
  const evil = [{ name: '\u001b[2Jx\n', size: '1', note: '' }];
  assert.deepEqual(table(evil, columns, null)[1], '?[2Jx?     1');
  assert.deepEqual(pairs([['Name', 'a\u0007']]), ['Name  a?']);
});

const served = { discoveryOnly: false, drained: false, problem: null };

test('connect lines: each portal: discovered at; those with volumes: connected through', () => {
  const portals = [
    { address: '127.0.0.1', port: 4420, ...served },
    { address: '::1', port: 8009, ...served, discoveryOnly: true },
  ];
  assert.deepEqual(connectLines(portals, ['nqn.a', 'nqn.b']), {
    discover: ['nvme discover -t tcp -a 127.0.0.1 -s 4420', 'nvme discover -t tcp -a ::1 -s 8009'],
    connect: [
      'nvme connect -t tcp -a 127.0.0.1 -s 4420 -n nqn.a',
      'nvme connect -t tcp -a 127.0.0.1 -s 4420 -n nqn.b',
    ],
  });
});

test('connect lines: a portal that is drained or waits for its address: no way to volumes', () => {
  const portals = [
    { address: '127.0.0.1', port: 4420, ...served, drained: true },
    { address: '192.0.2.7', port: 4420, ...served, problem: 'this machine has no such address' },
  ];
  assert.deepEqual(connectLines(portals, ['nqn.a']), {
    discover: ['nvme discover -t tcp -a 127.0.0.1 -s 4420'],
    connect: [],
  });
});

test('connect lines: a wildcard portal: an address that can be connected to', () => {
  const wildcard = { address: '0.0.0.0', port: 1, ...served, discoveryOnly: true };
  const [line] = connectLines([wildcard], []).discover;
  assert.match(line ?? '', /-a \d+\.\d+\.\d+\.\d+ -s 1$/);
  assert.ok(!line?.includes('0.0.0.0'));
});
