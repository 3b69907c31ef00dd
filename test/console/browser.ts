/** A real Chromium at the console of a real daemon, with a host of ours connected to it. */
import assert from 'node:assert/strict';
import axe from 'axe-core';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { connectHost, type Host } from '../../lib/host/index.js';
import { Daemon } from '../rig/daemon.js';

export const hostnqn = 'nqn.2014-08.org.nvmexpress:uuid:2f1e6ac0-7a51-4c9e-9f3a-90be5b3a7d11';
const hostid = new Uint8Array(16).fill(7);
const program = process.env['ASHLAR_CHROMIUM'] ?? 'chromium';
/** A page that waits longer than this for something does not get it. */
const timeoutMs = 10_000;

interface SignIn {
  secret: string;
  consoles: string[];
}

export interface Look {
  width?: number;
  height?: number;
  dark?: boolean;
}

/** Debian's refuses its sandbox to root, as whom the suites run in CI. */
export function openChromium(): Promise<Browser> {
  return chromium.launch({
    executablePath: program.includes('/') ? program : `/usr/bin/${program}`,
    args: ['--no-sandbox', '--disable-gpu'],
  });
}

/** Daemon and browser for a file of tests. */
export class Console implements AsyncDisposable {
  readonly daemon: Daemon;
  readonly browser: Browser;
  readonly url: string;
  readonly #hosts: Host[] = [];
  #context: BrowserContext | null = null;

  private constructor(daemon: Daemon, browser: Browser, url: string) {
    this.daemon = daemon;
    this.browser = browser;
    this.url = url;
  }

  static async open({ poolSize = '512MiB' } = {}): Promise<Console> {
    const daemon = await Daemon.start({
      poolFile: null,
      poolSize,
      demoSize: null,
      portals: 2,
      console: true,
    });
    const { consoles } = await daemon.call<SignIn>('POST', '/v1/sign-ins');
    const browser = await openChromium();
    return new Console(daemon, browser, consoles[0] ?? assert.fail('no console is served'));
  }

  /** A fresh tab that is not signed in; what its page complains of is a failure of the test. */
  async tab({ width = 1280, height = 900, dark = false }: Look = {}): Promise<Page> {
    await this.#context?.close();
    this.#context = await this.browser.newContext({
      viewport: { width, height },
      colorScheme: dark ? 'dark' : 'light',
      reducedMotion: 'reduce',
    });
    this.#context.setDefaultTimeout(timeoutMs);
    return this.#context.newPage();
  }

  /** A link as `ashlar console` prints it, or to another page. */
  async link(path = '/'): Promise<string> {
    const { secret } = await this.daemon.call<SignIn>('POST', '/v1/sign-ins');
    return `${this.url}${path}#sign-in=${secret}`;
  }

  /** A tab that is signed in by a link, at a path. */
  async signedIn(path = '/', look: Look = {}): Promise<Page> {
    const page = await this.tab(look);
    await page.goto(await this.link(path));
    await this.#answered(page);
    return page;
  }

  /** Goes to a path as Back and Forward do, and waits until what it shows is answered. */
  async show(page: Page, path: string): Promise<void> {
    await page.evaluate(
      `history.pushState(null, '', ${JSON.stringify(path)}); dispatchEvent(new Event('popstate'))`,
    );
    await this.#answered(page);
  }

  async #answered(page: Page): Promise<void> {
    await page.locator('main:not(.sign-in) h1').waitFor();
    await page.locator('.waiting').first().waitFor({ state: 'detached' });
  }

  /** Connects the host through a portal, until the end: a path of it. */
  async connect(portal: number): Promise<Host> {
    const host = await connectHost({
      address: '127.0.0.1',
      port: this.daemon.ports[portal] ?? 0,
      subnqn: await this.daemon.subnqn(),
      hostnqn,
      hostid,
      ioQueues: 2,
    });
    this.#hosts.push(host);
    return host;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#context?.close();
    await this.browser.close();
    for (const host of this.#hosts) await host[Symbol.asyncDispose]();
    await this.daemon[Symbol.asyncDispose]();
  }
}

/** What axe finds on a page, one line each. */
export async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const found = (await page.evaluate(
    'axe.run(document, { resultTypes: ["violations"] })',
  )) as axe.AxeResults;
  return found.violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary ?? ''}`),
  );
}
