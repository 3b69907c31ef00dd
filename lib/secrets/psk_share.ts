/** Which derived PSKs handshakes know, where tenants have an identity in common. */

/** What a handshake tries of one identity; `psks_per_identity` in native code. */
const psksPerIdentity = 8;

/**
 * At most as many of one identity as a handshake tries. Only those of discovery can be more, as all
 * tenants have that subsystem: of one host, the newest PSK of every tenant comes before the second
 * newest of any, and where that is too many the tenants that came first.
 *
 * @param derivedOf what is derived of a record.
 */
export function fairly<T extends { identity: string }>(
  records: readonly { id: bigint; tenant: bigint; host: string }[],
  derivedOf: (id: bigint) => readonly T[],
): T[] {
  const ranks = new Map<string, number>();
  const ranked = [...records]
    .sort((a, b) => (a.id > b.id ? -1 : 1))
    .map(({ id, tenant, host }) => {
      const key = `${tenant} ${host}`;
      const rank = ranks.get(key) ?? 0;
      ranks.set(key, rank + 1);
      return { id, rank, tenant };
    })
    .sort((a, b) => a.rank - b.rank || Number(a.tenant - b.tenant));
  const counts = new Map<string, number>();
  return ranked
    .flatMap(({ id }) => derivedOf(id))
    .filter(({ identity }) => {
      const count = counts.get(identity) ?? 0;
      counts.set(identity, count + 1);
      return count < psksPerIdentity;
    });
}
