/**
 * How long the console takes over 10,000 volumes: node .build/test/console/many.js
 *
 * From the key that is pressed in the filter, or the press of Next, to the frame that shows the
 * answer, in a real Chromium; and the command line over the same daemon, as a whole process.
 */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import type { Page } from 'playwright-core';
import { Console } from './browser.js';

const volumes = 10_000;
const atOnce = 64;
const rounds = 40;

async function createVolumes({ daemon }: Console): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < volumes) {
      next += 1;
      const name = `volume-${String(next).padStart(5, '0')}`;
      await daemon.call('POST', '/v1/volumes', { name, sizeBytes: 2 ** 30 });
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

/** Milliseconds until the pager says `wanted` and a frame with it was made. */
function measure(page: Page, act: string, wanted: string): Promise<number> {
  return page.evaluate(`(async () => {
    const done = () => {
      const said = document.querySelector('.pager [role=status]');
      return said !== null && said.textContent.startsWith(${JSON.stringify(wanted)});
    };
    const start = performance.now();
    // Not by asking frame after frame: drawing those would take the time that is measured.
    await new Promise((resolve) => {
      const observer = new MutationObserver(() => {
        if (!done()) return;
        observer.disconnect();
        resolve();
      });
      const options = { subtree: true, childList: true, characterData: true };
      observer.observe(document.body, options);
      ${act};
    });
    await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
    return performance.now() - start;
  })()`);
}

const type = (text: string): string => `
  const input = document.querySelector('input[type=search]');
  input.value = ${JSON.stringify(text)};
  input.dispatchEvent(new InputEvent('input', { bubbles: true }))`;
const press = (name: string): string =>
  `[...document.querySelectorAll('.pager button')].find((b) => b.textContent === '${name}').click()`;

function row(what: string, ms: number[]): void {
  const sorted = ms.toSorted((a, b) => a - b);
  const at = (share: number): string =>
    (sorted[Math.floor((sorted.length - 1) * share)] ?? 0).toFixed(0).padStart(8);
  console.log(`${what.padEnd(44)}${at(0)}${at(0.5)}${at(0.95)}${at(1)}`);
}

await using at = await Console.open({ poolSize: '2GiB' });
await createVolumes(at);
const page = await at.signedIn('/volumes');
await page.getByText(`of ${volumes.toLocaleString('en')} volumes`).waitFor();
console.log(`${volumes} volumes; ms${' '.repeat(26)}     min  median    95 %     max`);
const [narrow, wide, next, back]: [number[], number[], number[], number[]] = [[], [], [], []];
for (let round = 0; round < rounds; round += 1) {
  narrow.push(await measure(page, type('volume-0999'), '1–10 of 10 '));
  wide.push(await measure(page, type('volume-0'), '1–100 volumes'));
  await measure(page, type(''), '1–100 of 10,000 ');
  next.push(await measure(page, press('Next'), '101–200 of 10,000 '));
  back.push(await measure(page, press('Back'), '1–100 of 10,000 '));
}
row('key in the filter to 10 of 10 rows', narrow);
row('key in the filter to the first 100 of 9,999', wide);
row('Next to 100 other rows', next);
row('Back to 100 rows', back);
const program = path.resolve('dist/program/main.js');
for (const args of [
  ['volume', 'list', '--limit', '100'],
  ['volume', 'list', '--name', '0999', '--limit', '100'],
]) {
  const ms = Array.from({ length: 5 }, () => {
    const start = performance.now();
    spawnSync(process.execPath, [program, ...args, '--socket', at.daemon.socket]);
    return performance.now() - start;
  });
  row(`ashlar ${args.join(' ')}, whole process`, ms);
}
