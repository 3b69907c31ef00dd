/** The page of whoever is not signed in. */
import { useEffect, useState } from 'preact/hooks';
import { type AshlarError, toAshlarError } from '../../errors.js';
import { signIn, signOutReason } from './api.js';
import { Logo } from './logo.js';
import { Cli, Problem } from './parts.js';

export function SignIn() {
  const [token, setToken] = useState('');
  const [error, setError] = useState<AshlarError | null>(null);
  const [asking, setAsking] = useState(false);
  useEffect(() => {
    document.title = 'Sign in · Ashlar';
  }, []);
  const submit = async (): Promise<void> => {
    setAsking(true);
    setError(null);
    try {
      await signIn(token.trim());
    } catch (thrown) {
      setError(toAshlarError(thrown));
    } finally {
      setAsking(false);
    }
  };
  return (
    <main class="sign-in">
      <form
        class="card"
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <h1>
          <Logo /> Ashlar
        </h1>
        {signOutReason.value !== null && error === null && (
          <p class="problem" role="alert">
            {signOutReason.value}
          </p>
        )}
        <div class="field">
          <label for="token">Token</label>
          <input
            id="token"
            type="password"
            autocomplete="off"
            placeholder="ashlar_…"
            value={token}
            onInput={(event) => setToken(event.currentTarget.value)}
          />
          <p class="hint">It stays in this tab, until you close it or sign out.</p>
        </div>
        <Problem error={error} />
        <button type="submit" class="primary" disabled={asking || token.trim() === ''}>
          Sign in
        </button>
        <p class="same">On the machine of the daemon you need no token. This prints a link:</p>
        <Cli line="ashlar console" />
        <p class="same">A token for somebody else:</p>
        <Cli line="ashlar token create NAME --role viewer" />
      </form>
    </main>
  );
}
