/** Live charts of I/O: commands, throughput and latency, of a volume, a tenant or the node. */
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { type Counts, History, type Point } from '../readings.js';
import { short, size } from './format.js';
import { useLive } from './live.js';
import { Card, Problem, Waiting } from './parts.js';
import { dark } from './theme.js';

const everyMs = 2000;

interface Line {
  of: keyof Point;
  name: string;
  colour: string;
  dashed?: boolean;
}

interface Chart {
  title: string;
  /** Distances of the lines across; of what uPlot takes when not given. */
  steps?: number[];
  lines: readonly Line[];
  show: (value: number) => string;
}

const reads = 'var(--read)';
const writes = 'var(--write)';
const latency = (ns: number): string => {
  if (ns < 1e6) return `${Math.round(ns / 1e3)} µs`;
  return ns < 1e9 ? `${(ns / 1e6).toFixed(ns < 1e7 ? 1 : 0)} ms` : `${(ns / 1e9).toFixed(1)} s`;
};

const charts: readonly Chart[] = [
  {
    title: 'Commands a second',
    show: short,
    lines: [
      { of: 'readIops', name: 'Reads', colour: reads },
      { of: 'writeIops', name: 'Writes', colour: writes },
    ],
  },
  {
    title: 'Throughput',
    // Round numbers of KiB, MiB, GiB.
    steps: Array.from({ length: 44 }, (_, power) => 2 ** power),
    show: (value) => `${size(value)}/s`,
    lines: [
      { of: 'readBytes', name: 'Read', colour: reads },
      { of: 'writtenBytes', name: 'Written', colour: writes },
    ],
  },
  {
    title: 'Latency',
    show: latency,
    lines: [
      { of: 'readP50', name: 'Reads, half below', colour: reads },
      { of: 'readP99', name: '99 % below', colour: reads, dashed: true },
      { of: 'writeP50', name: 'Writes, half below', colour: writes },
      { of: 'writeP99', name: '99 % below', colour: writes, dashed: true },
    ],
  },
];

/** Kept over pages, so that who comes back sees what was. */
const histories = new Map<string, History>();

function historyOf(key: string): History {
  const found = histories.get(key) ?? new History();
  histories.set(key, found);
  return found;
}

interface Props {
  /** What it is of, for the history. */
  of: string;
  ask: (aborter: AbortSignal) => Promise<Counts | null>;
}

/** A row of charts, with the figures under the pointer or else the newest. */
export function IoCharts({ of, ask }: Props) {
  const history = historyOf(of);
  const { value, error } = useLive(
    `io ${of}`,
    async (aborter) => {
      const counts = await ask(aborter);
      if (counts !== null) history.add(counts, everyMs / 1000);
      return { points: history.points };
    },
    everyMs,
  );
  const [hovered, setHovered] = useState<number | null>(null);
  if (value === null) return <Waiting error={error} />;
  const { points } = value;
  return (
    <Card title="I/O" wide>
      <Problem error={error} />
      <div class="charts">
        {charts.map((chart) => (
          <OneChart
            key={chart.title}
            chart={chart}
            points={points}
            hovered={hovered}
            onHover={setHovered}
          />
        ))}
      </div>
      <Figures points={points} />
    </Card>
  );
}

interface ChartProps {
  chart: Chart;
  points: readonly Point[];
  hovered: number | null;
  onHover: (index: number | null) => void;
}

const shown = (chart: Chart, point: Point | undefined, { of }: Line): string => {
  const value = point?.[of] ?? null;
  return value === null ? '–' : chart.show(value);
};

