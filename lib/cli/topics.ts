/** Pages of `ashlar help` that belong to no single command. */
import { wrap } from '../config/wrap.js';
import { type ExitCode, errorCodes, exitCodeOf } from '../errors.js';

const meanings: Readonly<Record<ExitCode, string>> = {
  0: 'done',
  1: 'operating error: input or output failed, a damaged stream, a cancelled call, a bug',
  2: 'usage: a wrong command line, value or configuration',
  3: 'the thing named does not exist',
  4: 'conflict: it exists already, is in use or locked, or its port is taken',
  5: 'the pool is damaged, failed, of a newer format, or not a pool',
  6: 'no room left, or over a limit',
  7: 'this machine lacks something: kernel, io_uring, memlock, rights, binary',
  8: 'the daemon or a peer cannot be reached, or did not answer in time',
};

/** `ashlar help exit-codes` */
export function exitCodesPage(): string {
  const lines = ['Exit codes. Their numbers never change their meaning.', ''];
  for (const [number, meaning] of Object.entries(meanings)) {
    const codes = errorCodes.filter((code) => String(exitCodeOf(code)) === number);
    lines.push(
      `  ${number}  ${meaning}`,
      ...wrap(codes.join(', '), 74).map((line) => `     ${line}`),
    );
  }
  lines.push(
    '',
    "'ashlar doctor' has codes of its own: 0 fine, 1 warnings, 2 failures.",
    'With --json an error is one JSON object on stderr: code, message, hint, exitCode.',
  );
  return `${lines.join('\n')}\n`;
}

/** `ashlar help sizes` */
export function sizesPage(): string {
  return `Sizes are whole bytes, written with a unit or without.

  4096          bytes
  10GiB 1.5TiB  KiB MiB GiB TiB PiB: powers of 1,024
  500GB         kB MB GB TB PB: powers of 1,000
  10G           refused: it means one thing to some tools and another to the rest

A volume is 4 KiB (or 512 B) to 64 TiB, a pool 16 MiB to 256 TiB.
`;
}

/** `ashlar help config` */
export async function configPage(): Promise<string> {
  const { exampleConfig } = await import('../config/example.js');
  return `Configuration file of 'ashlar serve --config FILE', in TOML. Every key may be left out;
the values below are the defaults. Flags override the file. Unknown keys are refused.
Of a service (systemd, a container), what is in .ashlar/ below is in the folders that
$STATE_DIRECTORY and $RUNTIME_DIRECTORY name: /var/lib/ashlar and /run/ashlar.

${exampleConfig()}`;
}

/** `ashlar help csi` */
export async function csiPage(): Promise<string> {
  const { exampleCsiConfig } = await import('../csi/config.js');
  return `Configuration file of 'ashlar csi --config FILE', in TOML. Flags override the file, which
overrides $CSI_ENDPOINT. Unknown keys are refused. Each endpoint needs its name, and urls or a
socket; of the rest what is not commented out is the default. docs/kubernetes.md tells all of it.

${exampleCsiConfig()}`;
}
