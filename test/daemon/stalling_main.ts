/**
 * The daemon, with one thing added: told 'block', it blocks its event loop for two seconds, as a
 * long garbage collection or a mistake in the control plane would. It says when that begins and
 * ends.
 */
const blockMs = 2000;

process.on('message', (message) => {
  if (message !== 'block') return;
  process.send?.('blocked', () => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, blockMs);
    process.send?.('free');
  });
});
process.channel?.unref();

await import('../../lib/cli/main.js');
