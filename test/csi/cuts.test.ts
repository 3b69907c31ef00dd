/**
 * Suite P11 of the controller: every RPC is cut at every request that it sends, before and after
 * its effect, and called again; or undone. The end is as if nothing had been, and nothing is left.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatSecret, generateSecret } from '../../lib/auth/secret.js';
import { groupUuid } from '../../lib/csi/controller/identities.js';
import { ephemeralVolumes } from '../../lib/csi/controller/services.js';
import { CsiError } from '../../lib/csi/errors.js';
import { volumeUuid } from '../../lib/csi/names.js';
import { ControllerFixture, MiB, nodeA, nodeB, writer } from './controller_fixture.js';
import { Cutter, type CutWhen } from './cuts.js';

interface Scenario {
  /** How many daemons there are. */
  daemons?: number;
  /** What is there before. */
  prepare?: (fixture: ControllerFixture) => Promise<unknown>;
  call: (fixture: ControllerFixture) => Promise<unknown>;
  /** What a CO calls when it wants it no more; also when it never had an answer. */
  undo: (fixture: ControllerFixture) => Promise<unknown>;
}

const size = { requiredBytes: 8n * MiB };
const create = (fixture: ControllerFixture, name: string, more: object = {}) =>
  fixture.ask('createVolume', {
    name,
    capacityRange: size,
    volumeCapabilities: [writer],
    ...more,
  });
const remove = (fixture: ControllerFixture, name: string) =>
  fixture.ask('deleteVolume', { volumeId: volumeUuid(name) });
const publish = (fixture: ControllerFixture, name: string, nodeId: string, secrets = {}) =>
  fixture.ask('controllerPublishVolume', {
    volumeId: volumeUuid(name),
    nodeId,
    volumeCapability: writer,
    secrets,
  });
const unpublish = (fixture: ControllerFixture, name: string) =>
  fixture.ask('controllerUnpublishVolume', { volumeId: volumeUuid(name) });
const snap = async (fixture: ControllerFixture, name: string, source: string) => {
  const request = { name, sourceVolumeId: volumeUuid(source) };
  const { snapshot } = await fixture.ask('createSnapshot', request);
  return snapshot?.snapshotId ?? '';
};
const groupOf = (fixture: ControllerFixture) =>
  fixture.askGroup('createVolumeGroupSnapshot', {
    name: 'g',
    sourceVolumeIds: [volumeUuid('one'), volumeUuid('two')],
  });
const removeGroup = async (fixture: ControllerFixture) => {
  const snapshots = await fixture.client.list('listSnapshots');
  return fixture.askGroup('deleteVolumeGroupSnapshot', {
    groupSnapshotId: groupUuid('g'),
    snapshotIds: snapshots
      .filter((each) => each.groupUuid === groupUuid('g'))
      .map(({ uuid }) => uuid),
  });
};

const keep = { cron: '@daily', keep: { last: 2 } };
const keys = {
  hostKey: formatSecret(generateSecret('sha256')),
  controllerKey: formatSecret(generateSecret('sha256')),
};

/** Hosts stay when their last volume goes, so they are there from the beginning. */
async function hosts(fixture: ControllerFixture): Promise<void> {
  for (const nqn of [nodeA, nodeB]) {
    await fixture.client.call('createHost', { body: { nqn } });
  }
}

async function schedulesAndPolicies({ client }: ControllerFixture): Promise<void> {
  for (const name of ['gold', 'silver']) {
    await client.call('createPolicy', { body: { name, iops: 1000 } });
  }
  for (const name of ['nightly', 'hourly']) {
    await client.call('createSchedule', { body: { ...keep, name, volumes: [] } });
  }
}

const inline = async (
  fixture: ControllerFixture,
  work: (volumes: ReturnType<typeof ephemeralVolumes>) => Promise<unknown>,
) => {
  const { settings: endpoints, log: logger } = fixture;
  await using volumes = ephemeralVolumes({ endpoints, logger, connect: fixture.connect }, null);
  return work(volumes);
};
const never = new AbortController().signal;

