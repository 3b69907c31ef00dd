/**
 * The thread that answers mDNS queries. It parses what anyone on the network sends with a library
 * that ends the process when something is wrong; here that ends this thread alone.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { type CiaoService, getResponder } from '@homebridge/ciao';
import type { ResponderMessage, ResponderTask } from './announcer.js';

const task: ResponderTask = workerData;
const responder = getResponder({ interface: [...task.interfaces], advertiseIpv6: true });

function say(message: ResponderMessage): void {
  parentPort?.postMessage(message);
}

parentPort?.once('message', () => {
  // The only message: say goodbye and end.
  void responder.shutdown().finally(() => process.exit(0));
});

async function announce(service: CiaoService): Promise<void> {
  await service.advertise();
  say({ announced: service.getFQDN() });
}

await Promise.all(
  task.services.map(({ name, port, addresses }) =>
    announce(
      responder.createService({
        name,
        type: 'nvme-disc',
        hostname: task.hostname,
        port,
        restrictedAddresses: [...addresses],
        txt: { p: 'tcp', nqn: task.nqn },
      }),
    ),
  ),
);
