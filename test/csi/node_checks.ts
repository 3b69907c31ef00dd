/** Checks that all tests of the Node service make, over a simulated host. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { Status } from '../../lib/csi/errors.js';
import { type Claim, mountCapability, NodeRig } from './node_rig.js';

/** A node with a plugin; it ends with the test. */
export async function started(context: TestContext): Promise<NodeRig> {
  const rig = new NodeRig();
  await rig.start();
  context.after(() => rig[Symbol.asyncDispose]());
  return rig;
}

/** Such a node, with the first volume staged as a file system. */
export async function staged(context: TestContext): Promise<{ rig: NodeRig; claim: Claim }> {
  const rig = await started(context);
  const claim = rig.claim(1, mountCapability());
  await rig.stage(claim);
  return { rig, claim };
}

/** The call is refused with this code, and the text names what it has to. */
export async function refused(call: Promise<unknown>, status: Status, text: RegExp): Promise<void> {
  await assert.rejects(call, (thrown: Error & { status?: Status }) => {
    assert.equal(`${thrown.status}: ${thrown.message}`.slice(0, status.length), status);
    assert.match(thrown.message, text);
    return true;
  });
}

const quiet = { paths: [], disks: [], mounts: [], records: [] };

/** Nothing was connected, mounted or kept. */
export function assertUntouched(rig: NodeRig): void {
  const { paths, disks, mounts, records, violations } = rig.host.snapshot();
  assert.deepEqual({ paths, disks, mounts, records }, quiet);
  assert.deepEqual([...rig.host.discovery], []);
  assert.deepEqual(violations, []);
}
