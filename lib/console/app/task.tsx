/**
 * Everything that changes something is a task: a dialog with what is to be given, what it means,
 * the same as a command line, and what went wrong. One that loses data wants the name typed.
 */
import { signal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { type AshlarError, toAshlarError } from '../../errors.js';
import { type Field, FieldInput, groupsOf, wrongWith } from './fields.js';
import { notify } from './notices.js';
import { Cli, Problem } from './parts.js';
import { go } from './router.js';

export type { Field } from './fields.js';

export type Values = Readonly<Record<string, string>>;

export interface Done {
  said: string;
  /** What has to be read before the dialog closes. */
  show?: ComponentChildren;
  /** Where one goes on. */
  to?: string;
}

export interface Task {
  title: string;
  /** The word on the button. */
  verb: string;
  about?: ComponentChildren;
  fields?: readonly Field[];
  /** What is lost: makes the button red. */
  loses?: ComponentChildren;
  /** Has to be typed before. */
  confirmName?: string;
  cli: (values: Values) => string;
  /** Resolves to what is said when it is done. */
  run: (values: Values) => Promise<string | Done>;
}

/** Makes a task of what is there now; made again when somebody has changed that meanwhile. */
export type MakeTask = () => Task | Promise<Task>;

/** A task that is open, or why it could not be made. */
interface Opened {
  make: MakeTask;
  made: Task | AshlarError;
}

const current = signal<Opened | null>(null);

export async function openTask(make: MakeTask): Promise<void> {
  let made: Task | AshlarError;
  try {
    const task = make();
    // What needs nothing of the daemon opens at once, so that keys that follow are typed there.
    made = task instanceof Promise ? await task : task;
  } catch (thrown) {
    made = toAshlarError(thrown);
  }
  current.value = { make, made };
}

/** A button that opens a task. */
export function TaskButton({
  task,
  children,
  kind = '',
  label,
}: {
  task: MakeTask;
  children: ComponentChildren;
  kind?: 'primary' | 'danger' | 'plain' | '';
  /** For screen readers, where the word alone does not say of what. */
  label?: string;
}) {
  return (
    <button
      type="button"
      class={kind}
      aria-haspopup="dialog"
      {...(label === undefined ? {} : { 'aria-label': label })}
      onClick={() => void openTask(task)}
    >
      {children}
    </button>
  );
}

export function TaskDialog() {
  const opened = current.value;
  if (opened === null) return null;
  const { make, made } = opened;
  const close = (): void => {
    // The browser tells of it later, when another one may have been opened.
    if (current.value === opened) current.value = null;
  };
  return made instanceof Error ? (
    <Frame key={made} title="This cannot be done now" onClose={close}>
      <Problem error={made} />
      <footer>
        <button type="submit" class="first">
          Close
        </button>
      </footer>
    </Frame>
  ) : (
    <OpenTask key={made} first={made} make={make} onClose={close} />
  );
}

/** The dialog itself; without `onSubmit` what submits it closes it. */
function Frame({
  title,
  children,
  onClose,
  onSubmit,
}: {
  title: string;
  children: ComponentChildren;
  onClose: () => void;
  onSubmit?: (dialog: HTMLDialogElement) => void;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useEffect(() => {
    // The browser gives the focus back to what opened it.
    dialog.current?.showModal();
    dialog.current?.querySelector<HTMLElement>('input,textarea,select,button.first')?.focus();
  }, []);
  return (
    <dialog ref={dialog} aria-labelledby={titleId} onClose={onClose}>
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          if (dialog.current === null) return;
          if (onSubmit === undefined) dialog.current.close();
          else onSubmit(dialog.current);
        }}
      >
        <h2 id={titleId}>{title}</h2>
        {children}
      </form>
    </dialog>
  );
}

const initialValues = ({ fields = [] }: Task): Values =>
  Object.fromEntries(fields.map(({ name, initial = '' }) => [name, initial]));

