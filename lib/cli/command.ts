/** How commands are put together: usage, options, examples, and the options that many share. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseDurationMs } from '../config/units.js';
import { toAshlarError } from '../errors.js';
import { type Filter, filters, type ListId, opposites } from './filters.js';

/** What a command is; its options and action come from `build`. */
export interface CommandSpec {
  /** Name and arguments, e.g. `create <name>`. */
  usage: string;
  description: string;
  /** Another name of it. */
  alias?: string;
  /** Whether it talks to the daemon: gives it --socket. */
  daemon?: boolean;
  /** Runs when its group is named alone. */
  isDefault?: boolean;
  /** Whether what it names belongs to a tenant: gives it --tenant, and --socket. */
  tenant?: boolean;
  /** Whether it looks at something that changes: gives it --watch. */
  watch?: boolean;
  /** The list that it shows: gives it the filters and paging of that, and --watch. */
  list?: ListId;
  /** A command line, and what it does. */
  examples: readonly (readonly [string, string])[];
  build: (command: Command) => unknown;
}

/** Adds a command to a program or group. Options of its own come first in its help. */
export function addCommand(parent: Command, spec: CommandSpec): void {
  const command = parent
    .command(spec.usage, { isDefault: spec.isDefault === true })
    .description(spec.description);
  if (spec.alias !== undefined) command.alias(spec.alias);
  spec.build(command);
  if (spec.list !== undefined) addFilters(command, spec.list);
  if (spec.watch === true || spec.list !== undefined) {
    command.addOption(
      new Option('--watch [interval]', 'again and again, every 2s or so often; q ends').argParser(
        watchInterval,
      ),
    );
  }
  command.option('--json', 'print JSON, for programs');
  if (spec.tenant === true) {
    command.option('--tenant <name>', 'the tenant concerned (default: default; all in lists)');
  }
  if (spec.tenant === true || spec.daemon === true) {
    command.option(
      '--socket <path>',
      "the daemon's socket (default: $ASHLAR_SOCKET, .ashlar/ashlar.sock, the service's)",
    );
  }
  addExamples(command, spec.examples);
}

/** A group of commands, e.g. `ashlar volume`. Alone it prints its help. */
export function addGroup(program: Command, name: string, description: string): Command {
  return program.command(name).description(description).helpCommand(false);
}

/** Examples under a command's help. */
export function addExamples(
  command: Command,
  examples: readonly (readonly [string, string])[],
): void {
  const text = examples.map(([line, what]) => `  ${line}\n      ${what}`).join('\n');
  command.addHelpText('after', `\nExamples:\n${text}`);
}

/** For an option: a whole number within bounds. */
export function wholeNumber(low: number, high: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= low && value <= high) return value;
    throw new InvalidArgumentError(`Give a whole number from ${low} to ${high}.`);
  };
}

function addFilters(command: Command, id: ListId): void {
  const all: Readonly<Record<string, Filter | null>> = filters[id];
  for (const [field, filter] of Object.entries(all)) {
    if (filter === null) continue;
    const option = new Option(filter.flags, filter.description);
    command.addOption(filter.choices === undefined ? option : option.choices([...filter.choices]));
    const opposite = opposites[field];
    if (opposite !== undefined) command.option(filter.flags.replace('--', '--no-'), opposite);
  }
  command
    .option('--limit <count>', 'at most this many, 1 to 1000', wholeNumber(1, 1000))
    .option('--after <cursor>', 'the page after the one that gave this cursor');
}

/** For `--watch`: milliseconds. */
function watchInterval(text: string): number {
  const shortestMs = 200;
  const longestMs = 3_600_000;
  let ms: number;
  try {
    ms = parseDurationMs(text, '--watch');
  } catch (thrown) {
    // What stands behind it is most likely a name.
    throw new InvalidArgumentError(
      `${toAshlarError(thrown).message}; write --watch behind names, or --watch=2s.`,
    );
  }
  if (ms >= shortestMs && ms <= longestMs) return ms;
  throw new InvalidArgumentError('Give 200ms to 1h.');
}

/** For an option: CPU numbers. */
export function cpuList(text: string): number[] {
  if (/^\d{1,4}(,\d{1,4}){0,63}$/.test(text)) return text.split(',').map(Number);
  throw new InvalidArgumentError('Give CPU numbers with commas between, e.g. 0,1.');
}

/** For an option: a list with commas between, each part by `one`. */
export function listOf<T>(one: (text: string) => T): (text: string) => T[] {
  return (text) => text.split(',').map((part) => one(part.trim()));
}
