/**
 * Charts as inline SVG. Colours are CSS variables of the page, so that a chart follows light and
 * dark; every mark says its figures in a title, which a browser shows under the pointer.
 */

/** A way from a value to a place on an axis. */
export interface Axis {
  label: string;
  /** 0 to 1 along the axis. */
  place: (value: number) => number;
  ticks: { value: number; text: string }[];
}

export interface Line {
  label: string;
  /** 0-based; colours repeat after eight. */
  colour: number;
  dashed: boolean;
  points: { x: number; y: number; title: string; note: string | null }[];
  /** A dot at each point. */
  dots: boolean;
}

const width = 560;
const height = 300;
const margin = { left: 78, right: 30, top: 12, bottom: 44 };
const inner = {
  width: width - margin.left - margin.right,
  height: height - margin.top - margin.bottom,
};

/** What others named must not become markup. */
export function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

export function colourOf(index: number): string {
  return `var(--series-${index % 8})`;
}

/** From 0 to a round number above the largest value. */
export function linearAxis(label: string, largest: number, show: (value: number) => string): Axis {
  const rough = Math.max(largest, Number.MIN_VALUE) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 2.5, 5, 10].find((each) => each * power >= rough) ?? 10) * power;
  const end = Math.ceil((largest * 1.04) / step) * step || 1;
  const count = Math.round(end / step);
  return {
    label,
    place: (value) => value / end,
    ticks: Array.from({ length: count + 1 }, (_, i) => ({ value: i * step, text: show(i * step) })),
  };
}

/** Logarithmic, with a line at 1, 2 and 5 of each power of ten, fewer where there are many. */
export function logAxis(
  label: string,
  smallest: number,
  largest: number,
  show: (value: number) => string,
): Axis {
  const low = Math.log10(Math.max(smallest, 1) / 1.25);
  const high = Math.log10(Math.max(largest, smallest, 10) * 1.25);
  const factors = high - low > 3 ? [1] : high - low > 1.6 ? [1, 3] : [1, 2, 5];
  const ticks = [];
  for (let power = Math.floor(low); power <= Math.ceil(high); power += 1) {
    for (const factor of factors) {
      const value = factor * 10 ** power;
      const at = Math.log10(value);
      if (at >= low && at <= high) ticks.push({ value, text: show(value) });
    }
  }
  return { label, place: (value) => (Math.log10(Math.max(value, 1)) - low) / (high - low), ticks };
}

/** Shares as HdrHistogram draws them: each nine takes the same room. */
export function ninesAxis(label: string, nines: number): Axis {
  const place = (share: number): number =>
    Math.min(1, -Math.log10(Math.max(1 - share, 1e-12)) / nines);
  const named = [0, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999].slice(0, nines + 1);
  const ticks = [0, 0.5, ...named.slice(1)].map((value) => ({
    value,
    text: `${Number((value * 100).toFixed(6))} %`,
  }));
  return { label, place, ticks };
}

export function lineChart(title: string, x: Axis, y: Axis, lines: readonly Line[]): string {
  const left = (value: number): number => margin.left + x.place(value) * inner.width;
  const top = (value: number): number => margin.top + (1 - y.place(value)) * inner.height;
  const drawn = lines.map((line) => drawLine(line, left, top)).join('');
  return (
    `<svg class="chart" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escaped(title)}">` +
    `${grid(x, y)}${drawn}</svg>`
  );
}

function grid(x: Axis, y: Axis): string {
  const bottom = margin.top + inner.height;
  const right = margin.left + inner.width;
  const rows = y.ticks.map(({ value, text }) => {
    const at = number(margin.top + (1 - y.place(value)) * inner.height);
    return (
      `<line class="grid" x1="${margin.left}" x2="${right}" y1="${at}" y2="${at}"/>` +
      `<text class="tick" x="${margin.left - 8}" y="${at}" dy="0.32em" text-anchor="end">` +
      `${escaped(text)}</text>`
    );
  });
  const columns = x.ticks.map(({ value, text }) => {
    const at = number(margin.left + x.place(value) * inner.width);
    return (
      `<line class="grid" x1="${at}" x2="${at}" y1="${margin.top}" y2="${bottom}"/>` +
      `<text class="tick" x="${at}" y="${bottom + 16}" text-anchor="middle">${escaped(text)}</text>`
    );
  });
  const middle = margin.top + inner.height / 2;
  const names =
    `<text class="axis" x="${margin.left + inner.width / 2}" y="${height - 6}" ` +
    `text-anchor="middle">${escaped(x.label)}</text>` +
    `<text class="axis" transform="translate(14 ${middle}) rotate(-90)" text-anchor="middle">` +
    `${escaped(y.label)}</text>`;
  return rows.join('') + columns.join('') + names;
}

