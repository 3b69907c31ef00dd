/** `ashlar event show`: one thing that happened. */
import { type TenantOptions, tenantQuery } from './daemon.js';
import { look } from './look.js';
import { pairs } from './table.js';
import { localTime } from './terminal.js';

export async function showEvent(event: string, options: TenantOptions): Promise<void> {
  await look(options, {
    read: (client) => client.call('getEvent', { params: { event }, query: tenantQuery(options) }),
    lines: (found) =>
      pairs([
        ['Event', found.id],
        ['Time', localTime(found.time)],
        ['Severity', found.severity],
        ['Kind', found.kind],
        ['What', found.message],
        ['About', found.subject ?? 'the node'],
        ['Tenant', found.tenant ?? 'none'],
      ]),
  });
}
