/**
 * On which line of a TOML text a key stands. The parser reports places of syntax errors only; for
 * wrong and unknown keys of a text that did parse, this scan follows table headers and keys.
 */

/** The 1-based line of the key at `path`, or of its nearest parent that has one; null: none has. */
export function lineOfKey(toml: string, path: readonly string[]): number | null {
  const lines = keyLines(toml);
  for (let length = path.length; length > 0; length -= 1) {
    const line = lines.get(pathName(path.slice(0, length)));
    if (line !== undefined) return line;
  }
  return null;
}

function pathName(path: readonly string[]): string {
  return JSON.stringify(path);
}

/** Lines of all keys and tables. Keys inside inline tables count as their parent's line. */
function keyLines(toml: string): Map<string, number> {
  const found = new Map<string, number>();
  let table: string[] = [];
  let multiline: string | null = null;
  let depth = 0;
  for (const [index, line] of toml.split('\n').entries()) {
    const text = line.trim();
    if (multiline !== null) {
      // Inside a """ or ''' string: nothing on this line is a key unless the string ends.
      if (text.includes(multiline)) multiline = null;
      continue;
    }
    if (depth === 0) {
      const header = /^\[\[?(.+?)\]\]?\s*(?:#.*)?$/.exec(text);
      const key = header === null ? keyBefore(text) : null;
      if (header !== null) {
        table = keyParts(header[1] ?? '');
        remember(found, table, index + 1);
        continue;
      }
      if (key !== null) remember(found, [...table, ...key], index + 1);
    }
    const opened = /"""|'''/.exec(text)?.[0];
    if (opened !== undefined && text.split(opened).length % 2 === 0) multiline = opened;
    else depth = Math.max(0, depth + bracketBalance(text));
  }
  return found;
}

/** Every prefix of a dotted key gets the line on which it first appears. */
function remember(found: Map<string, number>, path: readonly string[], line: number): void {
  for (let length = 1; length <= path.length; length += 1) {
    const name = pathName(path.slice(0, length));
    if (!found.has(name)) found.set(name, line);
  }
}

const keyPattern =
  /^((?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+))*)\s*=/;

function keyBefore(line: string): string[] | null {
  const match = keyPattern.exec(line);
  return match === null ? null : keyParts(match[1] ?? '');
}

function keyParts(dotted: string): string[] {
  const parts = dotted.match(/"[^"]*"|'[^']*'|[^.\s]+/g) ?? [];
  return parts.map((part) => part.replace(/^(["'])(.*)\1$/, '$2'));
}

/** Brackets opened less those closed, outside strings and comments. */
function bracketBalance(line: string): number {
  const bare = line.replaceAll(/"(?:\\.|[^"\\])*"|'[^']*'/g, '').replace(/#.*$/, '');
  return (bare.match(/[[{]/g)?.length ?? 0) - (bare.match(/[\]}]/g)?.length ?? 0);
}
