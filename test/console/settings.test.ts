/** Limits, quotas, keys, portals and schedules at the console, in a real Chromium. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Page } from 'playwright-core';
import { Console, hostnqn, violations } from './browser.js';
import { button, dialog, labelOf, said, secretOf, signIn, submit } from './steps.js';

interface Policy {
  name: string;
  iops: number | null;
  bytesPerSecond: number | null;
  burstPercent: number;
  weight: number;
  offered: boolean;
}

/** A host of tenant blue, to which nothing is granted. */
const lonely = 'nqn.2014-08.org.nvmexpress:uuid:5b0c7a52-3f0e-4a66-8d0c-1c1d7f1f1e02';

let at: Console;
before(async () => {
  at = await Console.open();
  const { daemon } = at;
  for (const name of ['web', 'db']) {
    const body = { name, sizeBytes: 2 ** 30, hosts: [hostnqn] };
    await daemon.call('POST', '/v1/volumes', body);
  }
  await daemon.call('POST', '/v1/volumes', { name: 'alone', sizeBytes: 2 ** 30 });
  await daemon.call('POST', '/v1/policies', { name: 'silver', iops: 5000, offered: true });
  await daemon.call('POST', '/v1/policies', { name: 'gold', weight: 400 });
  await daemon.call('POST', '/v1/tenants', { name: 'blue', quota: { volumes: 4 } });
  await daemon.call('POST', '/v1/volumes?tenant=blue', { name: 'azure', sizeBytes: 2 ** 30 });
  await daemon.call('POST', '/v1/hosts?tenant=blue', { nqn: lonely });
  await daemon.call('POST', '/v1/schedules', {
    name: 'nightly',
    cron: '0 2 * * *',
    timezone: 'UTC',
    volumes: ['db'],
    keep: { daily: 7 },
  });
});
after(() => at[Symbol.asyncDispose]());

const get = async <T>(path: string): Promise<T> => (await at.daemon.api<T>('GET', path)).body;
const field = (page: Page, label: string) => dialog(page).getByLabel(label, { exact: true });

test('policies: made with what a field says is wrong, changed live, deleted', async () => {
  const page = await at.signedIn('/policies');
  await button(page, 'Create policy').click();
  await field(page, 'Name').fill('bronze');
  await field(page, 'Commands (optional)').fill('1.5k');
  await field(page, 'Bytes (optional)').fill('50M');
  await field(page, 'Weight').fill('0');
  await submit(page, 'Create').click();
  await dialog(page).getByRole('alert').getByText("write '50MiB'").waitFor();
  await dialog(page).getByRole('alert').getByText('a whole number from 1 to 10000').waitFor();
  assert.equal(await page.evaluate('document.activeElement.name'), 'bytesPerSecond');
  assert.deepEqual(await violations(page), []);
  await field(page, 'Bytes (optional)').fill('50MiB');
  await field(page, 'Weight').fill('50');
  await field(page, 'As fast as, in percent').fill('300');
  await field(page, 'For so many seconds').fill('30');
  await dialog(page)
    .getByText('ashlar policy create bronze --iops 1.5k --rate 50MiB --burst 300%/30s --weight 50')
    .waitFor();
  await submit(page, 'Create').click();
  await said(page, /Policy 'bronze' created/);
  const made = await get<Policy>('/v1/policies/bronze');
  assert.deepEqual(
    [made.iops, made.bytesPerSecond, made.burstPercent, made.weight, made.offered],
    [1500, 50 * 2 ** 20, 300, 50, false],
  );
  await page.getByRole('row', { name: /bronze.*1,500 commands\/s.*300 % for 30 s/ }).waitFor();
  await button(page, 'Change policy bronze').click();
  await field(page, 'Commands (optional)').fill('');
  await dialog(page).getByText('ashlar policy set bronze --iops none').waitFor();
  await submit(page, 'Change').click();
  await said(page, /'bronze' is changed/);
  assert.equal((await get<Policy>('/v1/policies/bronze')).iops, null);
  await button(page, 'Delete policy bronze').click();
  await submit(page, 'Delete').click();
  await page.getByRole('row', { name: /bronze/ }).waitFor({ state: 'detached' });
});

