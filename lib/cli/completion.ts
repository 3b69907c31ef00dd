/**
 * What a shell offers at a TAB: commands and options from the program itself, and names of objects
 * from the daemon. Shells ask by a hidden command, so that one engine serves them all.
 */
import type { Argument, Command, Option } from 'commander';
import { eventKinds } from '../events/kinds.js';

export interface Candidate {
  value: string;
  description: string;
}

/** Kinds of object whose names can be asked for. */
export type NameKind =
  | 'volume'
  | 'snapshot'
  | 'tenant'
  | 'policy'
  | 'schedule'
  | 'host'
  | 'portal'
  | 'token'
  | 'job'
  | 'group'
  | 'pool';

/** Names of objects that there are; of a tenant where one is given. None when nobody answers. */
export type Names = (kind: NameKind, tenant: string | null) => Promise<readonly string[]>;

/** Arguments and options by their name: what they name. */
const named: Readonly<Record<string, readonly NameKind[]>> = {
  volume: ['volume'],
  cloneOf: ['volume'],
  snapshot: ['snapshot'],
  source: ['volume', 'snapshot'],
  tenant: ['tenant'],
  policy: ['policy'],
  schedule: ['schedule'],
  host: ['host'],
  nqn: ['host'],
  portal: ['portal'],
};

/** Arguments alone: as options these words mean something else. */
const namedArguments: Readonly<Record<string, readonly NameKind[]>> = {
  group: ['group'],
  pool: ['pool'],
};

/** `<name>` and `<id>` name what their group is of, except where something is made. */
const groups: Readonly<Record<string, NameKind>> = {
  tenant: 'tenant',
  policy: 'policy',
  token: 'token',
  schedule: 'schedule',
  job: 'job',
};

/** Options of which all values are known, and too many for a help page, by their command. */
const words: Readonly<Record<string, readonly string[]>> = {
  'event list --kind': eventKinds,
};

function wordsOf(command: Command, option: Option): readonly string[] | undefined {
  const key = `${command.parent?.name()} ${command.name()} ${option.long}`;
  return option.argChoices ?? words[key];
}

function kindsOf(command: Command, argument: Argument): readonly NameKind[] {
  const known = named[argument.name()] ?? namedArguments[argument.name()];
  if (known !== undefined) return known;
  const group = groups[command.parent?.name() ?? ''];
  return group === undefined || command.name() === 'create' ? [] : [group];
}

const takesValue = (option: Option): boolean => option.required || option.optional;

/** Where the words before the last one lead. */
interface Place {
  command: Command;
  /** How many arguments came before. */
  argument: number;
  /** The option whose value comes next; null: none. */
  option: Option | null;
  tenant: string | null;
}

function placeOf(program: Command, before: readonly string[]): Place {
  const place: Place = { command: program, argument: 0, option: null, tenant: null };
  for (const word of before) {
    if (place.option !== null) {
      if (place.option.long === '--tenant') place.tenant = word;
      place.option = null;
    } else if (word.startsWith('-')) {
      const [name, value] = word.split('=', 2);
      const option = place.command.options.find(({ long, short }) => [long, short].includes(name));
      if (option?.long === '--tenant' && value !== undefined) place.tenant = value;
      if (option !== undefined && takesValue(option) && value === undefined) place.option = option;
    } else {
      const found = place.command.commands.find(
        (each) => each.name() === word || each.aliases().includes(word),
      );
      if (found === undefined) place.argument += 1;
      else place.command = found;
    }
  }
  return place;
}

const hidden = (command: Command): boolean => command.name().startsWith('__');

/**
 * @param words those behind the program's name; the last one is being typed, and may be empty.
 * @returns those that begin with it. None: the shell may offer files.
 */
export async function complete(
  program: Command,
  words: readonly string[],
  names: Names,
): Promise<Candidate[]> {
  const typed = words.at(-1) ?? '';
  const place = placeOf(program, words.slice(0, -1));
  const candidates = await candidatesAt(place, typed, names);
  return candidates.filter(({ value }) => value.startsWith(typed));
}

async function candidatesAt(place: Place, typed: string, names: Names): Promise<Candidate[]> {
  const { command, option } = place;
  const ask = async (kinds: readonly NameKind[]): Promise<Candidate[]> => {
    const found = await Promise.all(kinds.map((kind) => names(kind, place.tenant)));
    return found.flatMap((values, at) =>
      values.map((value) => ({ value, description: kinds[at] ?? '' })),
    );
  };
  if (option !== null) {
    const known = wordsOf(command, option);
    if (known !== undefined) return known.map(plain);
    return ask(named[option.attributeName()] ?? []);
  }
  if (typed.startsWith('-')) {
    const options = command.options.map(({ long, short, description }) => {
      return { value: long ?? short ?? '', description };
    });
    return [...options, { value: '--help', description: 'print help' }];
  }
  const subcommands = command.commands.filter((each) => !hidden(each));
  if (subcommands.length > 0 && place.argument === 0) {
    return subcommands.map((each) => ({ value: each.name(), description: each.description() }));
  }
  const all = command.registeredArguments;
  const last = all.at(-1);
  const argument = all[place.argument] ?? (last?.variadic === true ? last : undefined);
  if (argument === undefined) return [];
  if (argument.argChoices !== undefined) return argument.argChoices.map(plain);
  return ask(kindsOf(command, argument));
}

const plain = (value: string): Candidate => ({ value, description: '' });

// ---- Shells -------------------------------------------------------------------------------------

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/** One candidate a line, its description behind a tab. */
export function completionLines(candidates: readonly Candidate[]): string[] {
  return candidates.map(({ value, description }) => {
    const short = description.split(/[.;:] |\. ?$/)[0] ?? '';
    return short === '' ? value : `${value}\t${short}`;
  });
}

/** What is to be evaluated by a shell, so that TAB asks this program. */
export const scripts: Readonly<Record<Shell, string>> = {
  bash: `# eval "$(ashlar completion bash)"
_ashlar() {
  local words=("\${COMP_WORDS[@]}") cword=$COMP_CWORD cur=\${COMP_WORDS[COMP_CWORD]}
  # Names of hosts have colons, at which bash would cut them.
  if declare -F _get_comp_words_by_ref >/dev/null; then
    _get_comp_words_by_ref -n : cur words cword
  fi
  local IFS=$'\\n'
  COMPREPLY=($(ashlar __complete -- "\${words[@]:1:cword}" 2>/dev/null | cut -f1))
  if declare -F __ltrim_colon_completions >/dev/null; then __ltrim_colon_completions "$cur"; fi
}
complete -o default -F _ashlar ashlar
`,
  zsh: `#compdef ashlar
# source <(ashlar completion zsh)
_ashlar() {
  local -a found
  local line value
  for line in "\${(@f)$(ashlar __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    [[ -z $line ]] && continue
    value=\${line%%$'\\t'*}
    if [[ $line == *$'\\t'* ]]; then
      found+=("\${value//:/\\\\:}:\${line#*$'\\t'}")
    else
      found+=("\${value//:/\\\\:}")
    fi
  done
  if (( \${#found} )); then _describe ashlar found; else _files; fi
}
# As a file of compinit this is the function itself, called for the first time.
if [[ \${funcstack[1]-} == _ashlar ]]; then
  _ashlar
elif (( $+functions[compdef] )); then
  compdef _ashlar ashlar
fi
`,
  fish: `# ashlar completion fish | source
function __ashlar_complete
  ashlar __complete -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null
end
complete -c ashlar -f -n 'test -n "$(__ashlar_complete)"' -a '(__ashlar_complete)'
`,
};
