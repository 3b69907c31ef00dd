/** The picture of a terminal: its text, its columns, and whether that of `ashlar top` is of today. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import type { VolumeStatistics } from '../../lib/api/contract.js';
import { frameText } from '../../lib/cli/screen.js';
import { type TopReading, topFrame } from '../../lib/cli/top_frame.js';
import { openChromium } from '../console/browser.js';
import { lastFrame, terminalSvg } from './terminal_svg.js';

const described = { title: 'a & b', description: '"c" < d' };

test('markup in a row, the title and the description: is escaped', () => {
  const svg = terminalSvg(['<b>&amp;"'], described);
  assert.ok(svg.includes('>&lt;b&gt;&amp;amp;&quot;</text>'));
  assert.ok(svg.includes('<title id="title">a &amp; b</title>'));
  assert.ok(svg.includes('<desc id="description">&quot;c&quot; &lt; d</desc>'));
});

test('rows in a browser: each letter stands in its column, and the panel is around all', async () => {
  const rows = ['a  b     c', '', '  120 µs …', '[||      ]'];
  const browser = await openChromium();
  try {
    const page = await browser.newPage();
    const svg = encodeURIComponent(terminalSvg(rows, described));
    await page.goto(`data:image/svg+xml,${svg}`);
    const found = await page.evaluate(`[...document.querySelectorAll('text')].map((text) =>
      Array.from(text.textContent, (_, at) => text.getStartPositionOfChar(at).x))`);
    const columns = Array.from({ length: 10 }, (_, column) => Math.round(16 + column * 8.4));
    const rounded = (found as number[][]).map((row) => row.map(Math.round));
    assert.deepEqual(rounded, [columns, columns, columns]);
    assert.ok(svg.includes(encodeURIComponent('viewBox="0 0 116 108"')));
  } finally {
    await browser.close();
  }
});

test('frames: the last whole one; a sequence that would not be drawn is refused', () => {
  const torn = frameText(['d', 'e']).slice(0, 6);
  assert.deepEqual(lastFrame(`x${frameText(['a'])}${frameText(['b', ' c'])}${torn}`), ['b', ' c']);
  assert.throws(() => lastFrame('nothing'), /none is whole/);
  const red = frameText(['\x1b[31mred\x1b[0m']);
  assert.throws(() => lastFrame(`${red}${red}`), /not drawn here/);
});

test('the picture in the documents: has the columns that top has today', () => {
  const volumes = ['blue', 'green'].map(
    (tenant): VolumeStatistics => ({
      ...{ volume: tenant, uuid: tenant, tenant, atMs: 0, reads: 0, writes: 0, others: 0 },
      ...{ flushes: 0, readBytes: 0, writtenBytes: 0, errors: 0, underWay: 0 },
      ...{ limitedCommands: 0, limitedMs: 0, readLatency: [], writeLatency: [] },
    }),
  );
  const reading: TopReading = { volumes, status: null, statusAtMs: 0 };
  const view = { sort: 'iops', filter: '', typing: false, paused: false } as const;
  const isHeader = (line: string): boolean => line.startsWith('VOLUME ');
  const today = topFrame(reading, reading, view, null, null).find(isHeader);
  const svg = fs.readFileSync('docs/pictures/top.svg', 'utf8');
  const pictured = [...svg.matchAll(/>([^<]*)<\/text>/g)].map(([, row = '']) => row).find(isHeader);
  assert.deepEqual(
    pictured?.split(/ +/),
    today?.split(/ +/),
    'make it anew: node .build/test/cli/top_picture.js',
  );
});