const missing = (field: Field, values: Values): boolean =>
  field.optional !== true &&
  field.kind !== 'check' &&
  field.kind !== 'choice' &&
  (values[field.name] ?? '').trim() === '';

/** What the daemon finds wrong with a field, by its name. */
function refused(error: AshlarError | null, { name }: Field): string | null {
  const found = error?.fields.find(({ path }) => path.join('.') === name || path[0] === name);
  return found === undefined ? null : `It ${found.message}.`;
}

/** Whether each thing that the daemon finds wrong is told at a field. */
function toldAtFields(error: AshlarError, fields: readonly Field[]): boolean {
  const told = fields.filter((field) => refused(error, field) !== null).length;
  return error.fields.length > 0 && told >= error.fields.length;
}

/** What is going on in a dialog. */
function useTask(first: Task, make: MakeTask) {
  const [task, setTask] = useState(first);
  const [values, setValues] = useState<Values>(() => initialValues(first));
  const [error, setError] = useState<AshlarError | null>(null);
  const [others, setOthers] = useState<string | null>(null);
  const [running, setRunning] = useState(false);
  const [result, setResult] = useState<ComponentChildren>(null);
  const run = async (dialog: HTMLDialogElement): Promise<void> => {
    setRunning(true);
    setError(null);
    try {
      const done = await task.run(values);
      const { said, show, to }: Done = typeof done === 'string' ? { said: done } : done;
      notify(said);
      if (show !== undefined) return setResult(show);
      // It gives the focus back, which the next page then takes.
      dialog.close();
      if (to !== undefined) go(to);
    } catch (thrown) {
      setError(toAshlarError(thrown));
    } finally {
      setRunning(false);
    }
  };
  /** What others have changed is taken; what was typed here stays. */
  const reload = async (): Promise<void> => {
    try {
      const fresh = await make();
      const [was, is] = [initialValues(task), initialValues(fresh)];
      const own = Object.entries(values).filter(([name, value]) => value !== was[name]);
      setOthers(changedText(fresh, was, is));
      setValues({ ...is, ...Object.fromEntries(own) });
      setTask(fresh);
      setError(null);
    } catch (thrown) {
      setError(toAshlarError(thrown));
    }
  };
  const set = (name: string, value: string): void =>
    setValues((before) => ({ ...before, [name]: value }));
  return { task, values, set, error, others, running, result, run, reload };
}

function OpenTask({ first, make, onClose }: { first: Task; make: MakeTask; onClose: () => void }) {
  const open = useTask(first, make);
  const { task, values, error, running, result } = open;
  const { fields = [], confirmName, loses } = task;
  const [left, setLeft] = useState<ReadonlySet<string>>(new Set());
  const [typed, setTyped] = useState('');
  const confirmed = confirmName === undefined || typed === confirmName;
  const ready = confirmed && !running && !fields.some((field) => missing(field, values));
  const submit = (dialog: HTMLDialogElement): void => {
    if (!ready) return;
    const wrong = fields.find((field) => wrongWith(field, values[field.name] ?? '') !== null);
    if (wrong === undefined) {
      void open.run(dialog);
      return;
    }
    setLeft(new Set(fields.map(({ name }) => name)));
    dialog.querySelector<HTMLElement>(`[name="${wrong.name}"]`)?.focus();
  };
  if (result !== null) {
    return (
      <Frame title={task.title} onClose={onClose}>
        <Result>{result}</Result>
      </Frame>
    );
  }
  return (
    <Frame title={task.title} onClose={onClose} onSubmit={submit}>
      {task.about !== undefined && <div class="about">{task.about}</div>}
      <Fields
        fields={fields}
        values={values}
        error={error}
        left={left}
        onValue={open.set}
        onLeft={(name) => setLeft((before) => new Set(before).add(name))}
      />
      {loses !== undefined && <div class="loses">{loses}</div>}
      {confirmName !== undefined && (
        <ConfirmName name={confirmName} typed={typed} onTyped={setTyped} />
      )}
      {open.others !== null && (
        <p class="told" role="status">
          {open.others}
        </p>
      )}
      <Refusal error={error} fields={fields} onReload={() => void open.reload()} />
      <p class="same">The same with the command line</p>
      <Cli line={task.cli(values)} />
      <footer>
        <Cancel first={fields.length === 0} />
        <button
          type="submit"
          class={loses === undefined ? 'primary' : 'danger solid'}
          disabled={!ready}
        >
          {running ? 'Working…' : task.verb}
        </button>
      </footer>
    </Frame>
  );
}

