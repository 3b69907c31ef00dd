/** The frame around each page: where one can go, who is signed in, and how it looks. */
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { reachable, rights, self, signOut } from './api.js';
import { Logo } from './logo.js';
import { Link, place } from './router.js';
import { setTheme, type Theme, theme, themes } from './theme.js';

interface Entry {
  href: string;
  name: string;
  /** Of the node: not for a tenant's token. */
  node?: boolean;
}

const groups: readonly (readonly [string, readonly Entry[]])[] = [
  ['', [{ href: '/', name: 'Overview' }]],
  [
    'Storage',
    [
      { href: '/volumes', name: 'Volumes' },
      { href: '/snapshots', name: 'Snapshots' },
      { href: '/schedules', name: 'Schedules' },
      { href: '/policies', name: 'Policies' },
      { href: '/pool', name: 'Pool and devices', node: true },
    ],
  ],
  [
    'Access',
    [
      { href: '/hosts', name: 'Hosts and paths' },
      { href: '/keys', name: 'Keys of hosts' },
      { href: '/portals', name: 'Portals' },
      { href: '/tenants', name: 'Tenants' },
      { href: '/tokens', name: 'Tokens' },
    ],
  ],
  [
    'Activity',
    [
      { href: '/jobs', name: 'Jobs' },
      { href: '/events', name: 'Events' },
    ],
  ],
];

export function Shell({ children }: { children: ComponentChildren }) {
  const [open, setOpen] = useState(false);
  return (
    <div class="shell">
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <header class="top">
        <Link href="/" class="brand">
          <Logo /> Ashlar
        </Link>
        <button
          type="button"
          class="menu"
          aria-expanded={open}
          aria-controls="nav"
          onClick={() => setOpen(!open)}
        >
          Menu
        </button>
        <Account />
      </header>
      <nav id="nav" class={open ? 'open' : ''} aria-label="Pages">
        {groups.map(([title, entries]) => (
          <Group key={title} title={title} entries={entries} onGo={() => setOpen(false)} />
        ))}
        <ul class="foot">
          <li>
            <a href="/docs">API reference</a>
          </li>
        </ul>
      </nav>
      <div class="content">
        {!reachable.value && (
          <p class="lost" role="alert">
            The daemon does not answer. What you see is what it said last; it is asked again.
          </p>
        )}
        {children}
      </div>
    </div>
  );
}

function Group({
  title,
  entries,
  onGo,
}: {
  title: string;
  entries: readonly Entry[];
  onGo: () => void;
}) {
  const here = `/${place.value.parts[0] ?? ''}`;
  const { node } = rights();
  return (
    <>
      {title !== '' && <h2>{title}</h2>}
      {/* biome-ignore lint/a11y/useKeyWithClickEvents: the links within are what is pressed. */}
      <ul onClick={onGo}>
        {entries
          .filter((entry) => node || entry.node !== true)
          .map(({ href, name }) => (
            <li key={href}>
              <Link href={href} {...(href === here ? { 'aria-current': 'page' as const } : {})}>
                {name}
              </Link>
            </li>
          ))}
      </ul>
    </>
  );
}

const themeNames: Readonly<Record<Theme, string>> = {
  system: 'System',
  light: 'Light',
  dark: 'Dark',
};

function Account() {
  const caller = self.value;
  if (caller === null || caller === 'asking') return null;
  const of = caller.tenant === null ? '' : ` of ${caller.tenant}`;
  return (
    <div class="account">
      <span class="who" title={`Signed in by ${caller.via}`}>
        {caller.name} <span class="soft">{`${caller.role}${of}`}</span>
      </span>
      <select
        aria-label="Colours"
        value={theme.value}
        onChange={(event) => {
          const wanted = event.currentTarget.value;
          setTheme(themes.find((each) => each === wanted) ?? 'system');
        }}
      >
        {themes.map((each) => (
          <option key={each} value={each}>
            {themeNames[each]}
          </option>
        ))}
      </select>
      {caller.via !== 'certificate' && (
        <button type="button" onClick={() => void signOut()}>
          Sign out
        </button>
      )}
    </div>
  );
}