test('policies: changed by somebody else meanwhile: told, loaded, what was typed stays', async () => {
  const page = await at.signedIn('/policies');
  await button(page, 'Change policy gold').click();
  await field(page, 'Bytes (optional)').fill('100MiB');
  await at.daemon.call('PATCH', '/v1/policies/gold', { weight: 500 });
  await submit(page, 'Change').click();
  await dialog(page).getByText('Somebody else has changed it').waitFor();
  assert.deepEqual(await violations(page), []);
  assert.equal((await get<Policy>('/v1/policies/gold')).bytesPerSecond, null);
  await dialog(page).getByRole('button', { name: 'Load what it is now' }).click();
  await dialog(page).getByText('Weight: ‘400’ is ‘500’ now').waitFor();
  assert.equal(await field(page, 'Bytes (optional)').inputValue(), '100MiB');
  await submit(page, 'Change').click();
  await said(page, /'gold' is changed/);
  const { weight, bytesPerSecond } = await get<Policy>('/v1/policies/gold');
  assert.deepEqual([weight, bytesPerSecond], [500, 100 * 2 ** 20]);
});

test('policies: one that is gone when its dialog opens is told of', async () => {
  await at.daemon.call('POST', '/v1/policies', { name: 'brief' });
  const page = await at.signedIn('/policies');
  await button(page, 'Change policy brief').waitFor();
  await page.route('**/v1/policies?*', (route) => route.abort());
  await at.daemon.call('DELETE', '/v1/policies/brief');
  await button(page, 'Change policy brief').click();
  await dialog(page).getByText('This cannot be done now').waitFor();
  await dialog(page).getByRole('alert').getByText('not-found').waitFor();
  await page.unroute('**/v1/policies?*');
});

test('a volume: given a policy, limits of its own, and what the daemon refuses at a field', async () => {
  const page = await at.signedIn('/volumes/default/web');
  const limits = page.getByRole('region', { name: 'Limits' });
  await limits.getByRole('button', { name: 'Policy' }).click();
  await field(page, 'Policy').selectOption('silver');
  await dialog(page).getByText('ashlar volume limit web --policy silver').waitFor();
  await submit(page, 'Give it').click();
  await limits.getByText('5,000 commands/s').waitFor();
  await limits.getByRole('button', { name: 'Own limits' }).click();
  await field(page, 'Writes (optional)').fill('700');
  await submit(page, 'Set').click();
  await said(page, /limits of its own, in policy 'web'/);
  await limits.getByText('700 writes/s').waitFor();
  assert.equal((await get<{ policy: string }>('/v1/volumes/web')).policy, 'web');
  // From now on that policy is the volume's, and is changed.
  await limits.getByRole('button', { name: 'Own limits' }).click();
  await dialog(page).getByRole('heading', { name: "Limits of 'web', policy 'web'" }).waitFor();
  // What this page takes and the daemon does not is told where it was written.
  await page.route('**/v1/policies/web', (route) =>
    route.fulfill({
      status: 400,
      contentType: 'application/problem+json',
      body: JSON.stringify({
        code: 'invalid-argument',
        detail: "body: 'weight' must be odd",
        errors: [{ pointer: '#/weight', detail: 'must be odd' }],
      }),
    }),
  );
  await submit(page, 'Change').click();
  await dialog(page).getByText('It must be odd.').waitFor();
  assert.equal(await field(page, 'Weight').getAttribute('aria-invalid'), 'true');
  await page.unroute('**/v1/policies/web');
});

