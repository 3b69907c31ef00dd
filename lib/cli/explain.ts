/** `ashlar explain`: what keeps a volume from being used, and what to do next. */
import type { Explanation } from '../api/contract.js';
import { type TenantOptions, tenantQuery, withDaemon } from './daemon.js';
import { printJson, printLines } from './terminal.js';

/** Exit code: 0 when it is healthy, else 1. */
export async function explainVolume(volume: string, options: TenantOptions): Promise<number> {
  const found = await withDaemon(options, (client) =>
    client.call('explainVolume', { params: { volume }, query: tenantQuery(options) }),
  );
  if (options.json === true) printJson(found);
  else printLines(explanationLines(found));
  return found.healthy ? 0 : 1;
}

export function explanationLines({ volume, healthy, conditions }: Explanation): string[] {
  const lines = conditions.flatMap(({ severity, message, nextStep }) => [
    `${severity.padEnd(7)}  ${oneLine(message)}.`,
    ...(nextStep === null ? [] : [`         Next: ${oneLine(nextStep)}.`]),
  ]);
  const verdict = healthy ? `Volume '${volume}' is healthy.` : `Volume '${volume}' needs a look.`;
  return [...lines, ...(lines.length === 0 ? [] : ['']), verdict];
}

/** Names of hosts are theirs to choose; a terminal must see no control characters. */
const oneLine = (text: string): string => text.replaceAll(/\p{Cc}/gu, '?');
