/** What was done is said for a while, and to screen readers at once. */
import { signal } from '@preact/signals';

interface Notice {
  id: number;
  text: string;
}

const shownMs = 6000;
const notices = signal<readonly Notice[]>([]);
let last = 0;

export function notify(text: string): void {
  last += 1;
  const notice = { id: last, text };
  notices.value = [...notices.value, notice].slice(-3);
  setTimeout(() => {
    notices.value = notices.value.filter((each) => each !== notice);
  }, shownMs);
}

export function Notices() {
  return (
    <div class="notices" role="status" aria-live="polite">
      {notices.value.map(({ id, text }) => (
        <p key={id}>{text}</p>
      ))}
    </div>
  );
}