/** What has to be read; the button that ends it has the focus. */
function Result({ children }: { children: ComponentChildren }) {
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => button.current?.focus(), []);
  return (
    <>
      <div class="about" role="status">
        {children}
      </div>
      <footer>
        <button ref={button} type="submit">
          Close
        </button>
      </footer>
    </>
  );
}

interface FieldsProps {
  fields: readonly Field[];
  values: Values;
  error: AshlarError | null;
  /** Those that were left, of which is told what is wrong. */
  left: ReadonlySet<string>;
  onValue: (name: string, value: string) => void;
  onLeft: (name: string) => void;
}

function Fields({ fields, values, error, left, onValue, onLeft }: FieldsProps) {
  const inputs = (own: readonly Field[]) =>
    own.map((field) => {
      const value = values[field.name] ?? '';
      const here = left.has(field.name) && value.trim() !== '' ? wrongWith(field, value) : null;
      return (
        <FieldInput
          key={field.name}
          field={field}
          value={value}
          wrong={here ?? refused(error, field)}
          onValue={(next) => onValue(field.name, next)}
          onLeft={() => onLeft(field.name)}
        />
      );
    });
  return (
    <>
      {groupsOf(fields).map(([group, own]) =>
        group === '' ? (
          <div key={own[0]?.name} class="fields">
            {inputs(own)}
          </div>
        ) : (
          <fieldset key={group} class="fields">
            <legend>{group}</legend>
            {inputs(own)}
          </fieldset>
        ),
      )}
    </>
  );
}

/** Why the daemon does not do it, unless that is told at the fields. */
function Refusal({
  error,
  fields,
  onReload,
}: {
  error: AshlarError | null;
  fields: readonly Field[];
  onReload: () => void;
}) {
  if (error === null || toldAtFields(error, fields)) return null;
  if (error.code === 'precondition-failed') return <Changed onReload={onReload} />;
  return <Problem error={error} />;
}

function Cancel({ first }: { first: boolean }) {
  return (
    <button
      type="button"
      class={first ? 'first' : ''}
      onClick={(event) => event.currentTarget.closest('dialog')?.close()}
    >
      Cancel
    </button>
  );
}

/** Somebody else was faster. */
function Changed({ onReload }: { onReload: () => void }) {
  return (
    <div class="problem" role="alert">
      <p>
        <strong>Somebody else has changed it</strong> since you opened this. Nothing was changed by
        you.
      </p>
      <p>
        <button type="button" onClick={onReload}>
          Load what it is now
        </button>
      </p>
    </div>
  );
}

/** Which fields others have changed. */
function changedText({ fields = [] }: Task, was: Values, is: Values): string {
  const quoted = (text: string | undefined): string =>
    text === undefined || text === '' ? 'nothing' : `‘${text.replaceAll('\n', ', ')}’`;
  const changed = fields
    .filter(({ name }) => was[name] !== is[name])
    .map(({ name, label }) => `${label}: ${quoted(was[name])} is ${quoted(is[name])} now`);
  const what = changed.length === 0 ? 'None of these fields is different' : changed.join('; ');
  return `${what}. What you have typed stays.`;
}

function ConfirmName({
  name,
  typed,
  onTyped,
}: {
  name: string;
  typed: string;
  onTyped: (typed: string) => void;
}) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>
        Type <code>{name}</code> to confirm
      </label>
      <input
        id={id}
        autocomplete="off"
        spellcheck={false}
        value={typed}
        onInput={(event) => onTyped(event.currentTarget.value)}
      />
    </div>
  );
}
