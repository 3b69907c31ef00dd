/** The Identity service: who the plugin is, what it can do, whether it can now. */
import { version } from '../node/version.js';
import type { CsiMode } from './config.js';
import { driverName } from './names.js';
import type { CsiCall, Handlers } from './server.js';
import type { Encodable } from './wire/fields.js';
import type { PluginCapability, PluginServiceType } from './wire/messages.js';

type ServiceType = (typeof PluginServiceType.values)[number];

export interface IdentityOptions {
  mode: CsiMode;
  /**
   * Whether the plugin can serve now. @throws AshlarError or CsiError when it cannot, which is what
   * Probe answers.
   */
  ready: (signal: AbortSignal) => Promise<boolean>;
}

/**
 * Of the plugin as a whole, whichever part answers: all of one version shall say the same, wherever
 * they run and whatever they serve (spec.md, GetPluginCapabilities).
 */
const kinds: readonly ServiceType[] = [
  'CONTROLLER_SERVICE',
  'VOLUME_ACCESSIBILITY_CONSTRAINTS',
  'GROUP_CONTROLLER_SERVICE',
  'SNAPSHOT_METADATA_SERVICE',
];

export function identityService({ mode, ready }: IdentityOptions): Handlers<'Identity'> {
  const capabilities: Encodable<typeof PluginCapability>[] = [
    ...kinds.map((type) => ({ service: { type } })),
    { volumeExpansion: { type: 'ONLINE' as const } },
  ];
  return {
    getPluginInfo: async () => ({
      name: driverName,
      vendorVersion: version,
      manifest: { mode },
    }),
    getPluginCapabilities: async () => ({ capabilities }),
    probe: async (_request: unknown, { signal }: CsiCall) => ({
      ready: { value: await ready(signal) },
    }),
  };
}
