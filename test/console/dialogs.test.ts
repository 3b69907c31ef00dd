/** Every dialog: axe in both lights, by keyboard alone, and on a telephone. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Page } from 'playwright-core';
import { Console, hostnqn, violations } from './browser.js';
import { dialog, labelOf, said } from './steps.js';

let at: Console;
before(async () => {
  at = await Console.open();
  const call = (path: string, body: object) => at.daemon.call('POST', path, body);
  await call('/v1/volumes', { name: 'web', sizeBytes: 2 ** 30, hosts: [hostnqn] });
  await call('/v1/snapshots', { volumes: ['web'], name: 'monday' });
  await call('/v1/policies', { name: 'silver', iops: 5000 });
  await call('/v1/tenants', { name: 'blue', quota: { volumes: 4, capacityBytes: 2 ** 40 } });
  await call('/v1/schedules', {
    name: 'nightly',
    cron: '0 2 * * *',
    volumes: ['web'],
    keep: { daily: 7 },
  });
  await call(`/v1/hosts/${encodeURIComponent(hostnqn)}/keys`, {});
  await call('/v1/psks', { host: hostnqn });
  await call('/v1/tokens', { name: 'grafana', role: 'viewer' });
});
after(() => at[Symbol.asyncDispose]());

const paths = [
  '/volumes',
  '/volumes/default/web',
  '/schedules',
  '/policies',
  '/hosts',
  `/hosts/default/${encodeURIComponent(hostnqn)}`,
  '/keys',
  '/portals',
  '/pool',
  '/tenants',
  '/tokens',
];

/** Opens each dialog of each page, one of each kind. */
async function eachDialog(page: Page, look: (name: string) => Promise<void>): Promise<string[]> {
  const seen = new Set<string>();
  for (const path of paths) {
    await at.show(page, path);
    const buttons = page.locator('main button[aria-haspopup=dialog]');
    for (const each of await buttons.all()) {
      const label = await labelOf(each);
      // Of the same kind are those that differ in the name of a thing.
      const kind = label.replaceAll(/[\w@.:-]*[\d@.:][\w@.:-]*/g, '#');
      if (seen.has(kind)) continue;
      seen.add(kind);
      await each.click();
      await dialog(page).waitFor();
      await look(`${path}: ${label}`);
      await page.keyboard.press('Escape');
      await dialog(page).waitFor({ state: 'detached' });
    }
  }
  return [...seen];
}

for (const dark of [false, true]) {
  test(`axe: nothing in any dialog, ${dark ? 'dark' : 'light'}`, async () => {
    const page = await at.signedIn('/', { dark });
    const found: string[] = [];
    const seen = await eachDialog(page, async (name) => {
      found.push(...(await violations(page)).map((each) => `${name}: ${each}`));
    });
    assert.deepEqual(found, []);
    assert.ok(seen.length > 25, seen.join(', '));
  });
}

test('narrow: dialogs and tables fit a telephone without scrolling sideways', async () => {
  const page = await at.signedIn('/', { width: 390, height: 800 });
  const wide: string[] = [];
  const measure = async (name: string): Promise<void> => {
    const over = (await page.evaluate(`[...document.querySelectorAll('dialog, .scroll:has(.rows)')]
      .filter((e) => e.scrollWidth > e.clientWidth)
      .map((e) => e.tagName + ' ' + (e.ariaLabel ?? '') + ' ' + e.scrollWidth)`)) as string[];
    wide.push(...over.map((each) => `${name}: ${each}`));
  };
  await eachDialog(page, measure);
  for (const path of [...paths, '/jobs', '/events']) {
    await at.show(page, path);
    await measure(path);
  }
  assert.deepEqual(wide, []);
});

/** What the focus is on: its label, or what stands on it. */
const focused = (page: Page) =>
  page.evaluate(`(() => {
    const e = document.activeElement;
    const label = e.labels?.[0]?.textContent ?? e.ariaLabel ?? e.textContent;
    return label.trim().replace(/ \\(optional\\)$/, '');
  })()`);

async function tabTo(page: Page, label: string): Promise<void> {
  for (let presses = 0; presses < 80; presses += 1) {
    if ((await focused(page)) === label) return;
    await page.keyboard.press('Tab');
  }
  assert.fail(`Tab never came to '${label}'`);
}

interface Flow {
  path: string;
  opens: string;
  /** Label, and what is typed there; in a choice the letters that lead to an option. */
  fields: readonly (readonly [string, string])[];
  said: RegExp;
  /** Has to be closed. */
  shows?: boolean;
}

const flows: readonly Flow[] = [
  {
    path: '/policies',
    opens: 'Create policy',
    fields: [
      ['Name', 'typed'],
      ['Commands', '2k'],
      ['Weight', '70'],
    ],
    said: /Policy 'typed' created/,
  },
  {
    path: '/volumes/default/web',
    opens: 'Policy',
    fields: [['Policy', 'silver']],
    said: /'web' has policy 'silver'/,
  },
  {
    path: '/tenants',
    opens: 'Change tenant blue',
    fields: [['Volumes', '9']],
    said: /Tenant 'blue' is changed/,
  },
  {
    path: '/schedules',
    opens: 'Change schedule nightly',
    fields: [['Days', '14']],
    said: /'nightly' is changed/,
  },
  {
    path: '/keys',
    opens: 'Generate a key',
    fields: [['Host NQN', hostnqn]],
    said: /host key \w+ is set/,
    shows: true,
  },
  {
    path: '/keys',
    opens: 'Generate a PSK',
    fields: [['Host NQN', hostnqn]],
    said: /PSK \w+ is added/,
    shows: true,
  },
  {
    path: '/portals',
    opens: 'Add portal',
    fields: [
      ['Address', '127.0.0.9'],
      ['Port', '44209'],
    ],
    said: /Portal 127.0.0.9:44209/,
  },
];

for (const { path, opens, fields, said: words, shows } of flows) {
  test(`keyboard: '${opens}' from opening to done without a pointer`, async () => {
    const page = await at.signedIn(path);
    const { keyboard } = page;
    await page.getByRole('button', { name: opens, exact: true }).waitFor();
    await tabTo(page, opens);
    await keyboard.press('Enter');
    await dialog(page).waitFor();
    for (const [label, text] of fields) {
      await tabTo(page, label);
      await keyboard.press('Control+A');
      await keyboard.type(text);
    }
    // Enter in a field submits; a choice has to be left first.
    await keyboard.press('Tab');
    for (let presses = 0; presses < 30; presses += 1) {
      if ((await page.evaluate('document.activeElement.type')) === 'submit') break;
      await keyboard.press('Tab');
    }
    await keyboard.press('Enter');
    await said(page, words);
    if (shows === true) {
      await dialog(page).getByText('It is not shown again').waitFor();
      assert.equal(await focused(page), 'Close');
      await keyboard.press('Enter');
    }
    await dialog(page).waitFor({ state: 'detached' });
    // Who goes on is where the dialog was opened.
    assert.equal(await focused(page), opens);
  });
}
