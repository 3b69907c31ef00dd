/**
 * Asks for NVMe discovery services by multicast every half second, and prints each answer that
 * comes as a line of JSON. Run in a network namespace of its own. On a line of base64 from stdin it
 * sends those bytes to the group instead.
 */
import dgram from 'node:dgram';
import { createInterface } from 'node:readline';
import { decode, encode, type Packet } from 'dns-packet';

const group = '224.0.0.251';
const port = 5353;
const [, , address = ''] = process.argv;
const socket = dgram.createSocket({ type: 'udp4', reuseAddr: true });
const question = encode({
  type: 'query',
  questions: [{ type: 'PTR', name: '_nvme-disc._tcp.local' }],
});

socket.on('message', (bytes) => {
  let packet: Packet;
  try {
    packet = decode(bytes);
  } catch {
    return; // What the test sends comes back to this socket as well.
  }
  if (packet.type !== 'response') return;
  const records = [...(packet.answers ?? []), ...(packet.additionals ?? [])];
  const plain = records.map((record) => {
    if (record.type !== 'TXT') return record;
    const texts = [record.data].flat().map((each) => each.toString());
    return { ...record, data: texts };
  });
  process.stdout.write(`${JSON.stringify(plain)}\n`);
});
socket.bind(port, () => {
  socket.addMembership(group, address);
  socket.setMulticastInterface(address);
  setInterval(() => socket.send(question, port, group), 500);
});
createInterface({ input: process.stdin }).on('line', (line) => {
  socket.send(Buffer.from(line, 'base64'), port, group);
});
