/** Light, dark, or as the system has it; kept in this browser. */
import { signal } from '@preact/signals';

const storageKey = 'ashlar-theme';
export const themes = ['system', 'light', 'dark'] as const;
export type Theme = (typeof themes)[number];

const isTheme = (word: string | null): word is Theme => themes.some((each) => each === word);

const kept = localStorage.getItem(storageKey);
export const theme = signal<Theme>(isTheme(kept) ? kept : 'system');

/** Whether dark is what is seen now. */
export const dark = signal(false);

const system = matchMedia('(prefers-color-scheme: dark)');

function apply(): void {
  if (theme.value === 'system') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = theme.value;
  dark.value = theme.value === 'dark' || (theme.value === 'system' && system.matches);
}

export function setTheme(next: Theme): void {
  theme.value = next;
  localStorage.setItem(storageKey, next);
  apply();
}

system.addEventListener('change', apply);
apply();
