/** Names of the tenants that the caller sees, for choices. */
import { call, rights } from './api.js';
import { allPages, useLive } from './live.js';

export function useTenants(): readonly string[] {
  const { tenant } = rights();
  const { value } = useLive(
    'tenants',
    async (aborter) => {
      if (tenant !== null) return [tenant];
      const all = await allPages((cursor) =>
        call('listTenants', { query: cursor === undefined ? {} : { cursor } }, aborter),
      );
      return all.map(({ name }) => name);
    },
    60_000,
  );
  return value ?? (tenant === null ? ['default'] : [tenant]);
}

/** The tenant of what is made where none is chosen. */
export function homeTenant(tenants: readonly string[]): string {
  return tenants.includes('default') ? 'default' : (tenants[0] ?? 'default');
}
