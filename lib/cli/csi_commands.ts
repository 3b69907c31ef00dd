/** `ashlar csi` on the command line. */
import { type Command, Option } from 'commander';
import { logLevels } from '../config/config.js';
import { addCommand } from './command.js';

/** Exit code of an action. */
interface Outcome {
  exitCode: number;
}

export function addCsi(program: Command, outcome: Outcome): void {
  addCommand(program, {
    usage: 'csi',
    description:
      'Run the CSI plugin, csi.ashlar.dev: Kubernetes volumes on Ashlar. Its charts run it; ' +
      "docs/kubernetes.md says how, 'ashlar help csi' what its file has.",
    examples: [
      ['ashlar csi --config /etc/ashlar-csi/csi.toml', 'everything from a file'],
      [
        'ashlar csi --mode node --csi-socket /csi/csi.sock',
        'the part that every node runs, as root; it needs no way to the API',
      ],
    ],
    build: (command) =>
      command
        .option('-c, --config <file>', "a TOML file ('ashlar help csi'); flags override it")
        .addOption(
          new Option('--mode <mode>', 'which services').choices(['controller', 'node', 'all']),
        )
        .option('--csi-socket <path>', 'the socket to serve at (default: $CSI_ENDPOINT)')
        .option('--state <folder>', "of a node's identity (default: /var/lib/ashlar-csi)")
        .addOption(new Option('--log-level <level>', 'how much is logged').choices([...logLevels]))
        .action(async (options) => {
          outcome.exitCode = await (await import('./csi.js')).serveCsi(options);
        }),
  });
}