test('a volume: its conditions with their next steps, and the mark in the list', async () => {
  const page = await at.signedIn('/volumes');
  await page.getByRole('row', { name: /alone.*not granted/ }).waitFor();
  await page.getByRole('link', { name: 'alone', exact: true }).click();
  await page.getByText('needs a look').waitFor();
  const conditions = page.getByRole('region', { name: 'Conditions' });
  await conditions.getByText('it is granted to no host, so none sees it.').waitFor();
  await conditions.getByText('ashlar grant add alone HOSTNQN').waitFor();
  await button(page, 'Grant').click();
  await field(page, 'Host NQN').fill(hostnqn);
  await submit(page, 'Grant').click();
  await page.getByText('healthy').waitFor();
});

const conditionsOf = (page: Page) => page.getByRole('region', { name: 'Conditions' });

/** Severities as they stand, beside their marks. */
async function severitiesOf(page: Page): Promise<string[]> {
  const badges = conditionsOf(page).getByRole('listitem').locator('.badge');
  return (await badges.allInnerTexts()).map((text) => text.replace(/\W/g, ''));
}

test('a host: its conditions, the worst first, with their next steps', async () => {
  const page = await at.signedIn('/hosts');
  await page.getByRole('link', { name: lonely }).click();
  await page.getByText('needs a look').waitFor();
  await conditionsOf(page).getByText('nothing is granted to it').waitFor();
  await conditionsOf(page).getByText(`ashlar grant add VOLUME ${lonely}`).waitFor();
  await conditionsOf(page).getByText(`ashlar explain host ${lonely} --tenant blue`).waitFor();
  assert.deepEqual(await severitiesOf(page), ['warning', 'info']);
  assert.deepEqual(await violations(page), []);
});

test('a tenant: its conditions, the worst first, and the way to its volumes and hosts', async () => {
  const page = await at.signedIn('/tenants');
  await page.getByRole('link', { name: 'blue', exact: true }).click();
  await page.getByRole('heading', { level: 1, name: 'Tenant blue' }).waitFor();
  await page.getByText('needs a look').waitFor();
  await conditionsOf(page).getByText('granted to no host, so none').waitFor();
  await conditionsOf(page).getByText('ashlar explain tenant blue').waitFor();
  assert.deepEqual(await severitiesOf(page), ['warning', 'info']);
  await page.getByRole('link', { name: '1 host', exact: true }).click();
  await page.getByRole('link', { name: lonely }).waitFor();
});

test('the pool: nearly full: said with what to do, until it is not', async () => {
  const page = await at.signedIn('/pool');
  await conditionsOf(page).getByText('healthy').waitFor();
  await conditionsOf(page).getByText('its volumes may grow to').waitFor();
  const body = { name: 'greedy', sizeBytes: 470 * 2 ** 20, reserved: true };
  await at.daemon.call('POST', '/v1/volumes', body);
  await conditionsOf(page).getByText('needs a look').waitFor();
  await conditionsOf(page).getByText('ashlar pool device add PATH').waitFor();
  assert.deepEqual(await severitiesOf(page), ['warning', 'info']);
  assert.deepEqual(await violations(page), []);
  await at.daemon.call('DELETE', '/v1/volumes/greedy');
  await conditionsOf(page).getByText('needs a look').waitFor({ state: 'detached' });
});

test('tenants: use beside the quota, changed, with a policy', async () => {
  const page = await at.signedIn('/tenants');
  await page.getByRole('row', { name: /blue.*1 of 4/ }).waitFor();
  await button(page, 'Change tenant blue').click();
  await dialog(page).getByText('It has 1 GiB.').waitFor();
  await field(page, 'Capacity (optional)').fill('2GiB');
  await field(page, 'Commands a second (optional)').fill('8k');
  await field(page, 'Policy').selectOption('gold');
  await dialog(page)
    .getByText('ashlar tenant set blue --capacity 2GiB --iops 8k --policy gold')
    .waitFor();
  await submit(page, 'Change').click();
  await page.getByRole('row', { name: /blue.*1 GiB of 2 GiB.*8,000 commands\/s/ }).waitFor();
  const { quota, policy } = await get<{ quota: object; policy: string }>('/v1/tenants/blue');
  assert.deepEqual(quota, {
    capacityBytes: 2 * 2 ** 30,
    volumes: 4,
    snapshots: null,
    iops: 8000,
    bytesPerSecond: null,
  });
  assert.equal(policy, 'gold');
});

