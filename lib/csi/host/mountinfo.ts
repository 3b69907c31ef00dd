/** `/proc/self/mountinfo` as facts (proc_pid_mountinfo(5)). */

/** One line of it. */
export interface MountLine {
  /** `259:3`; `0:…` for what has no disk. */
  readonly number: string;
  readonly root: string;
  readonly target: string;
  readonly options: readonly string[];
  readonly fsType: string;
  readonly source: string;
  readonly superOptions: readonly string[];
}

/**
 * All lines, in their order. Lines of another form are left out: nothing can be said of them.
 *
 * `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`: behind the
 * sixth field there may be any number of others, up to a lone hyphen.
 */
export function parseMountinfo(text: string): MountLine[] {
  return text.split('\n').flatMap((line) => {
    const fields = line.split(' ');
    const hyphen = fields.indexOf('-', 6);
    const [, , number, root, target, options] = fields;
    const [fsType, source, superOptions] = hyphen < 0 ? [] : fields.slice(hyphen + 1);
    if (number === undefined || root === undefined || target === undefined) return [];
    if (options === undefined || fsType === undefined || source === undefined) return [];
    return [
      {
        number,
        root: plainText(root),
        target: plainText(target),
        options: options.split(','),
        fsType: plainText(fsType),
        source: plainText(source),
        superOptions: (superOptions ?? '').split(','),
      },
    ];
  });
}

/** Space, tab, newline, backslash and `#` are three octal digits of a byte each. */
function plainText(field: string): string {
  if (!field.includes('\\')) return field;
  return field.replaceAll(/\\([0-3][0-7]{2})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
