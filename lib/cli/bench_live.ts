/**
 * What a person sees on stderr while a benchmark runs: a few lines that stay in place on a
 * terminal, one line for each round anywhere else.
 */
import { count, percent, rate, time } from '../bench/report_data.js';
import type { Round } from '../bench/results.js';
import type { RunEvent } from '../bench/run.js';

/** How much there is to do. */
export interface LivePlan {
  /** Names, in their order. */
  scenarios: readonly string[];
  rounds: number;
  subjects: number;
  /** How long a turn takes before one has been seen. */
  turnMs: number;
}

/** All that is shown. */
export interface LiveState {
  plan: LivePlan;
  /** Turns that are over; of all scenarios, rounds and subjects. */
  done: number;
  elapsedMs: number;
  /** Of the turn under way. */
  turnElapsedMs: number;
  scenario: string | null;
  subject: string;
  /** 0-based. */
  round: number;
  /** The newest round of this scenario and subject; null: none yet. */
  last: Round | null;
  /** What goes on beside measuring, or is to be known. */
  notice: string | null;
}

const barCells = 30;
const frameMs = 250;

/** As lines of at most `width` columns, always the same number of them. */
export function liveFrame(state: LiveState, width: number): string[] {
  const { plan, done, elapsedMs, turnElapsedMs, scenario, subject, round, last, notice } = state;
  const turns = plan.scenarios.length * plan.rounds * plan.subjects;
  const turnMs = done === 0 ? plan.turnMs : (elapsedMs - turnElapsedMs) / done;
  // A turn that takes longer than those before it does not run over into the next.
  const part = scenario === null ? 0 : Math.min(0.95, turnElapsedMs / Math.max(turnMs, 1));
  const share = turns === 0 ? 1 : Math.min(1, (done + part) / turns);
  const left = clock(Math.max(0, turns - done - part) * turnMs);
  const place =
    scenario === null
      ? `${plan.scenarios.length} scenarios, ${plan.rounds} rounds`
      : `scenario ${plan.scenarios.indexOf(scenario) + 1} of ${plan.scenarios.length}, ` +
        `round ${round + 1} of ${plan.rounds}`;
  const many = plan.subjects > 1 ? ` on ${subject}` : '';
  const lines = [
    `${bar(share, barCells)} ${`${Math.floor(100 * share)}`.padStart(3)} %  ` +
      `${clock(elapsedMs)} gone, about ${left} left`,
    `${place}: ${scenario === null ? 'about to begin' : `${scenario}${many}`}`,
    last === null ? 'no round of it yet' : `last round: ${roundFigures(last)}`,
    last === null || last.limit === null
      ? ''
      : `${bar(last.iops / last.limit.perSecond, barCells)} of what ${last.limit.what} does`,
    notice ?? '',
  ];
  return lines.map((line) =>
    [...line.replaceAll(/\p{Cc}/gu, '?')].slice(0, Math.max(1, width)).join(''),
  );
}

/** `256 k/s  1.05 GB/s  p50 121 µs  p99 310 µs  46 % of the limit` */
export function roundFigures(round: Round): string {
  const { iops, bytesPerSecond, latencyNs, limit, failure } = round;
  if (failure !== null) return failure.message;
  return [
    `${count(iops)}/s`,
    rate(bytesPerSecond),
    `p50 ${time(latencyNs.p50)}`,
    `p99 ${time(latencyNs.p99)}`,
    ...(limit === null ? [] : [`${percent(iops / limit.perSecond)} of the limit`]),
  ].join('  ');
}

function bar(share: number, cells: number): string {
  const full = Math.max(0, Math.min(cells, Math.round(share * cells)));
  return `[${'#'.repeat(full)}${'-'.repeat(cells - full)}]`;
}

/** `1:04`, `2:00:31`. */
function clock(ms: number): string {
  const seconds = Math.round(ms / 1000);
  const two = (value: number): string => String(value).padStart(2, '0');
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}:${two(seconds % 60)}`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(seconds % 60)}`;
}

/** Where it is drawn: stderr, and in tests anything. */
export interface LiveOutput {
  isTTY?: boolean;
  columns?: number;
  write(text: string): unknown;
}

export class BenchLive {
  readonly #output: LiveOutput;
  readonly #state: LiveState;
  readonly #startedMs = performance.now();
  readonly #last = new Map<string, Round>();
  readonly #timer: NodeJS.Timeout | null;
  #turnStartedMs = 0;
  /** Lines on the screen. */
  #drawn = 0;

  constructor(plan: LivePlan, output: LiveOutput = process.stderr) {
    this.#output = output;
    this.#state = {
      ...{ plan, done: 0, elapsedMs: 0, turnElapsedMs: 0, scenario: null, subject: '' },
      ...{ round: 0, last: null, notice: null },
    };
    this.#timer = output.isTTY === true ? setInterval(() => this.#draw(), frameMs) : null;
    this.#timer?.unref();
  }

  hear(event: RunEvent): void {
    const state = this.#state;
    switch (event.kind) {
      case 'preparing':
        this.say(`${event.what} …`);
        return;
      case 'round-begins': {
        const { scenario, subject, index } = event;
        this.#turnStartedMs = performance.now();
        state.notice = this.#kept;
        Object.assign(state, { scenario, subject, round: index });
        state.last = this.#last.get(`${scenario}\n${subject}`) ?? null;
        break;
      }
      case 'round-ends': {
        const { result, round, turn, turns } = event;
        const { scenario, subject } = result;
        state.done = turn;
        state.last = round;
        this.#turnStartedMs = performance.now();
        this.#last.set(`${scenario.name}\n${subject}`, round);
        if (this.#timer === null) {
          const place = `[${String(turn).padStart(String(turns).length)}/${turns}]`;
          const what = `${scenario.name} (${subject}), round ${round.index + 1}`;
          this.#output.write(`${place} ${what}: ${roundFigures(round)}\n`);
        }
        break;
      }
      case 'scenario-ends':
        return;
    }
    this.#draw();
  }

  /** Something that a person is to know now. */
  say(text: string): void {
    this.#state.notice = text;
    if (this.#timer === null) this.#output.write(`${text}\n`);
    else this.#draw();
  }

  /** The same, and it stays. */
  keep(text: string): void {
    this.#kept = text;
    this.say(text);
  }
  #kept: string | null = null;

  /** Takes the lines away; the terminal is as it was. */
  end(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    if (this.#drawn > 0) this.#output.write(`${this.#toTop()}\x1b[J`);
    this.#drawn = 0;
  }

  #toTop(): string {
    return this.#drawn > 1 ? `\r\x1b[${this.#drawn - 1}A` : '\r';
  }

  /** In one write, each line over the one that was there: nothing flickers, no cursor is hidden. */
  #draw(): void {
    if (this.#timer === null) return;
    const now = performance.now();
    this.#state.elapsedMs = now - this.#startedMs;
    this.#state.turnElapsedMs = this.#turnStartedMs === 0 ? 0 : now - this.#turnStartedMs;
    const columns = this.#output.columns ?? 0;
    const lines = liveFrame(this.#state, columns > 0 ? columns - 1 : 79);
    const top = this.#drawn === 0 ? '' : this.#toTop();
    this.#output.write(top + lines.map((line) => `${line}\x1b[K`).join('\n'));
    this.#drawn = lines.length;
  }
}
