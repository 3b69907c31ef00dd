/** What a program drew on a terminal, as a picture whose text stays text. */
import { escaped } from '../../lib/bench/report_charts.js';

export interface Described {
  title: string;
  /** What a person sees who looks at it, for one who does not. */
  description: string;
}

const fontSize = 14;
/** Of a letter: 0.6 of its size in most monospaced fonts. */
const cell = { width: 8.4, height: 19 };
const padding = 16;

/**
 * Rows of the last frame that was drawn whole, as `frameText` of lib/cli/screen.ts writes them.
 * `ashlar top` has no colours: a sequence other than those of the frame is refused, for the picture
 * would not be what the terminal shows.
 */
export function lastFrame(output: string): string[] {
  const frame = output.split('\x1b[H').at(-2);
  if (frame === undefined) throw new Error('no frame was followed by another, so none is whole');
  // A terminal makes '\r\n' of every '\n', so that there are two '\r'.
  const rows = frame.split('\x1b[K').map((row) => row.replace(/^\r+\n/, ''));
  // The last row is drawn to its end as well, and nothing comes after.
  if (rows.pop() !== '') throw new Error('the last row of the frame is torn');
  const strange = rows.find((row) => /\p{Cc}/u.test(row));
  if (strange !== undefined) {
    throw new Error(`a row has a sequence that is not drawn here: ${JSON.stringify(strange)}`);
  }
  return rows;
}

/**
 * A light panel with a border, which stands out of a dark page and a light one. Every row is given
 * the length of its columns, so that they stay under each other in whatever font there is.
 */
export function terminalSvg(rows: readonly string[], { title, description }: Described): string {
  const round = (value: number): number => Math.round(value * 10) / 10;
  const length = (row: string): number => round([...row].length * cell.width);
  const width = Math.ceil(Math.max(0, ...rows.map(length))) + 2 * padding;
  const height = rows.length * cell.height + 2 * padding;
  const texts = rows.map((row, index) => {
    const y = padding + (index + 1) * cell.height - 5;
    const place = `x="${padding}" y="${y}" textLength="${length(row)}"`;
    // On each row: Chromium's do not inherit it from the group.
    return `<text ${place} xml:space="preserve">${escaped(row)}</text>\n`;
  });
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" ` +
    `aria-labelledby="title description">\n<title id="title">${escaped(title)}</title>\n` +
    `<desc id="description">${escaped(description)}</desc>\n` +
    `<rect x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="6" ` +
    `fill="#f6f8fa" stroke="#8b949e"/>\n` +
    `<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" ` +
    `font-size="${fontSize}" fill="#1b1f24">\n` +
    `${texts.filter((_, index) => rows[index] !== '').join('')}</g>\n</svg>\n`
  );
}
