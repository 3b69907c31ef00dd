#!/usr/bin/env node
/**
 * The `ashlar` command. Loads only what the command at hand needs.
 */
import { run } from './program.js';

// A reader that went away (`ashlar volume list | head -1`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});

process.exitCode = await run(process.argv.slice(2));
// Nothing is left to do. If something that failed to close keeps the process, end it all the same.
setTimeout(() => process.exit(), 2000).unref();