test('schedules: looked at, run, changed', async () => {
  const page = await at.signedIn('/schedules');
  await page.getByRole('row', { name: /nightly.*none yet/ }).waitFor();
  await button(page, 'Run now: nightly').click();
  await submit(page, 'Run').click();
  await said(page, /Taken: db@nightly/);
  await button(page, 'Change schedule nightly').click();
  assert.equal(await field(page, 'Volumes').inputValue(), 'db');
  await field(page, 'When').fill('30 4 * *');
  await field(page, 'Time zone').fill('Mars/Olympus');
  await submit(page, 'Change').click();
  await dialog(page).getByRole('alert').getByText('Give five fields').waitFor();
  await dialog(page).getByRole('alert').getByText('Give an IANA name').waitFor();
  await field(page, 'When').fill('30 4 * * *');
  await field(page, 'Time zone').fill('Europe/Berlin');
  await field(page, 'Volumes').fill('db\nweb');
  await field(page, 'Weeks (optional)').fill('8');
  await submit(page, 'Change').click();
  await said(page, /'nightly' is changed/);
  const { cron, timezone, volumes, keep } =
    await get<Record<string, unknown>>('/v1/schedules/nightly');
  assert.deepEqual([cron, timezone, volumes], ['30 4 * * *', 'Europe/Berlin', ['db', 'web']]);
  assert.deepEqual(keep, { last: 0, hourly: 0, daily: 7, weekly: 8, monthly: 0 });
});

test('keys: made and shown once, rotated, deleted; likewise PSKs', async () => {
  const page = await at.signedIn('/keys');
  await button(page, 'Generate a key').click();
  await field(page, 'Host NQN').fill('web.example');
  await submit(page, 'Set the key').click();
  await dialog(page).getByRole('alert').getByText('Give an NQN').waitFor();
  await field(page, 'Host NQN').fill(hostnqn);
  await submit(page, 'Set the key').click();
  await dialog(page).getByText('It is not shown again').waitFor();
  assert.match(await dialog(page).locator('.cli code').innerText(), /^DHHC-1:01:/);
  assert.deepEqual(await violations(page), []);
  await submit(page, 'Close').click();
  await page.getByRole('button', { name: /^New key beside / }).click();
  await field(page, 'Hash of a new one').selectOption('sha384');
  await submit(page, 'Set the key').click();
  await dialog(page).getByText('It is not shown again').waitFor();
  await submit(page, 'Close').click();
  const deletes = page.getByRole('button', { name: /^Delete key / });
  await deletes.nth(1).waitFor();
  await deletes.nth(1).click();
  await submit(page, 'Delete').click();
  await deletes.nth(1).waitFor({ state: 'detached' });
  const keys = await get<{ items: { hash: string }[] }>('/v1/host-keys');
  assert.deepEqual(
    keys.items.map(({ hash }) => hash),
    ['sha384'],
  );
  await button(page, 'Generate a PSK').click();
  await field(page, 'Host NQN').fill(hostnqn);
  await submit(page, 'Add the PSK').click();
  await dialog(page).getByText('It is not shown again').waitFor();
  assert.match(await dialog(page).locator('.cli code').innerText(), /^NVMeTLSkey-1:01:/);
  await submit(page, 'Close').click();
  await at.show(page, `/hosts/default/${encodeURIComponent(hostnqn)}`);
  await page.getByRole('button', { name: /^Delete PSK / }).click();
  await submit(page, 'Delete').click();
  await page.getByText('It has none.').waitFor();
});

