/** A disk that fills up under a sparse pool file while it is being served. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { connectHost } from '../../lib/host/index.js';
import { commandStatusOf } from '../../lib/host/status.js';
import { Daemon, runProgram, Workspace } from '../rig/daemon.js';

const MiB = 2 ** 20;
const capacityExceeded = 0x081;

test('a full disk under a sparse pool: only what needs space fails, and freed space serves again', async (t) => {
  using workspace = new Workspace();
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=48m', 'tmpfs', workspace.path], {
      stdio: 'pipe',
    });
  } catch (error) {
    t.skip(`SKIPPED: a full file system needs the right to mount one: ${String(error)}`);
    return;
  }
  try {
    const daemon = await Daemon.start({
      workspace,
      poolFile: 'pool',
      poolSize: '1GiB',
      demoSize: '512MiB',
    });
    try {
      const { nsid } = await daemon.volume('demo');
      await using host = await connectHost({
        address: '127.0.0.1',
        port: daemon.port,
        subnqn: await daemon.subnqn(),
        hostnqn: 'nqn.2014-08.org.nvmexpress:uuid:0f6c1c3e-2222-4b7e-8a3e-5d9a6f1c2b3b',
      });
      const disk = await host.namespace(nsid);
      const data = Buffer.alloc(MiB, 0x5a);
      let written = 0n;
      let refused = 0;
      while (refused === 0) {
        try {
          await disk.write(written, data);
          written += BigInt(MiB);
        } catch (error) {
          assert.equal(commandStatusOf(error)?.status, capacityExceeded, String(error));
          refused += 1;
        }
      }
      assert.ok(written >= 16n * BigInt(MiB), `${written} bytes before the disk was full`);
      // Everything but new space goes on: overwrites, reads, flush, and deallocation.
      await disk.write(0n, Buffer.alloc(MiB, 0x3c));
      await disk.flush();
      assert.ok(Buffer.from(await disk.read(0n, MiB)).equals(Buffer.alloc(MiB, 0x3c)));
      assert.ok(Buffer.from(await disk.read(BigInt(MiB), MiB)).equals(data));
      await disk.deallocate([{ offset: BigInt(MiB), length: 4n * BigInt(MiB) }]);
      await disk.flush();
      // The space that came back is the pool's own, so it is there for anybody.
      await disk.write(256n * BigInt(MiB), data);
      await disk.flush();
      assert.ok(Buffer.from(await disk.read(256n * BigInt(MiB), MiB)).equals(data));
      await host.close();
      assert.deepEqual(await daemon.stop(), { code: 0, signal: null });
    } finally {
      await daemon.kill();
    }
    const checked = await runProgram(['pool', 'check', workspace.file('pool')]);
    assert.equal(checked.code, 0, checked.err);
  } finally {
    execFileSync('umount', ['-l', workspace.path]);
  }
});
