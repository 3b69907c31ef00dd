// Set-up steps: cheap to ask whether they are done, safe to interrupt, quiet unless they fail.
//
// These scripts run before anything is installed, so they use nothing but Node itself.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
export const cache = path.join(root, '.cache');

/** A failure whose message is for the person who ran the command: no stack trace. */
export class SetupError extends Error {}

/** Runs `main` and turns a SetupError into one line and exit code 1. */
export async function runMain(main) {
  try {
    await main();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}

// Each child leads a process group, so that an interrupted build ends with all its compilers.
const children = new Set();
let interruption = null;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    interruption = signal;
    if (children.size === 0) process.exit(130);
    for (const child of children) process.kill(-child.pid, signal);
  });
}

/** Lets signals mean what they mean to a program that is started in this process afterwards. */
export function releaseSignals() {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.removeAllListeners(signal);
}

/** Runs a command to its end and returns what it wrote; a failure carries all of it. */
export function run(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd ?? root,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    if (child.pid !== undefined) children.add(child);
    const output = [];
    child.stdout.on('data', (piece) => output.push(piece));
    child.stderr.on('data', (piece) => output.push(piece));
    const text = () => Buffer.concat(output).toString();
    child.on('error', (error) => {
      children.delete(child);
      reject(new SetupError(`cannot run ${command}: ${error.message}`));
    });
    child.on('close', (code, signal) => {
      children.delete(child);
      if (code === 0) return resolve(text());
      if (interruption !== null) {
        return reject(new SetupError(`interrupted by ${interruption}; run it again to go on`));
      }
      const line = [command, ...args].join(' ');
      reject(new SetupError(`${text()}\nfailed (${signal ?? `exit code ${code}`}): ${line}`));
    });
  });
}

/** Finds a program where a shell of root would, whoever runs this. */
export function findProgram(name) {
  const places = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin', '/usr/bin'];
  for (const place of places) {
    const file = path.join(place, name);
    if (place !== '' && fs.existsSync(file)) return file;
  }
  return null;
}

/** All files under `names` (files or folders, relative to the root), sorted. */
export function listFiles(names, wanted = () => true) {
  const files = [];
  const visit = (name) => {
    const stat = fs.statSync(path.join(root, name), { throwIfNoEntry: false });
    if (stat === undefined) return;
    if (!stat.isDirectory()) {
      if (wanted(name)) files.push(name);
      return;
    }
    for (const entry of fs.readdirSync(path.join(root, name))) visit(path.join(name, entry));
  };
  for (const name of names) visit(name);
  return files.sort();
}

/** A digest of the contents (not the times) of files, and of anything else that decides a step. */
export function digest(files, ...facts) {
  const hash = createHash('sha1');
  for (const fact of facts) hash.update(`${fact}\0`);
  for (const file of files) {
    hash.update(`${file}\0`);
    hash.update(fs.readFileSync(path.join(root, file)));
  }
  return hash.digest('hex');
}

const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;

/** Says what is being done, does it, and says how long it took. */
export async function announce(what, work) {
  const started = Date.now();
  const live = process.stdout.isTTY === true;
  if (live) process.stdout.write(`${what} ...`);
  try {
    await work();
  } catch (error) {
    process.stdout.write(live ? ' failed\n' : `${what}: failed\n`);
    throw error;
  }
  const took = seconds(Date.now() - started);
  process.stdout.write(live ? ` ${took}\n` : `${what}: ${took}\n`);
}

/**
 * A step with a stamp. It is done when the stamp holds `key` and every output exists. The stamp is
 * removed before the work and written after it, so an interrupted step is one not done.
 */
export async function stamped({ name, what, key, outputs, work }) {
  const stamp = path.join(cache, 'stamps', name);
  const done =
    outputs.every((file) => fs.existsSync(path.join(root, file))) &&
    fs.existsSync(stamp) &&
    fs.readFileSync(stamp, 'utf8') === key;
  if (done) return;
  fs.rmSync(stamp, { force: true });
  await announce(what, work);
  fs.mkdirSync(path.dirname(stamp), { recursive: true });
  fs.writeFileSync(`${stamp}.new`, key);
  fs.renameSync(`${stamp}.new`, stamp);
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** One set-up at a time in a checkout: a second one waits for the first. */
export async function withLock(work) {
  const lock = path.join(cache, 'setup.lock');
  fs.mkdirSync(cache, { recursive: true });
  for (let told = false; ; ) {
    try {
      fs.writeFileSync(lock, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const owner = Number(fs.readFileSync(lock, { encoding: 'utf8', flag: 'a+' }));
    if (owner > 0 && !isAlive(owner)) {
      fs.rmSync(lock, { force: true });
      continue;
    }
    if (!told) process.stdout.write(`waiting for another set-up (process ${owner})\n`);
    told = true;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  try {
    return await work();
  } finally {
    fs.rmSync(lock, { force: true });
  }
}
