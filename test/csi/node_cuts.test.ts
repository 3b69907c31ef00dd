/**
 * Every call of the Node service, cut between every two steps: the verb fails before it did a thing
 * or afterwards, or the plugin is killed there. The call made again ends as one that was not cut,
 * and undoing it leaves nothing, also when the node rebooted in between.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { blockCapability, type Claim, GiB, mountCapability, NodeRig } from './node_rig.js';
import { type CutMode, Cutter, cutModes, type OnVolume } from './simulated_host.js';

const target = '/kubelet/pods/a/mount';

interface Scene {
  readonly name: string;
  /** Before the call that is cut. */
  prepare(rig: NodeRig): Promise<Claim[]>;
  call(rig: NodeRig, claims: Claim[]): Promise<unknown>;
  /** Undoes all of it. */
  undo(rig: NodeRig, claims: Claim[]): Promise<void>;
  /** Also cut in the middle of making a file system. */
  readonly formats?: boolean;
}

const at = (claims: Claim[], index = 0): Claim => {
  const claim = claims[index];
  assert.ok(claim !== undefined);
  return claim;
};

async function undoAll(rig: NodeRig, claims: Claim[]): Promise<void> {
  for (const claim of claims) {
    await rig.unpublish(claim, target);
    await rig.unstage(claim);
  }
}

/** A file system that was not unmounted, on a volume that has grown since. */
const used = (fsType: string): OnVolume => {
  return { kind: 'file-system', fsType, sizeBytes: GiB / 2n, clean: false, group: 0 };
};

const stage = (rig: NodeRig, claims: Claim[]) => rig.stage(at(claims));
const scenes: Scene[] = [
  ...(['ext4', 'xfs', 'btrfs'] as const).map(
    (fsType): Scene => ({
      name: `staging a blank volume as ${fsType}`,
      prepare: async (rig) => [rig.claim(1, mountCapability({ fsType, group: '1000' }))],
      call: stage,
      undo: undoAll,
      formats: true,
    }),
  ),
  {
    name: 'staging a file system that was not unmounted, and has room to grow',
    prepare: async (rig) => [rig.claim(1, mountCapability(), used('ext4'))],
    call: stage,
    undo: undoAll,
  },
  {
    name: 'staging a block volume',
    prepare: async (rig) => [rig.claim(1, blockCapability())],
    call: stage,
    undo: undoAll,
  },
  {
    name: 'staging beside another volume of the tenant',
    prepare: async (rig) => {
      const claims = [rig.claim(1, mountCapability()), rig.claim(2, mountCapability())];
      await rig.stage(at(claims, 1));
      return claims;
    },
    call: stage,
    undo: undoAll,
    formats: true,
  },
  ...([false, true] as const).flatMap((readonly) =>
    [mountCapability({ group: '1000' }), blockCapability()].map(
      (capability): Scene => ({
        name: `publishing a ${capability.block === null ? 'file system' : 'disk'}${readonly ? ' to read' : ''}`,
        prepare: async (rig) => {
          const claims = [rig.claim(1, capability)];
          await rig.stage(at(claims));
          return claims;
        },
        call: (rig, claims) => rig.publish(at(claims), target, readonly),
        undo: undoAll,
      }),
    ),
  ),
  ...[mountCapability(), blockCapability()].map(
    (capability): Scene => ({
      name: `unpublishing a ${capability.block === null ? 'file system' : 'disk'}`,
      prepare: async (rig) => {
        const claims = [rig.claim(1, capability)];
        await rig.stage(at(claims));
        await rig.publish(at(claims), target);
        return claims;
      },
      call: (rig, claims) => rig.unpublish(at(claims), target),
      undo: undoAll,
    }),
  ),
  ...[mountCapability(), blockCapability()].map(
    (capability): Scene => ({
      name: `unstaging the last ${capability.block === null ? 'file system' : 'disk'} of a tenant`,
      prepare: async (rig) => {
        const claims = [rig.claim(1, capability)];
        await rig.stage(at(claims));
        return claims;
      },
      call: (rig, claims) => rig.unstage(at(claims)),
      undo: undoAll,
    }),
  ),
  {
    name: 'unstaging the last disk while discovery is kept',
    prepare: async (rig) => {
      const claims = [rig.claim(1, mountCapability())];
      await rig.stage(at(claims));
      await rig.news();
      assert.equal(rig.host.discovery.size, 1);
      return claims;
    },
    call: (rig, claims) => rig.unstage(at(claims)),
    undo: undoAll,
  },
  {
    name: 'unstaging beside another volume of the tenant',
    prepare: async (rig) => {
      const claims = [rig.claim(1, mountCapability()), rig.claim(2, blockCapability())];
      await rig.stage(at(claims));
      await rig.stage(at(claims, 1));
      return claims;
    },
    call: (rig, claims) => rig.unstage(at(claims)),
    undo: undoAll,
  },
  {
    name: 'expanding a file system',
    prepare: async (rig) => {
      const claims = [rig.claim(1, mountCapability())];
      await rig.stage(at(claims));
      at(claims).volume.sizeBytes = 2n * GiB;
      return claims;
    },
    call: (rig, claims) => rig.expand(at(claims), at(claims).staging, 2n * GiB),
    undo: undoAll,
  },
  {
    name: 'publishing an ephemeral volume',
    prepare: async () => [],
    call: (rig) => rig.publishEphemeral('csi-pod', target),
    undo: (rig) => rig.unpublishEphemeral('csi-pod', target),
    formats: true,
  },
  {
    name: 'unpublishing an ephemeral volume',
    prepare: async (rig) => {
      await rig.publishEphemeral('csi-pod', target);
      return [];
    },
    call: (rig) => rig.unpublishEphemeral('csi-pod', target),
    undo: (rig) => rig.unpublishEphemeral('csi-pod', target),
  },
];

