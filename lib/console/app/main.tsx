/** The console: signs in, then shows the page that the address names. */
import { render } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { resume, self, signInByLink, signOutReason } from './api.js';
import { Notices } from './notices.js';
import { pageOf } from './pages.js';
import { place } from './router.js';
import { Shell } from './shell.js';
import { SignIn } from './sign_in.js';
import './style.css';
import './parts.css';
import { TaskDialog } from './task.js';
import './theme.js';

function App() {
  const caller = self.value;
  if (caller === 'asking') return null;
  return (
    <>
      {caller === null ? <SignIn /> : <Signed />}
      <Notices />
    </>
  );
}

function Signed() {
  const main = useRef<HTMLElement>(null);
  const { parts } = place.value;
  const path = parts.join('/');
  const before = useRef(path);
  // Who follows a link with the keyboard or hears the page goes on at the new page's title.
  useEffect(() => {
    if (before.current === path) return;
    before.current = path;
    scrollTo(0, 0);
    main.current?.querySelector<HTMLElement>('h1')?.focus({ preventScroll: true });
  }, [path]);
  return (
    <>
      <Shell>
        <main id="main" ref={main} tabIndex={-1} key={path}>
          {pageOf(parts)}
        </main>
      </Shell>
      <TaskDialog />
    </>
  );
}

/** A link of `ashlar console` has its secret in the fragment, which goes out of the address. */
async function start(): Promise<void> {
  const secret = /^#sign-in=([\w-]+)$/.exec(location.hash)?.[1];
  if (secret !== undefined) {
    history.replaceState(null, '', location.pathname + location.search);
    try {
      await signInByLink(secret);
      return;
    } catch (thrown) {
      await resume();
      if (self.value === null) {
        signOutReason.value = thrown instanceof Error ? thrown.message : String(thrown);
      }
      return;
    }
  }
  await resume();
}

addEventListener('hashchange', () => {
  if (location.hash.startsWith('#sign-in=')) void start();
});
const root = document.getElementById('app');
if (root !== null) render(<App />, root);
void start();
