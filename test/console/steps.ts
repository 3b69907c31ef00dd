/** What the tests of the console do again and again. */
import type { Locator, Page } from 'playwright-core';
import type { Console } from './browser.js';

export const dialog = (page: Page) => page.getByRole('dialog');
export const button = (page: Page, name: string) => page.getByRole('button', { name, exact: true });
export const submit = (page: Page, name: string) =>
  dialog(page).getByRole('button', { name, exact: true });
export const said = (page: Page, words: RegExp) =>
  page.locator('.notices').getByText(words).first().waitFor();

/** What a button says, to ears first. */
export const labelOf = async (button: Locator): Promise<string> =>
  (await button.getAttribute('aria-label')) ?? (await button.textContent()) ?? '';

/** The secret of a new token. @param tenant null: of the node. */
export async function secretOf(
  { daemon }: Console,
  role: string,
  tenant: string | null = null,
): Promise<string> {
  const query = tenant === null ? '' : `?tenant=${tenant}`;
  const name = `t-${role}-${tenant ?? 'node'}`;
  const made = await daemon.call<{ secret: string }>('POST', `/v1/tokens${query}`, { name, role });
  return made.secret;
}

export async function signIn(page: Page, { url }: Console, secret: string): Promise<void> {
  await page.goto(url);
  await page.getByLabel('Token').fill(secret);
  await button(page, 'Sign in').click();
}
