/** Paths of a node: one association for each portal, repaired, found by discovery, and let go. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { assertUntouched, refused, staged, started } from './node_checks.js';
import {
  blockCapability,
  mountCapability,
  portals,
  publishContext,
  settings,
  subnqn,
  uuidOf,
} from './node_rig.js';

/** A second's pause lies between two looks because of news. */
async function until(holds: () => boolean): Promise<void> {
  for (let left = 300; !holds(); left -= 1) {
    assert.ok(left > 0, 'it came about in 3 s');
    await delay(10);
  }
}

describe('paths', () => {
  test('two volumes of a tenant share one association on each portal', async (t) => {
    const rig = await started(t);
    const claims = [rig.claim(1, mountCapability()), rig.claim(2, blockCapability())];
    await Promise.all(claims.map((claim) => rig.stage(claim)));
    await rig.service.idle();
    assert.deepEqual(
      rig.host.snapshot().paths,
      portals.map((portal) => `${subnqn} ${portal} live`),
    );
    assert.deepEqual(rig.host.tuned.get(subnqn), settings);
    for (const claim of claims) await rig.unstage(claim);
    assertUntouched(rig);
  });

  test('a portal that is added later: running volumes get a path over it too', async (t) => {
    const { rig, claim } = await staged(t);
    rig.host.subsystems.get(subnqn)?.portals.add('10.0.0.3:4420');
    await rig.start();
    await rig.service.idle();
    assert.equal(rig.host.snapshot().paths.length, 3);
    assert.match((await rig.stats(claim, claim.staging)).volumeCondition?.message ?? '', /every/);
    await rig.unstage(claim);
    assertUntouched(rig);
  });

  test('a discovery service has news: asked at once, over the one controller that is kept', async (t) => {
    const { rig, claim } = await staged(t);
    await rig.news();
    assert.deepEqual([...rig.host.discovery.keys()], [portals[0]]);
    assert.equal(rig.host.snapshot().paths.length, 2);
    rig.host.subsystems.get(subnqn)?.portals.add('10.0.0.3:4420');
    // Much news at once is one question, and what comes during it is another.
    for (let count = 0; count < 100; count += 1) rig.host.tellNews();
    await until(() => rig.host.asked.length === 2);
    await rig.service.idle();
    assert.equal(rig.host.snapshot().paths.length, 3);
    assert.deepEqual([...rig.host.discovery.keys()], [portals[0]]);
    await rig.unstage(claim);
    assertUntouched(rig);
  });

  test('news while the last volume goes: nobody is asked over paths that are taken away', async (t) => {
    const { rig, claim } = await staged(t);
    rig.host.whileDisconnecting = async () => {
      rig.host.tellNews();
      await delay(50);
    };
    await rig.unstage(claim);
    await rig.service.idle();
    assert.deepEqual(rig.host.asked, []);
    assertUntouched(rig);
  });

  test('its discovery service is away: the next one is asked, and both go in the end', async (t) => {
    const { rig, claim } = await staged(t);
    await rig.news();
    rig.host.discovery.set(portals[0], 'connecting');
    await rig.start();
    assert.deepEqual(rig.host.asked, portals);
    assert.deepEqual([...rig.host.discovery.keys()], portals);
    await rig.unstage(claim);
    assertUntouched(rig);
  });

  test('a discovery controller that the host has already is used, and stays', async (t) => {
    const rig = await started(t);
    rig.host.discovery.set(portals[1], 'live');
    const claim = rig.claim(1, mountCapability());
    await rig.stage(claim);
    await rig.news();
    assert.deepEqual(rig.host.asked, [portals[1]]);
    await rig.unstage(claim);
    assert.deepEqual([...rig.host.discovery.keys()], [portals[1]]);
  });

  test('tenants share discovery; it goes with the last of them', async (t) => {
    const rig = await started(t);
    const claims = [rig.claim(1, mountCapability()), rig.claim(2, mountCapability())];
    for (const claim of claims) await rig.stage(claim);
    const other = 'nqn.2014-08.org.example:other';
    const [record] = await rig.host.records();
    assert.ok(record !== undefined);
    await rig.host.remember({ ...record, volumeId: uuidOf(3), subnqn: other });
    await rig.news();
    for (const claim of claims) await rig.unstage(claim);
    assert.deepEqual([...rig.host.discovery.keys()], [portals[0]]);
    await rig.host.forget(uuidOf(3));
    await rig.start();
    assertUntouched(rig);
  });

  test('portals told by other addresses than those that are known are nobody’s', async (t) => {
    const { rig } = await staged(t);
    const answering = rig.host.subsystems.get(subnqn)?.portals ?? new Set();
    answering.clear();
    for (const portal of ['192.168.0.1:4420', '192.168.0.2:4420']) answering.add(portal);
    await rig.start();
    await rig.service.idle();
    assert.equal(rig.host.snapshot().paths.length, 2);
  });

  test('a portal that does not answer: staged over the other; added when it is back', async (t) => {
    const rig = await started(t);
    const claim = rig.claim(1, mountCapability());
    const answering = rig.host.subsystems.get(subnqn)?.portals ?? new Set();
    answering.delete(portals[1]);
    await rig.stage(claim);
    assert.deepEqual(rig.host.snapshot().paths, [`${subnqn} ${portals[0]} live`]);
    const { volumeCondition } = await rig.stats(claim, claim.staging);
    assert.equal(volumeCondition?.abnormal, true);
    assert.match(volumeCondition?.message ?? '', /1 of 2 paths.*1 not connected/);
    answering.add(portals[1]);
    await rig.start();
    assert.equal(rig.host.snapshot().paths.length, 2, 'a plugin looks when it starts');
    assert.equal((await rig.stats(claim, claim.staging)).volumeCondition?.abnormal, false);
  });

  test('no portal answers: UNAVAILABLE naming what each said; nothing is left', async (t) => {
    const rig = await started(t);
    const claim = rig.claim(1, mountCapability());
    rig.host.subsystems.get(subnqn)?.portals.clear();
    await refused(rig.stage(claim), 'UNAVAILABLE', /10\.0\.0\.1:4420.*10\.0\.0\.2:4420/);
    await rig.unstage(claim);
    assertUntouched(rig);
  });

  test('every path reconnects: UNAVAILABLE', async (t) => {
    const { rig, claim } = await staged(t);
    rig.host.setPaths('connecting');
    await refused(rig.stage(claim), 'UNAVAILABLE', /no path .* is up/);
  });

  test('the kernel has given a path up: it is there again with the next volume', async (t) => {
    const rig = await started(t);
    await rig.stage(rig.claim(1, blockCapability()));
    rig.host.losePath(portals[0]);
    await rig.stage(rig.claim(2, blockCapability()));
    assert.equal(rig.host.snapshot().paths.length, 2);
  });

  test('the disk never appears: NOT_FOUND; nothing is left after unstaging', async (t) => {
    const rig = await started(t);
    const claim = rig.claim(1, mountCapability());
    claim.volume.access = null;
    await refused(rig.stage(claim), 'NOT_FOUND', /shows this node no namespace/);
    await rig.unstage(claim);
    assertUntouched(rig);
  });

  test('a volume is unstaged while another is staged: the paths stay, 40 times', async (t) => {
    const rig = await started(t);
    const claims = [rig.claim(1, blockCapability()), rig.claim(2, blockCapability())];
    const [one, two] = claims;
    assert.ok(one !== undefined && two !== undefined);
    for (let round = 0; round < 40; round += 1) {
      await rig.stage(one);
      await Promise.all([rig.unstage(one), rig.stage(two)]);
      assert.equal(rig.host.snapshot().paths.length, 2);
      assert.deepEqual(rig.host.snapshot().violations, []);
      await rig.unstage(two);
      assertUntouched(rig);
    }
  });

  test('an association that somebody uses is not disconnected', async (t) => {
    const rig = await started(t);
    const [mine, theirs] = [rig.claim(1, blockCapability()), rig.claim(2, blockCapability())];
    await rig.stage(mine);
    rig.host.strangers.set(theirs.volume.uuid, 'dm-0');
    await rig.unstage(mine);
    assert.equal(rig.host.snapshot().paths.length, 2);
  });

  test('a disk that a device mapper has is not let go of: FAILED_PRECONDITION', async (t) => {
    const rig = await started(t);
    const claim = rig.claim(1, blockCapability());
    await rig.stage(claim);
    rig.host.strangers.set(claim.volume.uuid, 'dm-0');
    await refused(rig.unstage(claim), 'FAILED_PRECONDITION', /still in use: dm-0/);
    rig.host.strangers.clear();
    await rig.unstage(claim);
    assertUntouched(rig);
  });

  test('keys go to the kernel when the controller says so, and are in no record', async (t) => {
    const rig = await started(t);
    const claim = rig.claim(1, blockCapability());
    const publish = {
      ...publishContext(claim.volume.uuid),
      authenticate: 'true',
      tls: 'required',
    };
    await refused(
      rig.stage(claim, { publishContext: publish }),
      'INVALID_ARGUMENT',
      /secret 'hostKey' is missing/,
    );
    const secrets = { hostKey: 'DHHC-1:00:c2VjcmV0:', tlsPsk: 'NVMeTLSkey-1:01:c2VjcmV0:' };
    await refused(
      rig.stage(claim, { publishContext: publish, secrets: { hostKey: secrets.hostKey } }),
      'INVALID_ARGUMENT',
      /secret 'tlsPsk' is missing/,
    );
    assertUntouched(rig);
    await rig.stage(claim, { publishContext: publish, secrets });
    assert.deepEqual(rig.host.secrets.get(subnqn), { ...secrets, controllerKey: null });
    assert.doesNotMatch(JSON.stringify(await rig.host.records()), /c2VjcmV0/);
  });
});
