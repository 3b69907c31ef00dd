/** The commands of differences, exports and imports; see program.ts. */
import type { Command } from 'commander';
import { addCommand } from './command.js';

/** `snapshot diff`, in the group of snapshots. */
export function addDiff(snapshot: Command): void {
  addCommand(snapshot, {
    usage: 'diff <snapshot>',
    description:
      'List what a snapshot holds, or with --since where it differs from another. No data is read.',
    tenant: true,
    examples: [
      ['ashlar snapshot diff web@monday --since web@sunday', 'offset, length, data or zero'],
      ['ashlar snapshot diff web@monday --json', 'one JSON object a line, for programs'],
    ],
    build: (command) =>
      command
        .option('--since <snapshot>', 'only what differs from this one, usually an older one')
        .option('--from <offset>', 'begin there: a multiple of 4096')
        .action(async (reference, options) =>
          (await import('./stream.js')).listRanges(reference, options),
        ),
  });
}

/** `volume export` and its counterparts, in the group of volumes. */
export function addStreams(volume: Command): void {
  addCommand(volume, {
    usage: 'export <snapshot>',
    description:
      'Write a snapshot (VOLUME@NAME), or with --since what changed from another, to stdout as a ' +
      'compressed, checksummed stream.',
    tenant: true,
    examples: [
      ['ashlar volume export web@sunday --output sunday.ashx', 'all of it, into a file'],
      [
        'ashlar volume export web@monday --since web@sunday | ssh backup ashlar volume import web',
        'an incremental backup',
      ],
    ],
    build: (command) =>
      command
        .option('--since <snapshot>', 'only what differs from this one')
        .option('--from <offset>', 'continue an import that was cut off; it says where')
        .option('-o, --output <file>', 'a new file, which appears when it is whole')
        .option('-q, --quiet', 'no progress, no summary')
        .action(async (reference, options) =>
          (await import('./stream.js')).exportSnapshot(reference, options),
        ),
  });
  addCommand(volume, {
    usage: 'import <volume>',
    description:
      'Read a stream from stdin: a whole one makes the volume, a difference is applied to it, and ' +
      'one that was cut off is continued. The volume then has a snapshot of what was imported.',
    tenant: true,
    examples: [
      ['ashlar volume import web < sunday.ashx', 'makes web, with the snapshot web@sunday'],
      ['ashlar volume import web --abandon', 'give up one that was cut off'],
    ],
    build: (command) =>
      command
        .option('--size <size>', "of a new volume: at least the stream's, which is the default")
        .option('--abandon', 'give up an unfinished import: read nothing')
        .option('--if-exists', 'with --abandon: succeed when there is none')
        .option('-q, --quiet', 'no progress, no summary')
        .action(async (name, options) => (await import('./stream.js')).importVolume(name, options)),
  });
  addCommand(volume, {
    usage: 'imports [volume]',
    description: 'List imports that were cut off or are under way, or the one to a volume.',
    tenant: true,
    list: 'listImports',
    examples: [['ashlar volume imports', 'how far each has come']],
    build: (command) =>
      command.action(async (name, options) =>
        (await import('./stream.js')).listImports(name, options),
      ),
  });
}
