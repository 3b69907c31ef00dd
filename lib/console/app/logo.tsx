/** Courses of squared stone. */
export function Logo() {
  return (
    <svg class="logo" viewBox="0 0 20 19" width="20" height="19" aria-hidden="true">
      <rect x="0" y="0" width="11" height="5" rx="1" />
      <rect x="13" y="0" width="7" height="5" rx="1" />
      <rect x="0" y="7" width="6" height="5" rx="1" />
      <rect x="8" y="7" width="12" height="5" rx="1" />
      <rect x="0" y="14" width="12" height="5" rx="1" />
      <rect x="14" y="14" width="6" height="5" rx="1" />
    </svg>
  );
}
