/**
 * The pictures of the console in the documents, from a real run with load on its volumes:
 * node .build/test/console/pictures.js
 */
import fs from 'node:fs';
import type { Page } from 'playwright-core';
import { Console, hostnqn } from './browser.js';
import { Load } from './load.js';

const folder = 'docs/pictures';
/** So many readings are 2 s apart. */
const readings = 20;

async function fill({ daemon }: Console): Promise<void> {
  for (const name of ['web', 'db', 'mail', 'build', 'registry']) {
    await daemon.call('POST', '/v1/volumes', { name, sizeBytes: 2 ** 30, hosts: [hostnqn] });
  }
  await daemon.call('POST', '/v1/snapshots', { volumes: ['db', 'mail'], name: 'monday' });
  await daemon.call('POST', '/v1/snapshots', { volumes: ['db'], name: 'tuesday' });
  await daemon.call('POST', '/v1/clones', { source: 'db@monday', name: 'db-test' });
  await daemon.call('POST', '/v1/snapshots', { volumes: ['db-test'], name: 'before-upgrade' });
  await daemon.call('POST', '/v1/clones', {
    source: 'db-test@before-upgrade',
    name: 'db-upgraded',
  });
  await daemon.call('POST', '/v1/portals/2/ana', { state: 'non-optimized' });
}

async function readingsOf(page: Page): Promise<void> {
  await page.getByText('The newest readings as a table').click();
  const rows = page.getByRole('region', { name: 'Readings, table' }).getByRole('row');
  await rows.nth(10).waitFor({ timeout: readings * 2000 });
  await page.getByText('The newest readings as a table').click();
}

await using at = await Console.open();
await fill(at);
const [first, second] = [await at.connect(0), await at.connect(1)];
const nsidOf = async (name: string): Promise<number> => (await at.daemon.volume(name)).nsid;
await using _web = await Load.start(first, await nsidOf('web'), 3, 0.7);
await using _db = await Load.start(second, await nsidOf('db'), 2, 0.5);
fs.mkdirSync(folder, { recursive: true });
const shoot = (page: Page, name: string) => page.screenshot({ path: `${folder}/${name}.png` });
const light = await at.signedIn('/', { width: 1180, height: 760 });
await readingsOf(light);
await shoot(light, 'console-overview');
const dark = await at.signedIn('/volumes/default/db', { width: 1180, height: 760, dark: true });
await readingsOf(dark);
await shoot(dark, 'console-volume');
await at.show(dark, '/snapshots');
await dark.getByRole('button', { name: 'Snapshots of db', exact: true }).click();
await dark.getByRole('button', { name: 'Snapshots of db-test' }).first().click();
await dark.getByRole('link', { name: 'db-upgraded' }).waitFor();
await shoot(dark, 'console-snapshots');
