/** The announcer's thread when something goes wrong in it. */
import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { announcements } from '../../lib/mdns/announcements.js';
import { Announcer } from '../../lib/mdns/announcer.js';

const portal = { address: '::', port: 8009, discoveryOnly: true };
const outward = announcements([portal], networkInterfaces()).length > 0;
const skip = outward ? false : 'this machine has no address but loopback';

test('announcer: the responder fails: one warning, and it can be closed', { skip }, async () => {
  const events: string[] = [];
  // Nothing of an announcer keeps a process alive; here it has to be waited for.
  const alive = setInterval(() => undefined, 1000);
  await new Promise<void>((resolve) => {
    const announcer = new Announcer({
      hostname: 'ashlar-test',
      name: '', // The library refuses it before it sends anything.
      nqn: 'nqn.2026-01.dev.ashlar:discovery:test',
      portals: () => [portal],
      emit: (severity, kind, message) => {
        events.push(`${severity} ${kind} ${message}`);
        announcer.look(); // Not before a minute has passed.
        void announcer.close().then(resolve);
      },
    });
    announcer.start();
  });
  clearInterval(alive);
  assert.equal(events.length, 1);
  assert.match(events[0] ?? '', /^warning mdns-failed mDNS: discovery is not announced: .*'name'/);
});

test('announcer: loopback alone: no thread, no event', async () => {
  const announcer = new Announcer({
    hostname: 'ashlar-test',
    name: 'test',
    nqn: 'nqn.2026-01.dev.ashlar:discovery:test',
    portals: () => [{ ...portal, address: '127.0.0.1' }],
    emit: (_, kind) => assert.fail(kind),
  });
  announcer.start();
  await announcer.close();
});
