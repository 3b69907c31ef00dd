/** What keeps a thing from being used as it should, and what to do next. */
import type { Explanation } from '../../api/contract.js';
import { type Live, useLive } from './live.js';
import { Badge, Card, Cli, Problem, type Tone, Waiting } from './parts.js';

type OfVolume = Explanation['conditions'][number];

/** What the explanations of volumes, hosts, tenants and pools have in common. */
export interface Judged {
  healthy: boolean;
  /** The worst first, as the API has them. */
  conditions: readonly (Omit<OfVolume, 'kind'> & { kind: string })[];
}

const tones: Readonly<Record<OfVolume['severity'], Tone>> = {
  error: 'bad',
  warning: 'warn',
  info: 'info',
};

/** @param of what is explained, among all things; null: it is not known yet. */
export function useExplanation(
  of: string | null,
  ask: (aborter: AbortSignal) => Promise<Judged>,
): Live<Judged | null> {
  return useLive(`conditions ${of}`, async (aborter) => (of === null ? null : ask(aborter)), 5000);
}

/** In a word, beside the title. */
export function Health({ value }: Live<Judged | null>) {
  if (value === null) return null;
  if (value.healthy) return <Badge tone="good">healthy</Badge>;
  const worst = value.conditions[0]?.severity ?? 'warning';
  return <Badge tone={tones[worst]}>needs a look</Badge>;
}

/** A next step, with what is to be typed set apart: it stands in double quotes. */
function Step({ text }: { text: string }) {
  return (
    <p>
      <span class="soft">Next: </span>
      {text
        .split(/"([^"]+)"/)
        .map((part, index) => (index % 2 === 1 ? <code key={part}>{part}</code> : part))}
    </p>
  );
}

interface ConditionsProps {
  live: Live<Judged | null>;
  /** Said where there is no condition. */
  none: string;
  /** The command line that says the same. */
  line: string;
  /** Whether the word for all of them stands here, rather than beside the title of the page. */
  mark?: boolean;
}

export function Conditions({ live, none, line, mark = false }: ConditionsProps) {
  const { value, error } = live;
  return (
    <Card title="Conditions" wide actions={mark && <Health {...live} />}>
      <Problem error={value === null ? null : error} />
      {value === null ? (
        <Waiting error={error} />
      ) : value.conditions.length === 0 ? (
        <p class="soft">{none}</p>
      ) : (
        <ul class="plain conditions">
          {value.conditions.map(({ kind, severity, message, nextStep }) => (
            <li key={`${kind} ${message}`}>
              <Badge tone={tones[severity]}>
                <span class={severity === 'info' ? 'quiet' : ''}>{severity}</span>
              </Badge>
              <div>
                <p>{message}.</p>
                {nextStep !== null && <Step text={nextStep} />}
              </div>
            </li>
          ))}
        </ul>
      )}
      <p class="same">The same with the command line</p>
      <Cli line={line} />
    </Card>
  );
}
