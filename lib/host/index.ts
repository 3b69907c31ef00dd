/** Our own NVMe/TCP host; see {@link connectHost}. */
export {
  type CallOptions,
  type ConnectHostOptions,
  connectHost,
  Host,
  type LogPageOptions,
  type RawCommand,
} from './host.js';
export type { ControllerIdentity, NamespaceIdentity } from './identify.js';
export type { LoadSettings } from './load.js';
export { LocalDevice, type OpenLocalOptions, openLocal } from './local.js';
export { HostNamespace, type RangeOptions, type WriteOptions } from './namespace.js';
export type { ReactorOptions } from './reactors.js';
export { type CommandStatus, commandStatusOf, describeStatus } from './status.js';