const scenarios: Readonly<Record<string, Scenario>> = {
  createVolume: {
    prepare: schedulesAndPolicies,
    call: (fixture) =>
      create(fixture, 'new', {
        parameters: { policy: 'gold', schedule: 'nightly', reserve: 'true' },
      }),
    undo: (fixture) => remove(fixture, 'new'),
  },
  'createVolume at two daemons': {
    daemons: 2,
    call: (fixture) => create(fixture, 'new'),
    undo: (fixture) => remove(fixture, 'new'),
  },
  'createVolume from a snapshot': {
    prepare: async (fixture) => {
      await create(fixture, 'one');
      await snap(fixture, 's', 'one');
    },
    call: async (fixture) => {
      const [snapshot] = await fixture.client.list('listSnapshots');
      const volumeContentSource = { snapshot: { snapshotId: snapshot?.uuid ?? '' } };
      return create(fixture, 'new', { volumeContentSource });
    },
    undo: (fixture) => remove(fixture, 'new'),
  },
  'createVolume from a volume': {
    prepare: (fixture) => create(fixture, 'one'),
    call: (fixture) =>
      create(fixture, 'new', {
        volumeContentSource: { volume: { volumeId: volumeUuid('one') } },
        capacityRange: { requiredBytes: 9n * MiB },
      }),
    undo: (fixture) => remove(fixture, 'new'),
  },
  deleteVolume: {
    prepare: (fixture) => create(fixture, 'one'),
    call: (fixture) => remove(fixture, 'one'),
    undo: (fixture) => create(fixture, 'one'),
  },
  controllerPublishVolume: {
    prepare: async (fixture) => {
      await hosts(fixture);
      await create(fixture, 'one');
    },
    call: (fixture) => publish(fixture, 'one', nodeA, keys),
    undo: (fixture) => unpublish(fixture, 'one'),
  },
  controllerUnpublishVolume: {
    prepare: async (fixture) => {
      await hosts(fixture);
      await create(fixture, 'one');
      await publish(fixture, 'one', nodeA);
    },
    call: (fixture) => unpublish(fixture, 'one'),
    undo: (fixture) => publish(fixture, 'one', nodeA),
  },
  controllerExpandVolume: {
    prepare: (fixture) => create(fixture, 'one'),
    call: (fixture) =>
      fixture.ask('controllerExpandVolume', {
        volumeId: volumeUuid('one'),
        capacityRange: { requiredBytes: 20n * MiB },
      }),
    undo: async (fixture) => {
      await remove(fixture, 'one');
      await create(fixture, 'one');
    },
  },
  controllerModifyVolume: {
    prepare: async (fixture) => {
      await schedulesAndPolicies(fixture);
      await create(fixture, 'one', { parameters: { policy: 'gold', schedule: 'nightly' } });
    },
    call: (fixture) =>
      fixture.ask('controllerModifyVolume', {
        volumeId: volumeUuid('one'),
        mutableParameters: { policy: 'silver', schedule: 'hourly' },
      }),
    undo: (fixture) =>
      fixture.ask('controllerModifyVolume', {
        volumeId: volumeUuid('one'),
        mutableParameters: { policy: 'gold', schedule: 'nightly' },
      }),
  },
  createSnapshot: {
    prepare: (fixture) => create(fixture, 'one'),
    call: (fixture) => snap(fixture, 's', 'one'),
    undo: async (fixture) => {
      const all = await fixture.client.list('listSnapshots');
      for (const { uuid: snapshotId } of all) await fixture.ask('deleteSnapshot', { snapshotId });
    },
  },
  deleteSnapshot: {
    prepare: async (fixture) => {
      await create(fixture, 'one');
      await snap(fixture, 's', 'one');
    },
    call: async (fixture) => {
      const [snapshot] = await fixture.client.list('listSnapshots');
      return fixture.ask('deleteSnapshot', { snapshotId: snapshot?.uuid ?? 'gone' });
    },
    undo: (fixture) => snap(fixture, 's', 'one'),
  },
  createVolumeGroupSnapshot: {
    prepare: async (fixture) => {
      await create(fixture, 'one');
      await create(fixture, 'two');
    },
    call: groupOf,
    undo: removeGroup,
  },
  deleteVolumeGroupSnapshot: {
    prepare: async (fixture) => {
      await create(fixture, 'one');
      await create(fixture, 'two');
      await groupOf(fixture);
    },
    call: removeGroup,
    undo: groupOf,
  },
  'an inline volume made': {
    prepare: hosts,
    call: (fixture) =>
      inline(fixture, (each) => each.create('csi-1', { size: '4Mi' }, nodeA, never)),
    undo: (fixture) => inline(fixture, (each) => each.remove('csi-1', nodeA, never)),
  },
  'an inline volume removed': {
    prepare: async (fixture) => {
      await hosts(fixture);
      await inline(fixture, (each) => each.create('csi-1', { size: '4Mi' }, nodeA, never));
    },
    call: (fixture) => inline(fixture, (each) => each.remove('csi-1', nodeA, never)),
    undo: (fixture) =>
      inline(fixture, (each) => each.create('csi-1', { size: '4Mi' }, nodeA, never)),
  },
};

