/** A folder that stands for '/': files of a kernel that this machine does not have. */
import fs from 'node:fs';
import path from 'node:path';
import { Source } from '../../lib/doctor/source.js';
import { Workspace } from '../rig/daemon.js';

export class Tree implements Disposable {
  readonly #workspace = new Workspace();
  readonly source = new Source(this.#workspace.path);

  /** Files by their path; a folder for null, a link for `-> target`. */
  constructor(files: Record<string, string | null>) {
    for (const [name, text] of Object.entries(files)) this.write(name, text);
  }

  write(name: string, text: string | null): void {
    const file = this.#workspace.file(name);
    fs.mkdirSync(text === null ? file : path.dirname(file), { recursive: true });
    if (text?.startsWith('-> ')) fs.symlinkSync(text.slice('-> '.length), file);
    else if (text !== null) fs.writeFileSync(file, text);
  }

  /** A program that prints this, whatever it is asked. */
  program(name: string, text: string): void {
    this.write(`/usr/sbin/${name}`, `#!/bin/sh\nexec /bin/cat <<'END'\n${text}\nEND\n`);
    fs.chmodSync(this.#workspace.file(`/usr/sbin/${name}`), 0o755);
  }

  touch(name: string, at: string): void {
    fs.utimesSync(this.#workspace.file(name), new Date(at), new Date(at));
  }

  [Symbol.dispose](): void {
    this.#workspace[Symbol.dispose]();
  }
}
