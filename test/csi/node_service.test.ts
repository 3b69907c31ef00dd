/** What the Node service answers, over a simulated host: the codes, and what is left afterwards. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Status } from '../../lib/csi/errors.js';
import type { AccessModeName } from '../../lib/csi/wire/messages.js';
import { assertUntouched, refused, staged, started } from './node_checks.js';
import {
  blockCapability,
  GiB,
  mountCapability,
  type NodeRig,
  portals,
  publishContext,
  settings,
  uuidOf,
} from './node_rig.js';

const target = '/kubelet/pods/a/mount';
const other = '/kubelet/pods/b/mount';

const life = async (rig: NodeRig, claim: ReturnType<NodeRig['claim']>): Promise<void> => {
  await rig.unpublish(claim, target);
  await rig.unpublish(claim, other);
  await rig.unstage(claim);
  assertUntouched(rig);
};

describe('capabilities and identity', () => {
  test('every node capability of the specification is advertised', async (t) => {
    const rig = await started(t);
    const { capabilities = [] } = await rig.service.nodeGetCapabilities();
    assert.deepEqual(
      capabilities.map((each) => each.rpc?.type),
      [
        'STAGE_UNSTAGE_VOLUME',
        'GET_VOLUME_STATS',
        'EXPAND_VOLUME',
        'VOLUME_CONDITION',
        'SINGLE_NODE_MULTI_WRITER',
        'VOLUME_MOUNT_GROUP',
      ],
    );
  });

  test("the node's ID is its host NQN; with it come the limit and the place", async (t) => {
    const rig = await started(t);
    assert.deepEqual(await rig.service.nodeGetInfo(), {
      nodeId: `nqn.2014-08.org.nvmexpress:uuid:${rig.host.hostid}`,
      maxVolumesPerNode: 500n,
      accessibleTopology: { segments: settings.topology },
    });
  });
});

describe('file systems', () => {
  const content = {
    kind: 'file-system',
    fsType: 'ext4',
    sizeBytes: GiB,
    clean: false,
    group: 0,
  } as const;

  test('what is not blank, and not what is wanted, is never formatted', async (t) => {
    const rig = await started(t);
    const cases = [
      ['xfs', /has the file system xfs on it, where ext4/],
      ['vfat', /has the file system vfat on it/],
    ] as const;
    for (const [index, [fsType, text]] of cases.entries()) {
      const content = {
        kind: 'file-system',
        fsType,
        sizeBytes: GiB,
        clean: true,
        group: 0,
      } as const;
      const claim = rig.claim(index + 1, mountCapability(), { ...content });
      await refused(rig.stage(claim), 'FAILED_PRECONDITION', text);
      assert.deepEqual(claim.volume.content, content);
      await rig.unstage(claim);
    }
    for (const what of ['a partition table (gpt)', 'crypto_LUKS (crypto)']) {
      const claim = rig.claim(9, mountCapability(), { kind: 'other', what });
      await refused(rig.stage(claim), 'FAILED_PRECONDITION', /never formatted/);
      assert.deepEqual(claim.volume.content, { kind: 'other', what });
      await rig.unstage(claim);
    }
    assertUntouched(rig);
  });

  test('bytes of a cut mkfs of another node may be data: not formatted', async (t) => {
    const rig = await started(t);
    const claim = rig.claim(1, mountCapability(), { kind: 'half' });
    await refused(rig.stage(claim), 'FAILED_PRECONDITION', /not zero/);
  });

  test('no fs_type: what the disk has, or ext4', async (t) => {
    const rig = await started(t);
    const content = {
      kind: 'file-system',
      fsType: 'xfs',
      sizeBytes: GiB,
      clean: true,
      group: 0,
    } as const;
    await rig.stage(rig.claim(1, mountCapability({ fsType: '' }), content));
    await rig.stage(rig.claim(2, mountCapability({ fsType: '' })));
    const { mounts } = rig.host.snapshot();
    assert.match(mounts[0] ?? '', /staging\/1 file-system xfs/);
    assert.match(mounts[1] ?? '', /staging\/2 file-system ext4/);
  });

  test('a restored snapshot that is larger than its file system: grown when it is staged', async (t) => {
    const rig = await started(t);
    const claim = rig.claim(1, mountCapability(), { ...content }, 2n * GiB);
    await rig.stage(claim);
    assert.deepEqual(claim.volume.content, { ...content, sizeBytes: 2n * GiB, clean: true });
  });

  test('read-only: neither checked, nor formatted, nor grown, nor given to a group', async (t) => {
    const rig = await started(t);
    const capability = mountCapability({ mode: 'MULTI_NODE_READER_ONLY', group: '7' });
    const claim = rig.claim(1, capability, { ...content }, 2n * GiB);
    claim.volume.access = 'read-only';
    await rig.stage(claim);
    await rig.publish(claim, target);
    await rig.publish(claim, other);
    assert.deepEqual(claim.volume.content, content);
    assert.ok(rig.host.snapshot().mounts.every((mount) => mount.includes(' ro ')));
    await life(rig, claim);
    const blank = rig.claim(2, capability);
    await refused(rig.stage(blank), 'FAILED_PRECONDITION', /is blank, and is to be read only/);
    assert.deepEqual(blank.volume.content, { kind: 'blank' });
  });

  test('something else is mounted at the staging path: it stays, and is told of', async (t) => {
    const rig = await started(t);
    const claim = rig.claim(1, mountCapability());
    rig.host.mountForeign(claim.staging);
    await refused(rig.stage(claim), 'FAILED_PRECONDITION', /something else is mounted/);
    await rig.unstage(claim);
    assert.deepEqual(rig.host.snapshot().mounts, [
      `${claim.staging} file-system tmpfs undefined rw `,
    ]);
  });

  test('a volume that was taken by force and given again: the dead mounts go', async (t) => {
    const { rig, claim } = await staged(t);
    await rig.publish(claim, target);
    rig.host.revoke(claim.volume.uuid);
    const { volumeCondition } = await rig.stats(claim, target);
    assert.deepEqual([volumeCondition?.abnormal], [true]);
    assert.match(volumeCondition?.message ?? '', /the disk is gone/);
    claim.volume.access = 'read-write';
    await rig.stage(claim);
    await rig.publish(claim, target);
    assert.ok(rig.host.snapshot().mounts.every((mount) => !mount.includes('gone')));
    assert.equal(rig.host.snapshot().mounts.length, 2);
    await life(rig, claim);
  });

  test('a volume that was taken by force: unpublished and unstaged, and nothing is left', async (t) => {
    const { rig, claim } = await staged(t);
    await rig.publish(claim, target);
    rig.host.revoke(claim.volume.uuid);
    await life(rig, claim);
  });
});

describe('repeats and contradictions', () => {
  test('staged in another way: ALREADY_EXISTS; at another path: FAILED_PRECONDITION', async (t) => {
    const rig = await started(t);
    for (const [index, capability] of [mountCapability(), blockCapability()].entries()) {
      const claim = rig.claim(index, capability);
      await rig.stage(claim);
      await rig.stage(claim);
      const changed = mountCapability({ flags: ['noatime'] });
      await refused(
        rig.stage(claim, { volumeCapability: changed }),
        'ALREADY_EXISTS',
        /is staged at .* and not as it is asked for now/,
      );
      await refused(
        rig.stage(claim, { stagingTargetPath: '/kubelet/staging/elsewhere' }),
        'FAILED_PRECONDITION',
        /unstage it before/,
      );
    }
  });

  const modes: [AccessModeName, 'block' | 'mount', boolean][] = [
    ['SINGLE_NODE_WRITER', 'mount', false],
    ['SINGLE_NODE_SINGLE_WRITER', 'mount', false],
    ['SINGLE_NODE_MULTI_WRITER', 'mount', true],
    ['SINGLE_NODE_SINGLE_WRITER', 'block', false],
    ['SINGLE_NODE_MULTI_WRITER', 'block', true],
    ['MULTI_NODE_MULTI_WRITER', 'block', true],
    ['MULTI_NODE_SINGLE_WRITER', 'block', true],
  ];
  for (const [mode, kind, several] of modes) {
    test(`${mode}, ${kind}: ${several ? 'two targets' : 'one target'}, each in one way`, async (t) => {
      const rig = await started(t);
      const capability = kind === 'block' ? blockCapability(mode) : mountCapability({ mode });
      const claim = rig.claim(1, capability);
      await rig.stage(claim);
      await rig.publish(claim, target);
      await rig.publish(claim, target);
      await refused(rig.publish(claim, target, true), 'ALREADY_EXISTS', /already/);
      if (several) {
        await rig.publish(claim, other, true);
      } else {
        for (const readonly of [false, true]) {
          await refused(
            rig.publish(claim, other, readonly),
            'FAILED_PRECONDITION',
            /at one place only/,
          );
        }
        // Told by the kernel, not by a record.
        await rig.host.forget(claim.volume.uuid);
        await refused(rig.publish(claim, other), 'FAILED_PRECONDITION', /at one place only/);
      }
      await life(rig, claim);
    });
  }

  test('published before it is staged: FAILED_PRECONDITION', async (t) => {
    const rig = await started(t);
    const claim = rig.claim(1, mountCapability());
    await refused(rig.publish(claim, target), 'FAILED_PRECONDITION', /call NodeStageVolume first/);
    assertUntouched(rig);
  });

  test('unstaged while it is published: FAILED_PRECONDITION, and it stays', async (t) => {
    const { rig, claim } = await staged(t);
    await rig.publish(claim, target);
    await refused(rig.unstage(claim), 'FAILED_PRECONDITION', /still published at/);
    assert.equal(rig.host.snapshot().mounts.length, 2);
  });

  test('what was never there is undone, again and again', async (t) => {
    const rig = await started(t);
    const claim = rig.claim(1, mountCapability());
    for (let count = 0; count < 2; count += 1) await life(rig, claim);
  });

  test('two calls for one volume at once: the second is ABORTED, of another volume not', async (t) => {
    const rig = await started(t);
    const [claim, another] = [rig.claim(1, mountCapability()), rig.claim(2, mountCapability())];
    const first = rig.stage(claim);
    const second = refused(rig.stage(claim), 'ABORTED', /still under way/);
    await Promise.all([first, second, rig.stage(another)]);
    assert.equal(rig.host.snapshot().mounts.length, 2);
  });

  test('the record is lost: staged for writing is not staged to read', async (t) => {
    const { rig, claim } = await staged(t);
    await rig.host.forget(claim.volume.uuid);
    await refused(
      rig.stage(claim, { volumeCapability: mountCapability({ mode: 'SINGLE_NODE_READER_ONLY' }) }),
      'ALREADY_EXISTS',
      /is staged at .* to write/,
    );
    await rig.stage(claim);
    await life(rig, claim);
  });

  test('all records are lost: the volumes are let go of all the same', async (t) => {
    const { rig, claim } = await staged(t);
    await rig.publish(claim, target);
    await rig.host.forget(claim.volume.uuid);
    await rig.start();
    await rig.publish(claim, target);
    await life(rig, claim);
  });

  test('the call is cancelled: nothing more is done', async (t) => {
    const rig = await started(t);
    const claim = rig.claim(1, mountCapability());
    const call = rig.call(AbortSignal.abort());
    await assert.rejects(rig.service.nodeStageVolume(rig.stageRequest(claim), call));
    assert.deepEqual(rig.host.snapshot().mounts, []);
    assert.deepEqual(claim.volume.content, { kind: 'blank' });
  });
});

describe('bad input', () => {
  const wide = '/'.padEnd(5000, 'x');

  test('NodeStageVolume', async (t) => {
    const rig = await started(t);
    const claim = rig.claim(1, mountCapability());
    const context = publishContext(claim.volume.uuid);
    const cases: [Partial<ReturnType<NodeRig['stageRequest']>>, Status, RegExp][] = [
      [{ volumeId: '' }, 'INVALID_ARGUMENT', /volume_id is missing/],
      [{ volumeId: 'pvc-1' }, 'NOT_FOUND', /volume 'pvc-1' does not exist/],
      [{ volumeId: 'ü'.repeat(500) }, 'NOT_FOUND', /does not exist/],
      [{ volumeId: uuidOf(2) }, 'INVALID_ARGUMENT', /publish_context is of the volume/],
      [{ stagingTargetPath: '' }, 'INVALID_ARGUMENT', /staging_target_path is missing/],
      [{ stagingTargetPath: 'a/b' }, 'INVALID_ARGUMENT', /no absolute path/],
      [{ stagingTargetPath: wide }, 'INVALID_ARGUMENT', /no absolute path of up to 4095/],
      [{ volumeCapability: null }, 'INVALID_ARGUMENT', /volume_capability is missing/],
      [
        { volumeCapability: { ...claim.capability, accessMode: null } },
        'INVALID_ARGUMENT',
        /access_mode is missing/,
      ],
      [
        { volumeCapability: { ...claim.capability, mount: null } },
        'INVALID_ARGUMENT',
        /neither block nor mount/,
      ],
      ...(['MULTI_NODE_SINGLE_WRITER', 'MULTI_NODE_MULTI_WRITER'] as const).map(
        (mode): [{ volumeCapability: typeof claim.capability }, Status, RegExp] => [
          { volumeCapability: mountCapability({ mode }) },
          'FAILED_PRECONDITION',
          /is for block volumes/,
        ],
      ),
      [
        { volumeCapability: mountCapability({ fsType: 'ntfs' }) },
        'FAILED_PRECONDITION',
        /fs_type 'ntfs' is none of ext4, xfs, btrfs/,
      ],
      ...['bind', 'remount', 'loop=/dev/loop0', 'noatime,rbind', 'X-mount.mkdir', 'helper=x'].map(
        (flag): [{ volumeCapability: typeof claim.capability }, Status, RegExp] => [
          { volumeCapability: mountCapability({ flags: [flag] }) },
          'INVALID_ARGUMENT',
          /mount flag/,
        ],
      ),
      [
        { volumeCapability: mountCapability({ flags: ['x'.repeat(4097)] }) },
        'INVALID_ARGUMENT',
        /4097 bytes/,
      ],
      [
        { volumeCapability: mountCapability({ group: 'users' }) },
        'INVALID_ARGUMENT',
        /volume_mount_group 'users'/,
      ],
      [
        { volumeCapability: mountCapability({ group: '4294967295' }) },
        'INVALID_ARGUMENT',
        /no group ID/,
      ],
      [{ publishContext: {} }, 'INVALID_ARGUMENT', /publish_context\['uuid'\] is missing/],
      [
        { publishContext: { ...context, portals: 'example.org' } },
        'INVALID_ARGUMENT',
        /portal 'example\.org' is not of the form/,
      ],
      [
        { publishContext: { ...context, access: 'all' } },
        'INVALID_ARGUMENT',
        /publish_context\['access'\] 'all'/,
      ],
    ];
    for (const [changes, status, text] of cases) {
      await refused(rig.stage(claim, changes), status, text);
      assertUntouched(rig);
    }
  });

  test('NodePublishVolume, NodeUnpublishVolume, NodeUnstageVolume', async (t) => {
    const rig = await started(t);
    const claim = rig.claim(1, mountCapability());
    const publish = (changes: object) =>
      rig.service.nodePublishVolume(
        { ...rig.publishRequest(claim, target), ...changes },
        rig.call(),
      );
    await refused(publish({ volumeId: '' }), 'INVALID_ARGUMENT', /volume_id is missing/);
    await refused(publish({ targetPath: '' }), 'INVALID_ARGUMENT', /target_path is missing/);
    await refused(publish({ volumeId: 'x' }), 'NOT_FOUND', /does not exist/);
    await refused(
      publish({ stagingTargetPath: '' }),
      'FAILED_PRECONDITION',
      /staging_target_path is missing/,
    );
    await refused(
      publish({ volumeCapability: null }),
      'INVALID_ARGUMENT',
      /volume_capability is missing/,
    );
    const undo = (volumeId: string, path: string) => [
      rig.service.nodeUnpublishVolume({ volumeId, targetPath: path }, rig.call()),
      rig.service.nodeUnstageVolume({ volumeId, stagingTargetPath: path }, rig.call()),
    ];
    for (const call of undo('', target)) await refused(call, 'INVALID_ARGUMENT', /volume_id/);
    for (const call of undo(uuidOf(1), '')) await refused(call, 'INVALID_ARGUMENT', /path/);
    assertUntouched(rig);
  });

  test('the target is of another kind: INVALID_ARGUMENT', async (t) => {
    const { rig, claim } = await staged(t);
    await rig.host.makeFile(target);
    await refused(rig.publish(claim, target), 'INVALID_ARGUMENT', /is no folder/);
    await rig.unpublish(claim, target);
    await rig.unstage(claim);
    assertUntouched(rig);
  });
});

describe('stats and expansion', () => {
  test('a file system tells bytes and inodes, a disk its size', async (t) => {
    const rig = await started(t);
    const [files, disk] = [rig.claim(1, mountCapability()), rig.claim(2, blockCapability())];
    for (const [index, claim] of [files, disk].entries()) {
      await rig.stage(claim);
      await rig.publish(claim, `${target}${index}`);
    }
    const good = { abnormal: false, message: 'every path is up, and no error is known' };
    assert.deepEqual(await rig.stats(files, `${target}0`), {
      usage: [
        { unit: 'BYTES', total: 1000n, available: 600n, used: 400n },
        { unit: 'INODES', total: 100n, available: 90n, used: 10n },
      ],
      volumeCondition: good,
    });
    for (const path of [`${target}1`, disk.staging]) {
      assert.deepEqual(await rig.stats(disk, path), {
        usage: [{ unit: 'BYTES', total: GiB }],
        volumeCondition: good,
      });
    }
  });

  test('not at that path: NOT_FOUND', async (t) => {
    const rig = await started(t);
    const claim = rig.claim(1, mountCapability());
    await refused(rig.stats(claim, target), 'NOT_FOUND', /is not at/);
    await rig.stage(claim);
    await refused(rig.stats(claim, target), 'NOT_FOUND', /is not at/);
    await refused(rig.stats(claim, ''), 'INVALID_ARGUMENT', /volume_path is missing/);
    await refused(rig.expand(claim, target, GiB), 'NOT_FOUND', /is not at/);
  });

  test('paths down, and a file system that has stopped, are told of', async (t) => {
    const { rig, claim } = await staged(t);
    rig.host.setPaths('connecting', portals[0]);
    const told = async () => (await rig.stats(claim, claim.staging)).volumeCondition?.message ?? '';
    assert.match(await told(), /1 of 2 paths .*10\.0\.0\.1:4420 is connecting/);
    rig.host.setPaths('connecting');
    assert.match(await told(), /no path to the volume is up/);
    rig.host.failFileSystem(claim.volume.uuid);
    assert.match(await told(), /made itself read-only.*does not answer/);
  });

  test('expanded by the controller: the file system follows; a repeat is fine', async (t) => {
    const { rig, claim } = await staged(t);
    await rig.publish(claim, target);
    claim.volume.sizeBytes = 3n * GiB;
    for (let count = 0; count < 2; count += 1) {
      assert.equal(await rig.expand(claim, target, 3n * GiB), 3n * GiB);
    }
    assert.equal(Reflect.get(claim.volume.content, 'sizeBytes'), 3n * GiB);
  });

  test('a block volume, staged or published: its size', async (t) => {
    const rig = await started(t);
    const claim = rig.claim(1, blockCapability());
    await rig.stage(claim);
    claim.volume.sizeBytes = 2n * GiB;
    assert.equal(await rig.expand(claim, claim.staging, 2n * GiB), 2n * GiB);
    await rig.publish(claim, target);
    assert.equal(await rig.expand(claim, target, 0n), 2n * GiB);
  });

  test('the new size is not here yet: UNAVAILABLE; no size fits: OUT_OF_RANGE', async (t) => {
    const { rig, claim } = await staged(t);
    await refused(rig.expand(claim, claim.staging, 2n * GiB), 'UNAVAILABLE', /not yet 2147483648/);
    const request = {
      volumeId: claim.volume.uuid,
      volumePath: claim.staging,
      capacityRange: { requiredBytes: 2n, limitBytes: 1n },
      stagingTargetPath: '',
      volumeCapability: null,
      secrets: {},
    };
    const expand = (changes: object) =>
      rig.service.nodeExpandVolume({ ...request, ...changes }, rig.call());
    await refused(expand({}), 'OUT_OF_RANGE', /has no size in it/);
    const any = { capacityRange: null };
    const small = { requiredBytes: 1n, limitBytes: 4096n };
    await refused(expand({ capacityRange: small }), 'OUT_OF_RANGE', /more than the limit/);
    await refused(expand({ ...any, volumeId: uuidOf(5) }), 'NOT_FOUND', /is not on this node/);
    await refused(expand({ ...any, volumePath: '' }), 'INVALID_ARGUMENT', /volume_path is missing/);
  });

  test('mounted read-only: FAILED_PRECONDITION', async (t) => {
    const rig = await started(t);
    const content = {
      kind: 'file-system',
      fsType: 'ext4',
      sizeBytes: GiB,
      clean: true,
      group: 0,
    } as const;
    const claim = rig.claim(1, mountCapability({ mode: 'SINGLE_NODE_READER_ONLY' }), content);
    await rig.stage(claim);
    await refused(rig.expand(claim, claim.staging, GiB), 'FAILED_PRECONDITION', /read-only/);
  });
});

describe('ephemeral inline volumes', () => {
  test('made at the target, and given back; a pod has one place', async (t) => {
    const rig = await started(t);
    await rig.publishEphemeral('csi-pod', target);
    await rig.publishEphemeral('csi-pod', target);
    assert.equal(rig.host.snapshot().mounts.length, 1);
    await refused(rig.publishEphemeral('csi-pod', other), 'FAILED_PRECONDITION', /is published at/);
    const { usage } = await rig.service.nodeGetVolumeStats(
      {
        volumeId: 'csi-pod',
        volumePath: target,
        stagingTargetPath: '',
      },
      rig.call(),
    );
    assert.equal(usage?.length, 2);
    await rig.start();
    await rig.unpublishEphemeral('csi-pod', target);
    await rig.unpublishEphemeral('csi-pod', target);
    assert.equal(rig.ephemeral.made.size, 0);
    assertUntouched(rig);
  });

  test('the node reboots: it is given back all the same', async (t) => {
    const rig = await started(t);
    await rig.publishEphemeral('csi-pod', target);
    rig.host.reboot();
    await rig.start();
    assert.equal((await rig.host.records()).length, 1, 'what is to be given back is remembered');
    await rig.unpublishEphemeral('csi-pod', target);
    assert.equal(rig.ephemeral.made.size, 0);
    assertUntouched(rig);
  });
});

test('a reboot: what was staged before it is forgotten when the plugin starts', async (t) => {
  const rig = await started(t);
  const claim = rig.claim(1, blockCapability());
  await rig.stage(claim);
  rig.host.reboot();
  await rig.start();
  assertUntouched(rig);
  await rig.stage(claim);
  await rig.publish(claim, target);
  await life(rig, claim);
});
