/** What people do at the console, in a real Chromium against a real daemon. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Host } from '../../lib/host/index.js';
import { Console, hostnqn, violations } from './browser.js';
import { Load } from './load.js';
import { button, dialog, said, secretOf, signIn, submit } from './steps.js';

interface Volume {
  name: string;
  sizeBytes: number;
  grants: { host: string }[];
}

let at: Console;
let host: Host;
before(async () => {
  at = await Console.open();
  const { daemon } = at;
  for (const name of ['web', 'db', 'mail']) {
    const body = { name, sizeBytes: 2 ** 30, hosts: [hostnqn] };
    await daemon.call('POST', '/v1/volumes', body);
  }
  await daemon.call('POST', '/v1/snapshots', { volumes: ['db', 'mail'], name: 'monday' });
  await daemon.call('POST', '/v1/clones', { source: 'db@monday', name: 'db-test' });
  await daemon.call('POST', '/v1/snapshots', { volumes: ['db-test'], name: 'before' });
  await daemon.call('POST', '/v1/schedules', {
    name: 'nightly',
    cron: '0 2 * * *',
    volumes: ['db'],
    keep: { daily: 7 },
  });
  await daemon.call('POST', '/v1/tenants', { name: 'blue' });
  await daemon.call('POST', '/v1/portals/2/ana', { state: 'non-optimized' });
  host = await at.connect(0);
  await at.connect(1);
});
after(() => at[Symbol.asyncDispose]());

const volume = (name: string) => at.daemon.api<Volume>('GET', `/v1/volumes/${name}`);

test('sign-in: a link signs in once, leaves the address, and ends with Sign out', async () => {
  const link = await at.link();
  const page = await at.tab();
  await page.goto(link);
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
  assert.equal(page.url(), `${at.url}/`);
  await button(page, 'Sign out').click();
  await page.getByRole('heading', { name: 'Ashlar' }).waitFor();
  assert.equal(await page.evaluate('sessionStorage.length'), 0);
  await page.goto('about:blank');
  await page.goto(link);
  await page.getByRole('alert').getByText('used already').waitFor();
  assert.deepEqual(await violations(page), []);
});

test('sign-in: a wrong token is told why; a right one sees what its role may', async () => {
  const page = await at.tab();
  await signIn(page, at, 'ashlar_wrong');
  await page.getByRole('alert').getByText('this token is not known').waitFor();
  await page.getByLabel('Token').fill(await secretOf(at, 'viewer'));
  await button(page, 'Sign in').click();
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
  await page.getByRole('navigation', { name: 'Pages' }).getByText('Volumes').click();
  await page.getByRole('rowheader', { name: 'web', exact: true }).waitFor();
  assert.equal(await button(page, 'Create volume').count(), 0);
  await page.getByRole('link', { name: 'web', exact: true }).click();
  await page.getByRole('heading', { level: 1, name: 'web' }).waitFor();
  assert.equal(await button(page, 'Delete').count(), 0);
});

test("sign-in: a tenant's admin sees and makes what is the tenant's", async () => {
  const page = await at.tab();
  await signIn(page, at, await secretOf(at, 'tenant-admin', 'blue'));
  await page.getByRole('heading', { name: 'Tenant blue' }).waitFor();
  const pages = page.getByRole('navigation', { name: 'Pages' });
  assert.equal(await pages.getByText('Pool and devices').count(), 0);
  await pages.getByText('Volumes').click();
  await page.getByText('No volumes yet.').waitFor();
  await button(page, 'Create volume').click();
  await dialog(page).getByLabel('Name').fill('azure');
  await dialog(page).getByLabel('Size', { exact: true }).fill('1GiB');
  await dialog(page).getByText('ashlar volume create azure --size 1GiB --tenant blue').waitFor();
  await submit(page, 'Create').click();
  await page.getByRole('heading', { level: 1, name: 'azure' }).waitFor();
  assert.equal((await at.daemon.api('GET', '/v1/volumes/azure?tenant=blue')).status, 200);
});

test('volumes: create, resize, grant, rename, delete, each as the API has it', async () => {
  const page = await at.signedIn('/volumes');
  await button(page, 'Create volume').click();
  await dialog(page).getByLabel('Name').fill('new');
  await dialog(page).getByLabel('Size', { exact: true }).fill('10G');
  await submit(page, 'Create').click();
  await dialog(page).getByRole('alert').getByText("write '10GiB'").waitFor();
  await dialog(page).getByLabel('Size', { exact: true }).fill('1GiB');
  await submit(page, 'Create').click();
  await said(page, /Volume 'new' of 1 GiB created/);
  await button(page, 'Resize').click();
  await dialog(page).getByLabel('New size').fill('3GiB');
  await submit(page, 'Resize').click();
  await said(page, /has 3 GiB now/);
  assert.equal((await volume('new')).body.sizeBytes, 3 * 2 ** 30);
  await button(page, 'Grant').click();
  await dialog(page).getByLabel('Host NQN').fill(hostnqn);
  await submit(page, 'Grant').click();
  await page.getByRole('rowheader', { name: hostnqn }).waitFor();
  assert.equal((await volume('new')).body.grants[0]?.host, hostnqn);
  await button(page, `Revoke the grant of ${hostnqn}`).click();
  await submit(page, 'Take it away').click();
  await page.getByText('No host may use it yet.').waitFor();
  await button(page, 'Rename').click();
  await dialog(page).getByLabel('New name').fill('newer');
  await submit(page, 'Rename').click();
  await page.getByRole('heading', { level: 1, name: 'newer' }).waitFor();
  await button(page, 'Delete').click();
  await dialog(page).getByText('of data are lost').waitFor();
  assert.equal(await submit(page, 'Delete for good').isDisabled(), true);
  await dialog(page).getByLabel('Type newer to confirm').fill('newer');
  await submit(page, 'Delete for good').click();
  await page.getByRole('heading', { level: 1, name: 'Volumes' }).waitFor();
  assert.equal((await volume('newer')).status, 404);
});

test('volumes: what the daemon refuses is said in the dialog, which stays', async () => {
  const page = await at.signedIn('/volumes/default/web');
  await button(page, 'Delete').click();
  await dialog(page).getByLabel('Type web to confirm').fill('web');
  await submit(page, 'Delete for good').click();
  await dialog(page).getByRole('alert').getByText('busy').waitFor();
  await dialog(page).getByLabel('Although 2 controllers of hosts have it').waitFor();
  await submit(page, 'Cancel').click();
  await dialog(page).waitFor({ state: 'detached' });
  assert.equal((await volume('web')).status, 200);
});

test('snapshots: taken, cloned, shown as a tree, rolled back to, deleted', async () => {
  const page = await at.signedIn('/volumes/default/db-test');
  await button(page, 'Snapshot').click();
  await dialog(page).getByLabel('Name of the snapshot').fill('after');
  await dialog(page).getByText('ashlar snapshot create db-test@after').waitFor();
  await submit(page, 'Take it').click();
  await said(page, /Taken: db-test@after/);
  await button(page, 'Clone db-test@after').click();
  await dialog(page).getByLabel('Name of the new volume').fill('db-copy');
  await submit(page, 'Clone').click();
  await page.getByRole('heading', { level: 1, name: 'db-copy' }).waitFor();
  await at.show(page, '/snapshots');
  await button(page, 'Snapshots of db').click();
  const tree = page.getByRole('list', { name: 'Snapshots and clones of db', exact: true });
  await tree.getByText('monday').waitFor();
  await tree.getByRole('button', { name: 'Snapshots of db-test' }).click();
  const inner = page.getByRole('list', { name: 'Snapshots and clones of db-test' });
  await inner.getByRole('link', { name: 'db-copy' }).waitFor();
  await inner.getByRole('button', { name: 'Roll back to db-test@before' }).click();
  await dialog(page).getByText("Everything written to 'db-test' since then is lost").waitFor();
  await dialog(page).getByLabel('Type db-test to confirm').fill('db-test');
  await submit(page, 'Roll back').click();
  await said(page, /'db-test' is as it was at 'before'/);
  await inner.getByRole('button', { name: 'Delete db-test@after' }).click();
  await dialog(page).getByLabel('Type db-test@after to confirm').fill('db-test@after');
  await submit(page, 'Delete for good').click();
  await said(page, /Snapshot 'db-test@after' deleted/);
  await inner.getByText('after').waitFor({ state: 'detached' });
});

test('snapshots: those of a deleted volume are still found', async () => {
  const { daemon } = at;
  await daemon.call('POST', '/v1/volumes', { name: 'old', sizeBytes: 2 ** 20 });
  await daemon.call('POST', '/v1/snapshots', { volumes: ['old'], name: 'last' });
  await daemon.call('DELETE', '/v1/volumes/old');
  const page = await at.signedIn('/snapshots');
  await button(page, 'Snapshots of old, deleted').click();
  await button(page, 'Clone old@last').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Roll back to old@last' }).count(), 0);
});

test('hosts: each path with its portal and ANA state; a drained portal shows at once', async () => {
  const page = await at.signedIn('/hosts');
  await page.getByRole('link', { name: hostnqn }).first().click();
  const paths = page.getByRole('region', { name: 'Paths', exact: true }).getByRole('table');
  await paths.getByText('group 1: optimized').waitFor();
  await paths.getByText('group 1: non-optimized').waitFor();
  assert.equal(await paths.getByRole('row').count(), 3);
  await at.show(page, '/portals');
  await button(page, `Drain 127.0.0.1:${at.daemon.ports[1]}`).click();
  await submit(page, 'Drain').click();
  await page.getByText('drained: inaccessible').waitFor();
  await button(page, `Resume 127.0.0.1:${at.daemon.ports[1]}`).click();
  await submit(page, 'Resume').click();
  await page.getByText('drained: inaccessible').waitFor({ state: 'detached' });
});

test('charts: what a host does with a volume shows, of it and of the node', async () => {
  const { nsid } = await at.daemon.volume('web');
  await using _load = await Load.start(host, nsid, 4, 0.7);
  const page = await at.signedIn('/volumes/default/web');
  const chart = page.getByRole('img', {
    name: /^Commands a second: Reads [1-9].*, Writes [1-9]/,
  });
  await chart.waitFor();
  await page.getByRole('img', { name: /^Throughput: Read [1-9].*iB\/s/ }).waitFor();
  await page.getByRole('img', { name: /^Latency: Reads, half below [\d.]+ [µm]s/ }).waitFor();
  await page.getByText('The newest readings as a table').click();
  await page.getByRole('region', { name: 'Readings, table' }).getByRole('row').nth(1).waitFor();
  assert.deepEqual(await violations(page), []);
  await at.show(page, '/');
  await chart.waitFor();
});

test('jobs: a check of the pool is started, and seen to its end', async () => {
  const page = await at.signedIn('/pool');
  await button(page, 'Check').click();
  await submit(page, 'Check').click();
  await said(page, /The check of 'memory' has begun/);
  await page.getByRole('link', { name: 'Jobs' }).click();
  await page
    .getByRole('row', { name: /check.*succeeded clean/i })
    .first()
    .waitFor();
});

test('events: the newest first, by severity', async () => {
  const page = await at.signedIn('/events');
  await page.getByText("volume 'old' deleted").waitFor();
  await page.getByLabel('Severity').selectOption('error');
  await page.getByText('No events.').waitFor();
  assert.match(page.url(), /severity=error/);
});

test('tokens: a secret is shown once, and signs in', async () => {
  const page = await at.signedIn('/tokens');
  await button(page, 'Create token').click();
  await dialog(page).getByLabel('Name').fill('grafana');
  await submit(page, 'Create').click();
  await dialog(page).getByText('It is not shown again').waitFor();
  const secret = await dialog(page).locator('code').innerText();
  await submit(page, 'Close').click();
  await button(page, 'Rotate grafana').waitFor();
  await button(page, 'Sign out').click();
  await signIn(page, at, secret);
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
});

test('schedules and tenants: made and deleted', async () => {
  const page = await at.signedIn('/schedules');
  await button(page, 'Create schedule').click();
  await dialog(page).getByLabel('Name').fill('hourly');
  await dialog(page).getByLabel('When').fill('@hourly');
  await dialog(page).getByLabel('Volumes').fill('web\nmail');
  await submit(page, 'Create').click();
  await said(page, /Schedule 'hourly' created/);
  await button(page, 'Switch hourly off').click();
  await submit(page, 'Switch off').click();
  await page.getByRole('row', { name: /hourly.*disabled/ }).waitFor();
  await at.show(page, '/tenants');
  await button(page, 'Create tenant').click();
  await dialog(page).getByLabel('Name').fill('green');
  await dialog(page).getByLabel('Capacity').fill('1TiB');
  await submit(page, 'Create').click();
  await page.getByRole('row', { name: /green.*1 TiB/ }).waitFor();
  await button(page, 'Delete tenant green').click();
  await dialog(page).getByLabel('Type green to confirm').fill('green');
  await submit(page, 'Delete for good').click();
  await said(page, /Tenant 'green' deleted/);
});

test('keyboard: from the link to a created and deleted volume without a pointer', async () => {
  const page = await at.signedIn('/');
  const { keyboard } = page;
  const focused = () => page.evaluate('document.activeElement.textContent.trim()');
  const tabTo = async (name: string): Promise<void> => {
    for (let presses = 0; presses < 60; presses += 1) {
      await keyboard.press('Tab');
      if ((await focused()) === name) return;
    }
    assert.fail(`Tab never came to '${name}'`);
  };
  await keyboard.press('Tab');
  assert.equal(await focused(), 'Skip to the content');
  await tabTo('Volumes');
  await keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: 'Volumes' }).waitFor();
  // The new page's title has the focus, so that Tab goes on in its content.
  await page.locator('h1:focus').waitFor();
  await page.getByRole('rowheader', { name: 'web', exact: true }).waitFor();
  await keyboard.press('/');
  await keyboard.type('we');
  await page.getByText('1–1 of 1 volumes').waitFor();
  await keyboard.press('Shift+Tab');
  assert.equal(await focused(), 'Create volume');
  await keyboard.press('Enter');
  await dialog(page).waitFor();
  await keyboard.type('keys');
  await keyboard.press('Tab');
  await keyboard.type('1GiB');
  await keyboard.press('Enter');
  await page.locator('h1:focus').getByText('keys').waitFor();
  await tabTo('Delete');
  await keyboard.press('Space');
  await dialog(page).waitFor();
  await keyboard.press('Escape');
  await dialog(page).waitFor({ state: 'detached' });
  assert.equal(await focused(), 'Delete');
  await keyboard.press('Space');
  await dialog(page).waitFor();
  await keyboard.type('keys');
  await keyboard.press('Enter');
  await said(page, /Volume 'keys' deleted/);
});

test('a daemon that goes away is told of, and the page goes on when it is back', async () => {
  const page = await at.signedIn('/volumes');
  await page.route('**/v1/**', (route) => route.abort());
  await page.getByText('What you see is what it said last').waitFor();
  await page.getByRole('rowheader', { name: 'web', exact: true }).waitFor();
  await page.unroute('**/v1/**');
  await page.getByText('What you see is what it said last').waitFor({ state: 'detached' });
});

const paths = [
  '/',
  '/volumes',
  '/volumes/default/db',
  '/snapshots',
  '/schedules',
  '/policies',
  `/hosts`,
  `/hosts/default/${encodeURIComponent(hostnqn)}`,
  '/keys',
  '/portals',
  '/pool',
  '/jobs',
  '/events',
  '/tenants',
  '/tenants/blue',
  '/tokens',
  '/volumes/none/such/page',
];

for (const dark of [false, true]) {
  test(`axe: nothing on any page or dialog, ${dark ? 'dark' : 'light'}`, async () => {
    const page = await at.signedIn('/', { dark });
    const found: string[] = [];
    for (const path of paths) {
      await at.show(page, path);
      found.push(...(await violations(page)).map((each) => `${path}: ${each}`));
    }
    await at.show(page, '/volumes/default/db');
    for (const name of ['Snapshot', 'Clone', 'Resize', 'Grant', 'Rename', 'Reserve', 'Delete']) {
      await button(page, name).click();
      await dialog(page).waitFor();
      found.push(...(await violations(page)).map((each) => `${name}: ${each}`));
      await page.keyboard.press('Escape');
      await dialog(page).waitFor({ state: 'detached' });
    }
    assert.deepEqual(found, []);
  });
}

test('narrow: every page fits a telephone, and the menu leads to the others', async () => {
  const page = await at.signedIn('/', { width: 390, height: 800 });
  const wide: string[] = [];
  for (const path of paths) {
    await at.show(page, path);
    const width = Number(await page.evaluate('document.documentElement.scrollWidth'));
    if (width > 390) wide.push(`${path}: ${width}`);
  }
  assert.deepEqual(wide, []);
  await button(page, 'Menu').click();
  await page.getByRole('link', { name: 'Events' }).click();
  await page.getByRole('heading', { level: 1, name: 'Events' }).waitFor();
  assert.equal(await page.getByRole('link', { name: 'Events' }).isVisible(), false);
});
