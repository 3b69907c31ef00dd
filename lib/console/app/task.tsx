/**
 * Everything that changes something is a task: a dialog with what is to be given, what it means,
 * the same as a command line, and what went wrong. One that loses data wants the name typed.
 */
import { signal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { type AshlarError, toAshlarError } from '../../errors.js';
import { notify } from './notices.js';
import { Cli, Problem } from './parts.js';
import { go } from './router.js';

export type Values = Readonly<Record<string, string>>;

export interface Field {
  name: string;
  label: string;
  /** 'lines': several, one a line. */
  kind?: 'text' | 'lines' | 'check' | 'choice';
  initial?: string;
  hint?: string;
  optional?: boolean;
  options?: readonly (readonly [value: string, name: string])[];
  /** Suggestions for what is typed. */
  suggest?: (typed: string) => Promise<string[]>;
}

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

const current = signal<Task | null>(null);

export function openTask(task: Task): void {
  current.value = task;
}

/** A button that opens a task; `task` is made when it is pressed. */
export function TaskButton({
  task,
  children,
  kind = '',
  label,
}: {
  task: () => Task;
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
      onClick={() => openTask(task())}
    >
      {children}
    </button>
  );
}

export function TaskDialog() {
  const task = current.value;
  return task === null ? null : <OpenTask key={task} task={task} />;
}

const missing = (field: Field, values: Values): boolean =>
  field.optional !== true && field.kind !== 'check' && (values[field.name] ?? '').trim() === '';

function OpenTask({ task }: { task: Task }) {
  const { fields = [], confirmName, loses } = task;
  const dialog = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  const [values, setValues] = useState<Values>(() =>
    Object.fromEntries(fields.map(({ name, initial = '' }) => [name, initial])),
  );
  const [typed, setTyped] = useState('');
  const [error, setError] = useState<AshlarError | null>(null);
  const [running, setRunning] = useState(false);
  const [result, setResult] = useState<ComponentChildren>(null);
  useEffect(() => {
    // The browser gives the focus back to what opened it.
    dialog.current?.showModal();
    dialog.current?.querySelector<HTMLElement>('input,textarea,select,button.first')?.focus();
  }, []);
  const confirmed = confirmName === undefined || typed === confirmName;
  const ready = confirmed && !running && !fields.some((field) => missing(field, values));
  const run = async (): Promise<void> => {
    setRunning(true);
    setError(null);
    try {
      const done = await task.run(values);
      const { said, show, to }: Done = typeof done === 'string' ? { said: done } : done;
      notify(said);
      if (show !== undefined) return setResult(show);
      // It gives the focus back, which the next page then takes.
      dialog.current?.close();
      if (to !== undefined) go(to);
    } catch (thrown) {
      setError(toAshlarError(thrown));
    } finally {
      setRunning(false);
    }
  };
  const onSubmit = (event: Event): void => {
    event.preventDefault();
    if (ready) void run();
  };
  const close = (): void => dialog.current?.close();
  return (
    <dialog
      ref={dialog}
      aria-labelledby={titleId}
      onClose={() => {
        // The browser tells of it later, when another one may have been opened.
        if (current.value === task) current.value = null;
      }}
    >
      <form onSubmit={onSubmit}>
        <h2 id={titleId}>{task.title}</h2>
        {result === null ? (
          <>
            {task.about !== undefined && <div class="about">{task.about}</div>}
            {fields.map((field, index) => (
              <FieldInput
                key={field.name}
                field={field}
                first={index === 0}
                value={values[field.name] ?? ''}
                onValue={(value) => setValues((before) => ({ ...before, [field.name]: value }))}
              />
            ))}
            {loses !== undefined && <div class="loses">{loses}</div>}
            {confirmName !== undefined && (
              <ConfirmName name={confirmName} typed={typed} onTyped={setTyped} />
            )}
            <Problem error={error} />
            <p class="same">The same with the command line</p>
            <Cli line={task.cli(values)} />
          </>
        ) : (
          <div class="about">{result}</div>
        )}
        <footer>
          <button type="button" class={fields.length === 0 ? 'first' : ''} onClick={close}>
            {result === null ? 'Cancel' : 'Close'}
          </button>
          {result === null && (
            <button
              type="submit"
              class={loses === undefined ? 'primary' : 'danger solid'}
              disabled={!ready}
            >
              {running ? 'Working…' : task.verb}
            </button>
          )}
        </footer>
      </form>
    </dialog>
  );
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

interface InputProps {
  field: Field;
  value: string;
  first: boolean;
  onValue: (value: string) => void;
}

function FieldInput({ field, value, onValue }: InputProps) {
  const id = useId();
  const { kind = 'text', label, hint } = field;
  const described = hint === undefined ? {} : { 'aria-describedby': `${id}-hint` };
  const about = hint !== undefined && (
    <p class="hint" id={`${id}-hint`}>
      {hint}
    </p>
  );
  if (kind === 'check') {
    return (
      <div class="field">
        <label class="check">
          <input
            type="checkbox"
            {...described}
            checked={value === 'true'}
            onChange={(event) => onValue(String(event.currentTarget.checked))}
          />
          {label}
        </label>
        {about}
      </div>
    );
  }
  const common = { id, ...described, required: field.optional !== true };
  return (
    <div class="field">
      <label for={id}>
        {label}
        {field.optional === true && <span class="soft"> (optional)</span>}
      </label>
      {kind === 'choice' ? (
        <select {...common} value={value} onChange={(event) => onValue(event.currentTarget.value)}>
          {(field.options ?? []).map(([each, name]) => (
            <option key={each} value={each}>
              {name}
            </option>
          ))}
        </select>
      ) : kind === 'lines' ? (
        <textarea
          {...common}
          rows={3}
          spellcheck={false}
          value={value}
          onInput={(event) => onValue(event.currentTarget.value)}
        />
      ) : (
        <TextInput field={field} common={common} value={value} onValue={onValue} />
      )}
      {about}
    </div>
  );
}

function TextInput({
  field,
  common,
  value,
  onValue,
}: Omit<InputProps, 'first'> & { common: { id: string; required: boolean } }) {
  const [suggested, setSuggested] = useState<string[]>([]);
  const { suggest } = field;
  useEffect(() => {
    let over = false;
    suggest?.(value).then(
      (found) => {
        if (!over) setSuggested(found);
      },
      () => undefined,
    );
    return () => {
      over = true;
    };
  }, [value]);
  const list = suggest === undefined ? {} : { list: `${common.id}-list` };
  return (
    <>
      <input
        {...common}
        {...list}
        autocomplete="off"
        spellcheck={false}
        value={value}
        onInput={(event) => onValue(event.currentTarget.value)}
      />
      {suggest !== undefined && (
        <datalist id={`${common.id}-list`}>
          {suggested.map((each) => (
            <option key={each} value={each} />
          ))}
        </datalist>
      )}
    </>
  );
}
