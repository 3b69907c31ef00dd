/** Tables for people: aligned, and never wider than the terminal. */

export interface Column<T> {
  title: string;
  value: (row: T) => string;
  align?: 'right';
  /** Cut (with '…') when the terminal is too narrow; others never are. */
  flexible?: boolean;
}

const gap = '  ';
/** Flexible columns keep at least this many letters. */
const minFlexible = 8;

/**
 * Lines of a table with a header.
 *
 * @param width columns of the terminal; null: unlimited (a pipe gets everything).
 */
export function table<T>(
  rows: readonly T[],
  columns: readonly Column<T>[],
  width: number | null,
): string[] {
  const cells = rows.map((row) => columns.map((column) => oneLine(column.value(row))));
  const widths = columns.map((column, index) =>
    Math.max(column.title.length, ...cells.map((row) => length(row[index] ?? ''))),
  );
  if (width !== null) shrink(widths, columns, width);
  const header = columns.map((column) => column.title.toUpperCase());
  return [header, ...cells].map((row) =>
    row
      .map((cell, index) => pad(cell, widths[index] ?? 0, columns[index]?.align))
      .join(gap)
      .trimEnd(),
  );
}

/** Lines of "name  value" pairs, for one object. Long values are left whole. */
export function pairs(entries: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...entries.map(([name]) => name.length));
  return entries.map(([name, value]) => `${name.padEnd(width)}${gap}${oneLine(value)}`.trimEnd());
}

/** Takes from the widest flexible column, letter by letter, until it fits or none can give. */
function shrink<T>(widths: number[], columns: readonly Column<T>[], width: number): void {
  const total = (): number =>
    widths.reduce((sum, each) => sum + each, 0) + gap.length * (widths.length - 1);
  while (total() > width) {
    let widest = -1;
    for (const [index, column] of columns.entries()) {
      const current = widths[index] ?? 0;
      if (!column.flexible || current <= Math.max(minFlexible, column.title.length)) continue;
      if (widest < 0 || current > (widths[widest] ?? 0)) widest = index;
    }
    if (widest < 0) return;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
}

function pad(cell: string, width: number, align: 'right' | undefined): string {
  const letters = [...cell];
  const cut = letters.length > width ? `${letters.slice(0, width - 1).join('')}…` : cell;
  const space = ' '.repeat(width - length(cut));
  return align === 'right' ? space + cut : cut + space;
}

function length(text: string): number {
  return [...text].length;
}

/** What a host or a file sent may hold control characters; a terminal must not see them. */
function oneLine(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, '?');
}
