/**
 * Run inside a machine of the deploy tests, as a host: `write NQN WORD` or `read NQN` at the first
 * block of namespace 1 through 127.0.0.1:4420. Prints what is there.
 */
import { connectHost } from '../../lib/host/index.js';

const [verb = '', subnqn = '', word = ''] = process.argv.slice(2);
const hostnqn = 'nqn.2014-08.org.nvmexpress:uuid:00000000-0000-4000-8000-0000000000aa';
const host = await connectHost({ address: '127.0.0.1', port: 4420, subnqn, hostnqn });
try {
  const namespace = await host.namespace(1);
  if (verb === 'write') {
    const block = Buffer.alloc(namespace.blockBytes);
    block.write(word);
    await namespace.writeBlocks(0n, block);
    await namespace.flush();
  }
  const block = Buffer.from(await namespace.readBlocks(0n, 1));
  process.stdout.write(`${block.toString('latin1').replaceAll('\0', '')}\n`);
} finally {
  await host.close();
}
