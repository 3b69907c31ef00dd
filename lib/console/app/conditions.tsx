/** What keeps a volume from being used as it should, and what to do next. */
import type { Explanation, Volume } from '../../api/contract.js';
import { call } from './api.js';
import { cli, tenantFlag, word } from './format.js';
import { type Live, useLive } from './live.js';
import { Badge, Card, Cli, Problem, type Tone, Waiting } from './parts.js';

const tones: Readonly<Record<Explanation['conditions'][number]['severity'], Tone>> = {
  error: 'bad',
  warning: 'warn',
  info: 'info',
};

/** @param uuid null: it is not known yet. */
export function useExplanation(tenant: string, uuid: string | null): Live<Explanation | null> {
  return useLive(
    `conditions ${uuid}`,
    async (aborter) =>
      uuid === null
        ? null
        : call('explainVolume', { params: { volume: uuid }, query: { tenant } }, aborter),
    5000,
  );
}

/** In a word, beside the title. */
export function Health({ value }: Live<Explanation | null>) {
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

export function Conditions({ volume, live }: { volume: Volume; live: Live<Explanation | null> }) {
  const { value, error } = live;
  return (
    <Card title="Conditions" wide>
      <Problem error={value === null ? null : error} />
      {value === null ? (
        <Waiting error={error} />
      ) : value.conditions.length === 0 ? (
        <p class="soft">Nothing keeps hosts from using it.</p>
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
      <Cli line={cli('explain volume', word(volume.name), tenantFlag(volume.tenant))} />
    </Card>
  );
}
