import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type FeatureNamespace, FeatureState, roundKeepAlive } from '../../lib/target/features.js';
import { decodeSqe } from '../../lib/target/sqe.js';
import { statuses } from '../../lib/target/statuses.js';
import { sqe } from './layout.js';

const hostId = Uint8Array.from({ length: 16 }, (_, index) => index);

function state(over: { kind?: 'io' | 'discovery'; writeThrough?: boolean } = {}) {
  const io = over.kind !== 'discovery';
  const features = new FeatureState({
    kind: over.kind ?? 'io',
    hostId,
    maxIoQueues: io ? 128 : 0,
    writeThrough: over.writeThrough ?? false,
    keepAliveMs: 5000,
  });
  const told: number[] = [];
  let queues = false;
  const masks: [number, number][] = [];
  const persistence: [number, boolean][] = [];
  return {
    features,
    told,
    masks,
    persistence,
    connectQueues: () => {
      queues = true;
    },
    get: (fid: number, cdw11 = 0, select = 0, nsid = 0, of: FeatureNamespace | null = null) =>
      features.get(decodeSqe(sqe({ opcode: 0x0a, cdw10: fid | (select << 8), cdw11, nsid })), of),
    set: (fid: number, cdw11: number, more: { save?: boolean; nsid?: number } = {}) => {
      const cdw10 = fid | (more.save === true ? 0x8000_0000 : 0);
      const bytes = sqe({ opcode: 0x09, cdw10, cdw11, nsid: more.nsid ?? 0 });
      return features.set(decodeSqe(bytes), null, {
        setKeepAlive: (timeoutMs) => told.push(timeoutMs),
        ioQueuesExist: () => queues,
        visibleNsids: () => [1, 2],
        setNotificationMask: (nsid, mask) => masks.push([nsid, mask]),
        setPersistence: async (nsid, ptpl) => {
          persistence.push([nsid, ptpl]);
          return statuses.success;
        },
      });
    },
  };
}

const plain: FeatureNamespace = {
  readOnly: false,
  frozen: false,
  notificationMask: 0,
  persistsReservations: false,
};