/** Without what differs from one run to the next: times, and NSIDs, which are never given twice. */
function lasting(answer: unknown): unknown {
  return JSON.parse(
    JSON.stringify(answer ?? null, (key, value: unknown) => {
      if (key === 'creationTime' || key === 'nsid') return 'some';
      if (key === 'snapshots' && Array.isArray(value)) {
        return [...value].map((each) => JSON.stringify(lasting(each))).sort();
      }
      return typeof value === 'bigint' ? String(value) : value;
    }),
  );
}

/** Everything that there is, with what the contents leave out. */
async function whole(fixture: ControllerFixture): Promise<unknown> {
  const volumes: string[] = [];
  for (const client of fixture.clients) {
    for (const { name, policy, reserved, sourceUuid } of await client.list('listVolumes')) {
      volumes.push(`${name} ${policy} ${reserved} ${sourceUuid}`);
    }
  }
  return [await fixture.contents(), volumes];
}

for (const [name, { daemons = 1, prepare, call, undo }] of Object.entries(scenarios)) {
  test(`cuts: ${name}: at every request, before and after: again, or undone, nothing is left`, async () => {
    const cutter = new Cutter();
    await using fixture = await ControllerFixture.open(daemons, { wrap: cutter.wrap });
    await prepare?.(fixture);
    const before = await whole(fixture);
    const answer = lasting(await call(fixture));
    const after = await whole(fixture);
    await undo(fixture);
    assert.deepEqual(await whole(fixture), before, 'undone');
    let cuts = 0;
    for (const when of ['before', 'after'] satisfies CutWhen[]) {
      for (const then of ['again', 'undo'] as const) {
        for (let nth = 1; ; nth += 1) {
          const text = `cut ${when} request ${nth}, then ${then}`;
          cutter.arm(nth, when);
          const outcome = await call(fixture).then(
            () => null,
            (thrown: unknown) => thrown,
          );
          if (!cutter.disarm()) {
            await undo(fixture);
            break;
          }
          cuts += 1;
          if (outcome !== null) {
            assert.ok(outcome instanceof CsiError, text);
            assert.equal(outcome.status, 'UNAVAILABLE', `${text}: ${outcome.message}`);
          }
          if (then === 'again') {
            assert.deepEqual(lasting(await call(fixture)), answer, text);
            assert.deepEqual(await whole(fixture), after, text);
          }
          await undo(fixture);
          assert.deepEqual(await whole(fixture), before, text);
        }
      }
    }
    assert.ok(cuts >= 8, `${cuts} cuts`);
  });
}