/** Nothing on the node but what the CO made itself. */
function assertNothingLeft(rig: NodeRig): void {
  const { paths, disks, mounts, files, records, violations } = rig.host.snapshot();
  assert.deepEqual(
    { paths, disks, mounts, records, violations, made: rig.ephemeral.made.size },
    { paths: [], disks: [], mounts: [], records: [], violations: [], made: 0 },
  );
  assert.deepEqual([...rig.host.discovery], []);
  assert.deepEqual(
    files.filter((file) => !file.startsWith('/kubelet/staging/')),
    [],
  );
}

/** Of a call that is not cut. */
async function uncut(scene: Scene) {
  await using rig = new NodeRig();
  const cutter = new Cutter(rig.host);
  await rig.start(cutter);
  const claims = await scene.prepare(rig);
  await rig.service.idle();
  cutter.disarm();
  await scene.call(rig, claims);
  const verbs = cutter.count;
  await rig.service.idle();
  const end = rig.host.snapshot();
  assert.deepEqual(end.violations, []);
  await scene.call(rig, claims);
  await rig.service.idle();
  assert.deepEqual(rig.host.snapshot(), end, 'a repeat changes nothing');
  await scene.undo(rig, claims);
  assertNothingLeft(rig);
  return { verbs, end };
}

/** Cuts at a verb and hands over what is left, with a plugin that answers. */
async function cutAt(
  scene: Scene,
  at: number,
  mode: CutMode,
  then: (rig: NodeRig, claims: Claim[]) => Promise<void>,
): Promise<string> {
  await using rig = new NodeRig();
  const cutter = new Cutter(rig.host);
  await rig.start(cutter);
  const claims = await scene.prepare(rig);
  await rig.service.idle();
  cutter.arm(at, mode);
  await Promise.resolve(scene.call(rig, claims)).catch(() => undefined);
  await rig.service.idle().catch(() => undefined);
  const which = `${cutter.cut} (verb ${at}, ${mode})`;
  assert.ok(cutter.cut !== null, `verb ${at} was reached`);
  try {
    if (mode.startsWith('kill')) await rig.start();
    cutter.disarm();
    await then(rig, claims);
  } catch (thrown) {
    throw new Error(`cut at ${which}: ${String(thrown)}`, { cause: thrown });
  }
  return cutter.cut;
}

describe('a call that is cut anywhere', () => {
  for (const scene of scenes) {
    const modes: CutMode[] = [...cutModes];
    if (scene.formats === true) modes.push('error-half', 'kill-half');

    test(`${scene.name}: made again, it ends as one that was not cut`, async () => {
      const { verbs, end } = await uncut(scene);
      const cut = new Set<string>();
      for (let at = 1; at <= verbs; at += 1) {
        for (const mode of modes) {
          const verb = await cutAt(scene, at, mode, async (rig, claims) => {
            await scene.call(rig, claims);
            await rig.service.idle();
            assert.deepEqual(rig.host.snapshot(), end);
            await scene.undo(rig, claims);
            assertNothingLeft(rig);
          });
          cut.add(verb);
        }
      }
      assert.ok(cut.size >= 5, `${cut.size} different verbs were cut`);
    });

    test(`${scene.name}: undone instead, it leaves nothing`, async () => {
      const { verbs } = await uncut(scene);
      for (let at = 1; at <= verbs; at += 1) {
        for (const mode of modes) {
          await cutAt(scene, at, mode, async (rig, claims) => {
            await scene.undo(rig, claims);
            assertNothingLeft(rig);
          });
        }
      }
    });

    test(`${scene.name}: the node reboots, and what was asked for is made or undone`, async () => {
      const { verbs } = await uncut(scene);
      for (let at = 1; at <= verbs; at += 1) {
        for (const again of [false, true]) {
          await cutAt(scene, at, 'kill-after', async (rig, claims) => {
            rig.host.reboot();
            await rig.start();
            for (const claim of again ? claims : []) {
              await rig.stage(claim);
              await rig.publish(claim, target);
              await rig.unpublish(claim, target);
            }
            await scene.undo(rig, claims);
            assertNothingLeft(rig);
          });
        }
      }
    });
  }
});
