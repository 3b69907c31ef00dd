/** Completion: what is offered where, and that real shells offer it. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { complete, type NameKind, shells } from '../../lib/cli/completion.js';
import { buildProgram } from '../../lib/cli/program.js';
import { ApiFixture, Folder } from '../api/fixture.js';
import { runProgram } from '../rig/daemon.js';

const program = buildProgram({ exitCode: 0 }, () => undefined);
const asked: string[] = [];
const names = async (kind: NameKind, tenant: string | null) => {
  asked.push(`${kind} of ${tenant ?? 'any'}`);
  return [`${kind}-1`, `${kind}-2`];
};
const values = async (...words: string[]) =>
  (await complete(program, words, names)).map(({ value }) => value);

test('commands, by what is typed of them; hidden ones never', async () => {
  assert.deepEqual(await values('vol'), ['volume']);
  assert.ok((await values('')).includes('top'));
  assert.ok(!(await values('')).some((value) => value.startsWith('_')));
  assert.deepEqual(await values('volume', 'res'), ['resize', 'reserve']);
});

test('options of the command, their choices, and names that they take', async () => {
  assert.deepEqual(await values('volume', 'limit', 'web', '--pol'), ['--policy']);
  assert.deepEqual(await values('volume', 'limit', 'web', '--policy', ''), [
    'policy-1',
    'policy-2',
  ]);
  assert.deepEqual(await values('top', '--sort', 'l'), ['latency']);
  assert.deepEqual(await values('event', 'list', '--kind', 'host-d'), ['host-disconnected']);
  assert.deepEqual(await values('volume', 'create', '--size', ''), [], 'nothing is known of sizes');
});

test('names of what an argument is, of the tenant that is given', async () => {
  assert.deepEqual(await values('volume', 'show', 'volume-2'), ['volume-2']);
  assert.deepEqual(await values('policy', 'set', ''), ['policy-1', 'policy-2']);
  assert.deepEqual(await values('snapshot', 'group', 'show', ''), ['group-1', 'group-2']);
  assert.deepEqual(await values('ana', 'set', '1', 'change', '--group', ''), []);
  assert.deepEqual(await values('job', 'wait', ''), ['job-1', 'job-2'], 'by its other name too');
  assert.deepEqual(await values('policy', 'create', ''), [], 'a new name is nobody else’s');
  asked.length = 0;
  await values('snapshot', 'show', '--tenant', 'blue', '');
  await values('volume', 'clone', '--tenant=red', '');
  assert.deepEqual(asked, ['snapshot of blue', 'volume of red', 'snapshot of red']);
  assert.deepEqual(await values('volume', 'show', 'web', ''), [], 'there is no second argument');
});

test('every command and option of the program is offered somewhere', async () => {
  const walk = async (words: string[], command: typeof program): Promise<void> => {
    const options = await values(...words, '--');
    for (const { long } of command.options) assert.ok(options.includes(long ?? ''), long ?? '');
    const offered = await values(...words, '');
    for (const each of command.commands) {
      if (each.name().startsWith('_')) continue;
      assert.ok(offered.includes(each.name()), [...words, each.name()].join(' '));
      await walk([...words, each.name()], each);
    }
  };
  await walk([], program);
});

// ---- Shells -------------------------------------------------------------------------------------

const folder = new Folder();
let api: ApiFixture;
before(async () => {
  api = await ApiFixture.open();
  for (const name of ['web', 'wiki', 'db']) {
    await api.client.call('createVolume', { body: { name, sizeBytes: 2 ** 20 } });
  }
  // The program as people have it on their PATH.
  const script = `#!/bin/sh\nexec node ${path.resolve('.build/lib/cli/main.js')} "$@"\n`;
  fs.writeFileSync(folder.file('ashlar'), script, { mode: 0o755 });
  for (const shell of shells) {
    const { out } = await runProgram(['completion', shell]);
    fs.writeFileSync(folder.file(shell), out);
  }
});
after(async () => {
  await api[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

/** A line typed up to the end, and what the shell then has to offer. */
const typed: Record<(typeof shells)[number], (line: string) => string[]> = {
  bash: (line) => {
    const words = line.split(' ').map((word) => `'${word}'`);
    return [
      '--norc',
      '-c',
      `source ${folder.file('bash')}; COMP_WORDS=(${words.join(' ')}); ` +
        `COMP_CWORD=${words.length - 1}; _ashlar; printf '%s\\n' "\${COMPREPLY[@]}"`,
    ];
  },
  zsh: (line) => {
    const words = line.split(' ').map((word) => `'${word}'`);
    return [
      '-f',
      '-c',
      `source ${folder.file('zsh')}; _describe() { print -l -- "\${(@P)2}" }; _files() { : }; ` +
        `words=(${words.join(' ')}); CURRENT=${words.length}; _ashlar`,
    ];
  },
  fish: (line) => ['--no-config', '-c', `source ${folder.file('fish')}; complete -C '${line}'`],
};

for (const shell of shells) {
  test(`${shell}: offers commands, options and names of the daemon’s volumes`, async () => {
    const offered = async (line: string): Promise<(string | undefined)[]> => {
      // The daemon is in this process: it has to be able to answer meanwhile.
      const { stdout, stderr } = await promisify(execFile)(shell, typed[shell](line), {
        env: {
          ...process.env,
          PATH: `${folder.path}:${process.env.PATH}`,
          ASHLAR_SOCKET: api.socket,
          HOME: folder.path,
        },
        timeout: 60_000,
      });
      assert.equal(stderr, '', line);
      const lines = stdout.split('\n').filter((each) => each !== '');
      return lines.map((each) => each.split(/[\t:]/)[0]);
    };
    assert.deepEqual(await offered('ashlar vol'), ['volume']);
    assert.deepEqual((await offered('ashlar volume show w')).sort(), ['web', 'wiki']);
    assert.deepEqual(await offered('ashlar volume limit web --pol'), ['--policy']);
  });
}