test('portals: added, its ANA state set, drained, deleted; a configured one stays', async () => {
  const page = await at.signedIn('/portals');
  await button(page, 'Add portal').click();
  await field(page, 'Address').fill('here');
  await submit(page, 'Add').click();
  await dialog(page).getByRole('alert').getByText('Give an IP address').waitFor();
  await field(page, 'Address').fill('127.0.0.1');
  await field(page, 'Port (optional)').fill('70000');
  await submit(page, 'Add').click();
  await dialog(page).getByRole('alert').getByText('from 1 to 65535').waitFor();
  const port = String(await freePort());
  await field(page, 'Port (optional)').fill(port);
  await dialog(page).getByText(`ashlar portal add 127.0.0.1:${port}`).waitFor();
  await submit(page, 'Add').click();
  await page.getByRole('row', { name: new RegExp(`127.0.0.1:${port}.*listens`) }).waitFor();
  await button(page, `Set the state of group 1 through 127.0.0.1:${port}`).click();
  await field(page, 'State').selectOption('inaccessible');
  await submit(page, 'Set').click();
  await page.getByText('group 1: inaccessible').waitFor();
  const configured = `Delete portal 127.0.0.1:${at.daemon.ports[0]}`;
  assert.equal(await button(page, configured).count(), 0);
  await button(page, `Delete portal 127.0.0.1:${port}`).click();
  await submit(page, 'Delete').click();
  await said(page, new RegExp(`127.0.0.1:${port} is deleted`));
  const { items } = await get<{ items: { port: number }[] }>('/v1/portals');
  assert.equal(
    items.some((each) => String(each.port) === port),
    false,
  );
});

/** One that nobody listens on, a moment ago. */
async function freePort(): Promise<number> {
  const { createServer } = await import('node:net');
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

const pathsOf = (tenant: string | null): string[] => [
  '/',
  '/volumes',
  ...(tenant === null ? ['/volumes/default/web', '/pool'] : [`/volumes/${tenant}/azure`]),
  '/snapshots',
  '/schedules',
  '/policies',
  '/hosts',
  tenant === null
    ? `/hosts/default/${encodeURIComponent(hostnqn)}`
    : `/hosts/${tenant}/${encodeURIComponent(lonely)}`,
  '/keys',
  '/portals',
  '/jobs',
  '/events',
  '/tenants',
  `/tenants/${tenant ?? 'default'}`,
  '/tokens',
];

for (const [role, tenant] of [
  ['viewer', null],
  ['viewer', 'blue'],
  ['tenant-admin', 'blue'],
] as const) {
  const whose = tenant === null ? 'the node' : `tenant ${tenant}`;
  test(`roles: a ${role} of ${whose} is offered nothing that is refused`, async () => {
    const page = await at.tab();
    const forbidden: string[] = [];
    page.on('response', (response) => {
      if (response.status() === 403) forbidden.push(response.url());
    });
    await signIn(page, at, await secretOf(at, role, tenant));
    await page.locator('main:not(.sign-in) h1').waitFor();
    const offered: string[] = [];
    for (const path of pathsOf(tenant)) {
      await at.show(page, path);
      // A tenant's first page is that of the tenant.
      if (/^\/(volumes|hosts|tenants)\/|^\/pool/.test(path) || (path === '/' && tenant !== null)) {
        await conditionsOf(page).getByText('The same with the command line').waitFor();
        await page
          .getByText(/healthy|needs a look/)
          .first()
          .waitFor();
      }
      const buttons = page.locator('main button[aria-haspopup=dialog]');
      for (const each of await buttons.all()) {
        offered.push(`${path}: ${await labelOf(each)}`);
        await each.click();
        await dialog(page).waitFor();
        await page.keyboard.press('Escape');
        await dialog(page).waitFor({ state: 'detached' });
      }
    }
    assert.deepEqual(forbidden, []);
    if (role === 'viewer') assert.deepEqual(offered, []);
    else assert.ok(offered.length > 15, offered.join(', '));
    const ofNode = / polic(y|ies)|portal|^(Create|Change|Delete) tenant|Drain|Set the|Own limits/;
    assert.deepEqual(
      offered.filter((each) => ofNode.test(each.split(': ')[1] ?? '')),
      [],
    );
  });
}
