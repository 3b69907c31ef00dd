/** What the judges share: the order of conditions, and how paths are looked at. */
import type { PortalInfo } from '../portals/types.js';
import { defaultTenant } from '../volumes/state.js';
import type { ConnectedHost } from '../volumes/types.js';
import type { Condition, Judged } from './types.js';

const severities: readonly Condition['severity'][] = ['error', 'warning', 'info'];
/** What a tenant can do about what is the node's. */
export const tellOperator = 'tell whoever runs the node';
/** How many names a message has. */
const named = 5;

/**
 * Conditions, worst first. Commands of next steps that name things of a tenant are written with
 * `{tenant}`, where they say which tenant's; the default's needs no word.
 */
export function judged<K extends string>(
  conditions: readonly Condition<K>[],
  tenant: string | null,
): Judged<K> {
  const option = tenant === null || tenant === defaultTenant ? '' : ` --tenant ${tenant}`;
  const sorted = conditions
    .map((each) => ({ ...each, nextStep: each.nextStep?.replaceAll('{tenant}', option) ?? null }))
    .sort((a, b) => severities.indexOf(a.severity) - severities.indexOf(b.severity));
  return { healthy: sorted.every(({ severity }) => severity === 'info'), conditions: sorted };
}

/** `'a', 'b'`, `'a', 'b', 'c', 'd', 'e' and 7 more`. */
export function names(all: readonly string[]): string {
  const more = all.length > named ? ` and ${all.length - named} more` : '';
  return `'${all.slice(0, named).join("', '")}'${more}`;
}

export type Usable = 'optimized' | 'non-optimized' | 'unusable';

/** How hosts may use a group of volumes through a portal. */
export function usable({ drained, problem, ana }: PortalInfo, group: number): Usable {
  if (drained || problem !== null) return 'unusable';
  const state = ana.find(({ anagrpid }) => anagrpid === group)?.state ?? 'optimized';
  return state === 'optimized' || state === 'non-optimized' ? state : 'unusable';
}

export const serving = (portals: readonly PortalInfo[]): PortalInfo[] =>
  portals.filter(({ discoveryOnly }) => !discoveryOnly);

/** Every portal wants TLS of hosts. */
export const tlsRequired = (portals: readonly PortalInfo[]): boolean =>
  serving(portals).every(({ tls }) => tls === 'required');

export const endpoints = (portals: readonly PortalInfo[]): string =>
  portals.map(({ endpoint }) => endpoint).join(', ');

export interface PathStates {
  /** Portals through which the host is connected, and how each may be used. */
  used: PortalInfo[];
  states: Usable[];
  /** Those that it could use beside them. */
  others: PortalInfo[];
}

export function pathStates(
  portals: readonly PortalInfo[],
  connections: readonly ConnectedHost[],
  group: number,
): PathStates {
  const used = portals.filter((portal) =>
    connections.some(({ portalId }) => portalId === portal.portalId),
  );
  const others = serving(portals).filter(
    (portal) => !used.includes(portal) && usable(portal, group) !== 'unusable',
  );
  return { used, states: used.map((portal) => usable(portal, group)), others };
}
