/** Wrong command lines, and commands without a daemon: one line that says what to do. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { runProgram, Workspace } from '../rig/daemon.js';

test('usage: wrong command lines: one line with the remedy, exit code 2', async () => {
  const table: [args: string, message: string][] = [
    ['volum list', "unknown command 'volum' (Did you mean volume?); see 'ashlar --help'"],
    ['volume lst', "unknown command 'lst' (Did you mean list?); see 'ashlar volume --help'"],
    ['volume create', "missing required argument 'name'; see 'ashlar volume create --help'"],
    [
      'volume create x --sizee 1GiB',
      "unknown option '--sizee' (Did you mean --size?); see 'ashlar volume create --help'",
    ],
    ['volume create x', 'the size is missing; give for example --size 10GiB'],
    [
      'volume create x --size 10G',
      "--size '10G' could mean two things; write '10GiB' (powers of 1,024) or '10GB' (powers of 1,000)",
    ],
    [
      'volume create x --size 1GiB --block-size 1024',
      "--block-size '1024' is not one of 512 and 4096",
    ],
    [
      'volume show a b',
      "too many arguments for 'show'. Expected 1 argument but got 2; see 'ashlar volume show --help'",
    ],
    [
      'serve --reactors 0',
      "option '--reactors <count>' argument '0' is invalid. Give a whole number from 1 to 64; see 'ashlar serve --help'",
    ],
    [
      'serve --log-level loud',
      "option '--log-level <level>' argument 'loud' is invalid. Allowed choices are fatal, error, warn, info, debug, trace, silent; see 'ashlar serve --help'",
    ],
    ['serve --size 1KiB', "--size '1KiB' is outside 16MiB to 256TiB"],
    [
      'serve --portal localhost:4420',
      "--portal 'localhost:4420' is not an IP address and port; write for example '127.0.0.1:4420', '0.0.0.0:4420' (every interface) or '[::1]:4420'",
    ],
    [
      'serve --pool a --memory 1GiB',
      '--pool and --memory exclude each other: a pool is a file or in memory',
    ],
    [
      'help nonsense',
      "no help on 'nonsense'; there is help on every command, and on config, sizes and exit-codes",
    ],
  ];
  for (const [args, message] of table) {
    const { code, out, err } = await runProgram(args.split(' '));
    assert.equal(err, `ashlar: ${message}\n`);
    assert.equal(out, '', args);
    assert.equal(code, 2, args);
  }
});

test('no daemon: one line with the socket and how to start, exit code 8', async () => {
  using workspace = new Workspace();
  const socket = workspace.file('none.sock');
  for (const args of [
    'status',
    'volume list',
    'volume delete x --yes',
    'pool status',
    'pool check',
  ]) {
    const { code, out, err } = await runProgram([...args.split(' '), '--socket', socket]);
    assert.equal(
      err,
      `ashlar: no daemon at the control socket '${socket}' (it does not exist); start one with ` +
        "'ashlar serve', or name its socket with --socket or ASHLAR_SOCKET\n",
    );
    assert.equal(out, '');
    assert.equal(code, 8);
  }
});

test('no daemon, --json: the error is one JSON object on stderr', async () => {
  using workspace = new Workspace();
  const { code, err } = await runProgram(['status', '--json', '--socket', workspace.file('s')]);
  const error: { code: string; exitCode: number } = JSON.parse(err);
  assert.equal(error.code, 'daemon-not-running');
  assert.equal(error.exitCode, code);
});

test('serve: a configuration that is wrong: file, line and key on one line, exit code 2', async () => {
  using workspace = new Workspace();
  const file = workspace.file('a.toml');
  fs.writeFileSync(file, '[pool]\n\nsiz = "1GiB"\n');
  const { code, out, err } = await runProgram(['serve', '--config', file]);
  assert.equal(err, `ashlar: ${file}:3: 'pool.siz' is not known; did you mean 'size'?\n`);
  assert.equal(out, '');
  assert.equal(code, 2);
});

test('serve: a configuration file that is not there: exit code 3', async () => {
  const { code, err } = await runProgram(['serve', '--config', '/nowhere/a.toml']);
  assert.equal(err, "ashlar: configuration file '/nowhere/a.toml' does not exist\n");
  assert.equal(code, 3);
});
