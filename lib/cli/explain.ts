/** `ashlar explain`: what keeps a thing from being used, and what to do next. */
import { type DaemonOptions, type TenantOptions, tenantQuery, withDaemon } from './daemon.js';
import { printJson, printLines } from './terminal.js';

/** What explanations of all things have. */
interface Found {
  healthy: boolean;
  conditions: readonly { severity: string; message: string; nextStep: string | null }[];
}

/** Exit code: 0 when it is healthy, else 1. */
export async function explainVolume(volume: string, options: TenantOptions): Promise<number> {
  const found = await withDaemon(options, (client) =>
    client.call('explainVolume', { params: { volume }, query: tenantQuery(options) }),
  );
  return tell('Volume', found.volume, found, options);
}

/** @param pool not given: the one that there is. */
export async function explainPool(
  pool: string | undefined,
  options: DaemonOptions,
): Promise<number> {
  const found = await withDaemon(options, async (client) => {
    const named = pool ?? (await client.list('listPools'))[0]?.name ?? '';
    return client.call('explainPool', { params: { pool: named } });
  });
  return tell('Pool', found.pool, found, options);
}

export async function explainHost(host: string, options: TenantOptions): Promise<number> {
  const found = await withDaemon(options, (client) =>
    client.call('explainHost', { params: { host }, query: tenantQuery(options) }),
  );
  return tell('Host', found.host, found, options);
}

export async function explainTenant(tenant: string, options: DaemonOptions): Promise<number> {
  const found = await withDaemon(options, (client) =>
    client.call('explainTenant', { params: { tenant } }),
  );
  return tell('Tenant', found.tenant, found, options);
}

function tell(what: string, name: string, found: Found, { json }: DaemonOptions): number {
  if (json === true) printJson(found);
  else printLines(explanationLines(what, name, found));
  return found.healthy ? 0 : 1;
}

export function explanationLines(
  what: string,
  name: string,
  { healthy, conditions }: Found,
): string[] {
  const lines = conditions.flatMap(({ severity, message, nextStep }) => [
    `${severity.padEnd(7)}  ${oneLine(message)}.`,
    ...(nextStep === null ? [] : [`         Next: ${oneLine(nextStep)}.`]),
  ]);
  const verdict = `${what} '${oneLine(name)}' ${healthy ? 'is healthy' : 'needs a look'}.`;
  return [...lines, ...(lines.length === 0 ? [] : ['']), verdict];
}

/** Names of hosts are theirs to choose; a terminal must see no control characters. */
const oneLine = (text: string): string => text.replaceAll(/\p{Cc}/gu, '?');
