/** Lists that are longer than a page, while answers take their time. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Console } from './browser.js';
import { button } from './steps.js';

let at: Console;
before(async () => {
  at = await Console.open();
  for (let index = 0; index < 250; index += 1) {
    const name = `volume-${String(index).padStart(3, '0')}`;
    await at.daemon.call('POST', '/v1/volumes', { name, sizeBytes: 2 ** 20 });
  }
});
after(() => at[Symbol.asyncDispose]());

test('paging: while an answer is awaited the range is that of the rows, and Next turns once', async () => {
  const page = await at.signedIn('/volumes');
  await page.getByText('1–100 of 250 volumes').waitFor();
  let goOn: (() => void) | undefined;
  const held = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  let arrived: (() => void) | undefined;
  const asked = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  await page.route('**/v1/volumes?*cursor=*', async (route) => {
    arrived?.();
    await held;
    await route.continue();
  });
  await button(page, 'Next').click();
  await asked;
  await page.getByText(/^1–100 /).waitFor();
  await page.getByRole('rowheader', { name: 'volume-000' }).waitFor();
  await button(page, 'Next').click();
  goOn?.();
  await page.getByText('101–200 of 250 volumes').waitFor();
  await page.getByRole('rowheader', { name: 'volume-100' }).waitFor();
  await button(page, 'Next').click();
  await page.getByText('201–250 of 250 volumes').waitFor();
  assert.equal(await button(page, 'Next').isDisabled(), true);
});

test('paging: Next right after another filter is of that filter', async () => {
  const page = await at.signedIn('/volumes');
  const refused: string[] = [];
  page.on('response', (response) => {
    if (response.status() >= 400) refused.push(response.url());
  });
  const filter = page.getByRole('searchbox', { name: 'Filter by name' });
  await filter.fill('volume-1');
  await page.getByText('1–100 volumes').waitFor({ state: 'detached' });
  await page.getByText('1–100 of 100 volumes').waitFor();
  await filter.fill('volume-');
  await page.getByText('1–100 volumes').waitFor();
  // In one go, so that nothing is answered between the two.
  await page.evaluate(`(() => {
    const input = document.querySelector('input[type=search]');
    input.value = '';
    input.dispatchEvent(new InputEvent('input', { bubbles: true }));
  })()`);
  await page.evaluate(
    `[...document.querySelectorAll('.pager button')].find((b) => b.textContent === 'Next').click()`,
  );
  await page.getByText(/^(1–100|101–200) of 250 volumes$/).waitFor();
  assert.deepEqual(refused, []);
});
