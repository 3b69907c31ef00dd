/**
 * Hosts that never become one, as a process of its own: so many connections a second, of which some
 * say nothing, some send half an ICReq or something else, and some close at once. Says when it
 * begins, and how many it has opened when it is told to end.
 */
import net from 'node:net';

const [port, perSecond] = process.argv.slice(2).map(Number);
const tickMs = 20;
const open = new Set<net.Socket>();
let opened = 0;
let owed = 0;

function dial(): void {
  const kind = opened % 4;
  opened += 1;
  const socket = net.connect({ port: port ?? 0, host: '127.0.0.1' });
  open.add(socket);
  socket.on('error', () => {});
  socket.once('close', () => open.delete(socket));
  socket.once('connect', () => {
    if (kind === 1) socket.write(Buffer.alloc(64));
    if (kind === 2) socket.write(Buffer.alloc(256, 0x47));
    if (kind === 3) socket.destroy();
  });
}

setInterval(() => {
  owed += ((perSecond ?? 0) * tickMs) / 1000;
  for (; owed >= 1; owed -= 1) dial();
}, tickMs);

process.on('message', () => {
  process.send?.(opened, () => process.exit());
});
