/** A host that goes on whatever else happens to its daemon. */
import assert from 'node:assert/strict';
import { ioSqe, opcode } from '../protocol/commands.js';
import type { Association } from '../protocol/connection.js';
import { blockBytes, pattern } from '../protocol/fixture.js';

/** Writes a block and reads it back until it is over: the slowest command, and how many. */
export async function keepBusy(
  host: Association,
  { nsid, slba }: { nsid: number; slba: number },
  isOver: () => boolean,
): Promise<{ slowestMs: number; commands: number }> {
  let slowestMs = 0;
  let commands = 0;
  while (!isOver()) {
    const data = pattern(slba, 1, commands);
    const range = { nsid, slba: BigInt(slba), blocks: 1, sglLength: blockBytes };
    for (const code of [opcode.write, opcode.read]) {
      const started = performance.now();
      const answer = await host.io.command(ioSqe({ opcode: code, ...range }), { dataOut: data });
      slowestMs = Math.max(slowestMs, performance.now() - started);
      assert.equal(answer.status, 0);
      if (code === opcode.read) assert.ok(answer.data.equals(data));
      commands += 1;
    }
  }
  return { slowestMs, commands };
}
