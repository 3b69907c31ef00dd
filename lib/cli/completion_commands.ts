/** The commands of shell completion; see program.ts. */
import { Argument, type Command } from 'commander';
import { addCommand } from './command.js';

export function addCompletion(program: Command): void {
  addCommand(program, {
    usage: 'completion',
    description: 'Print what a shell is to evaluate, so that TAB completes commands and names.',
    examples: [
      ['eval "$(ashlar completion bash)"', 'in ~/.bashrc'],
      ['source <(ashlar completion zsh)', 'in ~/.zshrc, after compinit'],
      ['ashlar completion fish | source', 'in ~/.config/fish/config.fish'],
    ],
    build: (command) =>
      command
        .addArgument(new Argument('<shell>', 'which').choices(['bash', 'zsh', 'fish']))
        .action(async (shell: 'bash' | 'zsh' | 'fish') => {
          const { scripts } = await import('./completion.js');
          process.stdout.write(scripts[shell]);
        }),
  });
  program
    .command('__complete [words...]', { hidden: true })
    .helpOption(false)
    .action(async (words: string[]) => {
      const { complete, completionLines } = await import('./completion.js');
      const { daemonNames } = await import('./completion_names.js');
      const lines = completionLines(await complete(program, words, daemonNames));
      process.stdout.write(lines.map((line) => `${line}\n`).join(''));
    });
}