function drawLine(
  line: Line,
  left: (value: number) => number,
  top: (value: number) => number,
): string {
  const { points, dashed, colour, dots, label } = line;
  const path = points
    .map(({ x, y }, i) => `${i === 0 ? 'M' : 'L'}${number(left(x))} ${number(top(y))}`)
    .join('');
  const stroke = `style="stroke:${colourOf(colour)}"`;
  const dash = dashed ? ' stroke-dasharray="5 4"' : '';
  const marks = points.map((point) => {
    const [cx, cy] = [number(left(point.x)), number(top(point.y))];
    const title = `<title>${escaped(`${label}: ${point.title}`)}</title>`;
    // Below on the right a line that climbs leaves room; at the edge, on the left.
    const side = cx > width - margin.right - 60 ? -1 : 1;
    const note =
      point.note === null
        ? ''
        : `<text class="note" x="${number(cx + 7 * side)}" y="${number(cy + 13)}" ` +
          `text-anchor="${side > 0 ? 'start' : 'end'}">${escaped(point.note)}</text>`;
    const fill = dashed ? 'var(--panel)' : colourOf(colour);
    return `<circle cx="${cx}" cy="${cy}" r="3.5" ${stroke.replace('"stroke', `"fill:${fill};stroke`)}>${title}</circle>${note}`;
  });
  return `<path class="line" d="${path}" ${stroke}${dash}/>${dots ? marks.join('') : ''}`;
}

/** A legend of colours, as HTML. */
export function legend(entries: readonly { label: string; colour: number }[]): string {
  const items = entries.map(
    ({ label, colour }) =>
      `<span><i style="background:${colourOf(colour)}"></i>${escaped(label)}</span>`,
  );
  return `<p class="legend">${items.join('')}</p>`;
}

export interface Bar {
  label: string;
  value: number;
  text: string;
  colour: number;
}

/** Horizontal bars under a heading each, as HTML. */
export function bars(groups: readonly { title: string; bars: readonly Bar[] }[]): string {
  const largest = Math.max(...groups.flatMap((group) => group.bars.map(({ value }) => value)), 0);
  const rows = groups.map(({ title, bars: list }) => {
    const drawn = list.map(({ label, value, text, colour }) => {
      const share = largest === 0 ? 0 : (100 * value) / largest;
      return (
        `<div class="bar" title="${escaped(`${label}: ${text}`)}">` +
        `<i style="width:${share.toFixed(1)}%;background:${colourOf(colour)}"></i>` +
        `<b>${escaped(text)}</b></div>`
      );
    });
    return `<tr><th>${escaped(title)}</th><td>${drawn.join('')}</td></tr>`;
  });
  return `<table class="bars">${rows.join('')}</table>`;
}

/** A ratio with its interval around 1, as a small SVG: left is less, right is more. */
export function intervalMark(
  ratio: { ratio: number; low: number; high: number },
  threshold: number,
  verdict: string,
): string {
  const reach = 0.5;
  const place = (value: number): number =>
    number(
      90 + 86 * Math.max(-1, Math.min(1, Math.log2(Math.max(value, 1e-9)) / Math.log2(1 + reach))),
    );
  const [low, high] = [place(ratio.low), place(Math.min(ratio.high, 1e9))];
  return (
    `<svg class="interval ${verdict}" viewBox="0 0 180 18" aria-hidden="true">` +
    `<rect class="band" x="${place(1 - threshold)}" y="2" height="14" ` +
    `width="${number(place(1 + threshold) - place(1 - threshold))}"/>` +
    `<line class="one" x1="90" x2="90" y1="1" y2="17"/>` +
    `<line class="reach" x1="${low}" x2="${high}" y1="9" y2="9"/>` +
    `<circle cx="${place(ratio.ratio)}" cy="9" r="4"/></svg>`
  );
}

function number(value: number): number {
  return Math.round(value * 10) / 10;
}
