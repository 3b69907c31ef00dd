/** How the page of the API looks, light and dark. */
import { createHash } from 'node:crypto';

export const style = `
:root{color-scheme:light dark;--line:#8884;--soft:#8882}
body{font:16px/1.5 system-ui,sans-serif;margin:0}
main{max-width:60rem;margin:0 auto;padding:1rem}
h1 small{font-weight:normal;font-size:1rem}
code{font-size:.9em;background:var(--soft);padding:0 .25em;border-radius:3px}
nav{display:flex;flex-wrap:wrap;gap:.25rem 1rem}
details{border:1px solid var(--line);border-radius:6px;margin:.4rem 0;padding:.4rem .8rem}
summary{cursor:pointer}
summary b{display:inline-block;min-width:4.5rem}
table{border-collapse:collapse;width:100%}
td{border-top:1px solid var(--line);padding:.2rem .6rem .2rem 0;vertical-align:top}
td:nth-child(2){overflow-wrap:anywhere}
`;

/** For a Content-Security-Policy. */
export const styleHash = `sha256-${createHash('sha256').update(style).digest('base64')}`;