describe('features', () => {
  it('reservation notification mask: bits 3:1, of one namespace or of all that the host sees', async () => {
    const controller = state();
    assert.equal((await controller.set(0x82, 0b1010, { nsid: 2 })).status, 0);
    assert.equal((await controller.set(0x82, 0b0100, { nsid: 0xffff_ffff })).status, 0);
    assert.deepEqual(controller.masks, [
      [2, 0b1010],
      [1, 0b0100],
      [2, 0b0100],
    ]);
    for (const mask of [1, 0b1_0000, 0x8000_0000]) {
      const { status } = await controller.set(0x82, mask, { nsid: 1 });
      assert.equal(status, statuses.invalidField, `mask ${mask}`);
    }
    for (const nsid of [0, 3]) {
      const { status } = await controller.set(0x82, 0, { nsid });
      assert.equal(status, statuses.invalidNamespaceOrFormat, `NSID ${nsid}`);
    }
    const masked = { ...plain, notificationMask: 0b1010 };
    assert.equal(controller.get(0x82, 0, 0, 1, masked).result, 0b1010n);
    assert.equal(controller.get(0x82, 0, 1, 1, masked).result, 0n);
    assert.equal(controller.get(0x82, 0, 0, 3).status, statuses.invalidNamespaceOrFormat);
  });

  it('reservation persistence: PTPL, of one namespace or of all that the host sees', async () => {
    const controller = state();
    assert.equal((await controller.set(0x83, 1, { nsid: 1 })).status, 0);
    assert.equal((await controller.set(0x83, 0, { nsid: 0xffff_ffff })).status, 0);
    assert.deepEqual(controller.persistence, [
      [1, true],
      [1, false],
      [2, false],
    ]);
    assert.equal((await controller.set(0x83, 2, { nsid: 1 })).status, statuses.invalidField);
    const { status } = await controller.set(0x83, 1, { nsid: 3 });
    assert.equal(status, statuses.invalidNamespaceOrFormat);
    const save = await controller.set(0x83, 1, { nsid: 1, save: true });
    assert.equal(save.status, statuses.featureNotSaveable);
    const persisting = { ...plain, persistsReservations: true };
    assert.equal(controller.get(0x83, 0, 0, 1, persisting).result, 1n);
    assert.equal(controller.get(0x83, 0, 1, 1, persisting).result, 0n);
    assert.equal(controller.get(0x83, 0, 3, 1).result, 0b110n); // Changeable, of a namespace.
  });

  it('number of queues: 0-based, capped at 128, a pair has one of each', async () => {
    const cases: [number, bigint][] = [
      [0x0000_0000, 0x0000_0000n],
      [0x0003_0003, 0x0003_0003n],
      [0x0003_0007, 0x0003_0003n],
      [0x007f_007f, 0x007f_007fn],
      [0x0080_0080, 0x007f_007fn],
      [0xfffe_fffe, 0x007f_007fn],
    ];
    for (const [cdw11, result] of cases) {
      const controller = state();
      assert.deepEqual(await controller.set(0x07, cdw11), {
        status: 0,
        doNotRetry: false,
        result,
        data: null,
      });
      assert.equal(controller.get(0x07).result, result);
      assert.equal(controller.features.ioQueues, Number(result & 0xffffn) + 1);
    }
  });

  it('number of queues: FFFFh is invalid, and so is a change under I/O queues', async () => {
    const controller = state();
    assert.equal((await controller.set(0x07, 0x0001_ffff)).status, statuses.invalidField);
    assert.equal((await controller.set(0x07, 0xffff_0001)).status, statuses.invalidField);
    controller.connectQueues();
    assert.equal((await controller.set(0x07, 0x0001_0001)).status, statuses.commandSequenceError);
  });

  it('asynchronous events: exactly what OAES and the critical warnings name', async () => {
    assert.equal((await state().set(0x0b, 0x9ff)).status, 0);
    assert.equal((await state().set(0x0b, 0x200)).status, statuses.invalidField);
    assert.equal((await state().set(0x0b, 0x8000_0000)).status, statuses.invalidField);
    const discovery = state({ kind: 'discovery' });
    assert.equal((await discovery.set(0x0b, 0x8000_0000)).status, 0);
    assert.equal(discovery.get(0x0b).result, 0x8000_0000n);
    assert.equal((await discovery.set(0x0b, 0x100)).status, statuses.invalidField);
  });

  it('keep alive: rounded up to whole seconds, told to native code', async () => {
    const controller = state();
    assert.equal((await controller.set(0x0f, 1)).result, 1000n);
    assert.equal((await controller.set(0x0f, 5001)).result, 6000n);
    assert.equal((await controller.set(0x0f, 0)).result, 0n);
    assert.deepEqual(controller.told, [1000, 6000, 0]);
    assert.equal(roundKeepAlive(0xffff_ffff), 4_294_967_000);
  });

  it('host identifier: 16 bytes, only the extended form, never set', async () => {
    assert.deepEqual(state().get(0x81, 1).data, hostId);
    assert.equal(state().get(0x81, 0).status, statuses.invalidField);
    assert.equal((await state().set(0x81, 1)).status, statuses.featureNotChangeable);
  });

  it('write protection: as grants say, its default is none, and no host sets it', async () => {
    const controller = state();
    const get = (readOnly: boolean, frozen: boolean, select = 0) =>
      controller.get(0x84, 0, select, 1, { ...plain, readOnly, frozen }).result;
    assert.equal(get(false, false), 0n);
    assert.equal(get(true, false), 1n);
    assert.equal(get(true, true), 3n);
    assert.equal(get(true, true, 1), 0n);
    assert.equal(get(true, true, 3), 0b10n); // Of a namespace, not changeable.
    for (const nsid of [0, 5, 0xffff_ffff]) {
      const { status } = controller.get(0x84, 0, 0, nsid);
      assert.equal(status, statuses.invalidNamespaceOrFormat, `NSID ${nsid}`);
    }
    const set = await controller.set(0x84, 0, { nsid: 1 });
    assert.deepEqual([set.status, set.doNotRetry], [statuses.featureNotChangeable, true]);
    const discovery = state({ kind: 'discovery' });
    assert.equal(discovery.get(0x84, 0, 0, 1).status, statuses.invalidField);
  });

  it('volatile write cache: on, cannot be turned off, absent in write-through', async () => {
    assert.equal(state().get(0x06).result, 1n);
    assert.equal((await state().set(0x06, 1)).status, 0);
    assert.equal((await state().set(0x06, 0)).status, statuses.featureNotChangeable);
    assert.equal(state({ writeThrough: true }).get(0x06).status, statuses.invalidField);
  });

  it('unknown features, saving, and namespaces where none belong: refused, do not retry', async () => {
    const controller = state();
    for (const fid of [0x00, 0x03, 0x08, 0x0c, 0x0d, 0x10, 0x80, 0x85, 0xc0, 0xff]) {
      const completion = controller.get(fid);
      assert.equal(completion.status, statuses.invalidField, `FID ${fid}`);
      assert.equal(completion.doNotRetry, true);
    }
    assert.equal(
      (await controller.set(0x01, 0, { save: true })).status,
      statuses.featureNotSaveable,
    );
    assert.equal(
      (await controller.set(0x01, 0, { nsid: 1 })).status,
      statuses.featureNotNamespaceSpecific,
    );
    assert.equal(
      (await controller.set(0x01, 0, { nsid: 0x7fff_ffff })).status,
      statuses.invalidNamespaceOrFormat,
    );
    assert.equal(controller.get(0x01, 0, 4).status, statuses.invalidField);
  });

  it('select: defaults and capabilities do not follow changes', async () => {
    const controller = state();
    await controller.set(0x01, 0x0302_0105);
    assert.equal(controller.get(0x01).result, 0x0302_0105n);
    assert.equal(controller.get(0x01, 0, 1).result, 0n);
    assert.equal(controller.get(0x01, 0, 3).result, 0b100n);
    assert.equal(controller.get(0x81, 1, 3).result, 0n);
  });

  it('a discovery controller has its own few', async () => {
    const controller = state({ kind: 'discovery' });
    assert.equal(controller.get(0x07).status, statuses.invalidField);
    assert.equal(controller.get(0x0f).result, 5000n);
  });
});
