/** `ashlar csi`: the plugin, from its configuration to its orderly end. */
import type { LogLevel } from '../config/config.js';
import { type CsiMode, loadCsiConfig } from '../csi/config.js';
import { openLog } from './log.js';

export interface CsiOptions {
  config?: string;
  mode?: CsiMode;
  csiSocket?: string;
  state?: string;
  logLevel?: LogLevel;
}

/** Serves until SIGTERM or SIGINT; resolves to the exit code. */
export async function serveCsi(options: CsiOptions): Promise<number> {
  const { config: file = null, mode, csiSocket, state, logLevel } = options;
  const config = await loadCsiConfig({
    file,
    flags: { mode, socket: csiSocket, state, logLevel },
    cwd: process.cwd(),
    environment: process.env,
  });
  const logger = openLog(config.logLevel);
  const { runPlugin } = await import('../csi/run.js');
  const plugin = await runPlugin(config, logger);
  const signal = await new Promise<string>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, resolve);
  });
  logger.info({ signal }, 'ending; what is mounted stays mounted');
  await plugin.close();
  return 0;
}