function OneChart({ chart, points, hovered, onHover }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const data = useMemo(() => dataOf(chart, points), [chart, points]);
  const newest = useRef(data);
  newest.current = data;
  const isDark = dark.value;
  // The colours are those of the theme, so another one draws anew.
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const made = new uPlot(optionsOf(chart, element, isDark, onHover), newest.current, element);
    plot.current = made;
    const watch = new ResizeObserver(() => made.setSize(sizeOf(element)));
    watch.observe(element);
    return () => {
      watch.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [chart, isDark, onHover]);
  useEffect(() => plot.current?.setData(data), [data]);
  const point = points[hovered ?? points.length - 1];
  const figures = chart.lines.map((line) => `${line.name} ${shown(chart, point, line)}`).join(', ');
  return (
    <figure class="chart">
      <figcaption>
        <span class="strong">{chart.title}</span>
        {chart.lines.map((line) => (
          <span key={line.of} class="figure">
            <span
              class={line.dashed === true ? 'key dashed' : 'key'}
              style={{ borderColor: line.colour }}
              aria-hidden="true"
            />
            <span class="soft">{line.name}</span> {shown(chart, point, line)}
          </span>
        ))}
      </figcaption>
      <div ref={place} class="plot" role="img" aria-label={`${chart.title}: ${figures}`} />
    </figure>
  );
}

function dataOf({ lines }: Chart, points: readonly Point[]): uPlot.AlignedData {
  return [points.map(({ at }) => at), ...lines.map(({ of }) => points.map((point) => point[of]))];
}

const sizeOf = (element: HTMLElement) => ({ width: element.clientWidth, height: 150 });

/** A colour of the style sheet as the canvas takes it. */
function painted(element: HTMLElement, colour: string): string {
  const probe = document.createElement('span');
  probe.style.color = colour;
  element.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

const clock = (seconds: number): string => new Date(seconds * 1000).toTimeString().slice(0, 8);

function optionsOf(
  { lines, show, steps }: Chart,
  element: HTMLElement,
  _dark: boolean,
  onHover: (index: number | null) => void,
): uPlot.Options {
  const [line, text] = [painted(element, 'var(--line)'), painted(element, 'var(--soft)')];
  const axis = { stroke: text, font: '11px sans-serif', ticks: { show: false } };
  return {
    ...sizeOf(element),
    legend: { show: false },
    cursor: { y: false, points: { size: 5 }, drag: { x: false, y: false } },
    scales: { y: { range: (_plot, _low, high) => [0, Math.max(high * 1.12, 1)] } },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 24,
        space: 90,
        values: (_plot, splits) => splits.map(clock),
      },
      {
        ...axis,
        size: 66,
        space: 34,
        grid: { stroke: line, width: 1 },
        ...(steps === undefined ? {} : { incrs: steps }),
        values: (_plot, splits) => splits.map(show),
      },
    ],
    series: [
      {},
      ...lines.map(({ colour, dashed }) => ({
        stroke: painted(element, colour),
        width: 1.5,
        points: { show: false },
        ...(dashed === true ? { dash: [4, 4] } : {}),
      })),
    ],
    hooks: { setCursor: [(plot) => onHover(plot.cursor.idx ?? null)] },
  };
}

/** The same as numbers, for those who do not see lines. */
function Figures({ points }: { points: readonly Point[] }) {
  const newest = points.slice(-10).reverse();
  return (
    <details class="figures">
      <summary>The newest readings as a table</summary>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls needs the focus. */}
      <section class="scroll" tabIndex={0} aria-label="Readings, table">
        <table>
          <caption class="quiet">Readings</caption>
          <thead>
            <tr>
              <th scope="col">Time</th>
              {charts.flatMap(({ title, lines }) =>
                lines.map(({ of, name }) => (
                  <th key={of} scope="col" class="number">
                    {`${title === 'Latency' ? 'Latency: ' : ''}${name}`}
                  </th>
                )),
              )}
            </tr>
          </thead>
          <tbody>
            {newest.map((point) => (
              <tr key={point.at}>
                <th scope="row">{clock(point.at)}</th>
                {charts.flatMap((chart) =>
                  chart.lines.map((line) => (
                    <td key={line.of} class="number">
                      {shown(chart, point, line)}
                    </td>
                  )),
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </details>
  );
}
