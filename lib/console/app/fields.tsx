/** Fields of a dialog, with what is wrong in them. */
import { useEffect, useId, useState } from 'preact/hooks';
import type { Check } from './input.js';

export interface Field {
  /** As the API names it, where it is one of its fields: what it says of it is shown there. */
  name: string;
  label: string;
  /** 'lines': several, one a line. 'secret': not to be read over a shoulder. */
  kind?: 'text' | 'lines' | 'check' | 'choice' | 'secret';
  initial?: string;
  hint?: string;
  optional?: boolean;
  options?: readonly (readonly [value: string, name: string])[];
  /** Suggestions for what is typed. */
  suggest?: (typed: string) => Promise<string[]>;
  /** Of text, or of each line; the API's own limits, told before it is asked. */
  check?: Check;
  /** Two such fields that follow each other share a line. */
  half?: boolean;
  /** Fields of the same group that follow each other are told as one. */
  group?: string;
}

/** What is wrong with the text of a field; null: nothing that is known here. */
export function wrongWith(field: Field, text: string): string | null {
  const { kind, optional, check } = field;
  if (kind === 'check' || kind === 'choice') return null;
  const parts = (kind === 'lines' ? text.split('\n') : [text])
    .map((part) => part.trim())
    .filter((part) => part !== '');
  if (parts.length === 0) return optional === true ? null : 'It is missing.';
  if (check === undefined) return null;
  for (const part of parts) {
    try {
      check(part);
    } catch (thrown) {
      return (thrown instanceof Error ? thrown.message : String(thrown)).trim();
    }
  }
  return null;
}

/** Fields, those of a group together. */
export function groupsOf(fields: readonly Field[]): (readonly [string, Field[]])[] {
  const groups: [string, Field[]][] = [];
  for (const field of fields) {
    const name = field.group ?? '';
    const last = groups.at(-1);
    if (last !== undefined && last[0] === name) last[1].push(field);
    else groups.push([name, [field]]);
  }
  return groups;
}

interface InputProps {
  field: Field;
  value: string;
  /** What is wrong with it; null: nothing, or nothing yet. */
  wrong: string | null;
  onValue: (value: string) => void;
  /** It was left. */
  onLeft: () => void;
}

export function FieldInput({ field, value, wrong, onValue, onLeft }: InputProps) {
  const id = useId();
  const { kind = 'text', label, hint } = field;
  const notes = [hint === undefined ? '' : `${id}-hint`, wrong === null ? '' : `${id}-wrong`];
  const described = notes.join(' ').trim();
  const common = {
    id,
    name: field.name,
    ...(described === '' ? {} : { 'aria-describedby': described }),
    ...(wrong === null ? {} : { 'aria-invalid': true }),
    onBlur: (event: FocusEvent) => {
      // A button that is pressed must not be pushed from under the pointer by what is told here.
      if (!(event.relatedTarget instanceof HTMLButtonElement)) onLeft();
    },
  };
  const about = (
    <>
      {wrong !== null && (
        <p class="wrong" id={`${id}-wrong`} role="alert">
          {wrong}
        </p>
      )}
      {hint !== undefined && (
        <p class="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
    </>
  );
  if (kind === 'check') {
    return (
      <div class="field">
        <label class="check">
          <input
            type="checkbox"
            {...common}
            checked={value === 'true'}
            onChange={(event) => onValue(String(event.currentTarget.checked))}
          />
          {label}
        </label>
        {about}
      </div>
    );
  }
  return (
    <div class={field.half === true ? 'field half' : 'field'}>
      <label for={id}>
        {label}
        {field.optional === true && <span class="soft"> (optional)</span>}
      </label>
      <Control field={field} common={common} value={value} onValue={onValue} />
      {about}
    </div>
  );
}

interface ControlProps {
  field: Field;
  value: string;
  onValue: (value: string) => void;
  common: { id: string; name: string; onBlur: (event: FocusEvent) => void };
}

function Control({ field, common, value, onValue }: ControlProps) {
  const required = field.optional !== true;
  if (field.kind === 'choice') {
    return (
      <select {...common} value={value} onChange={(event) => onValue(event.currentTarget.value)}>
        {(field.options ?? []).map(([each, name]) => (
          <option key={each} value={each}>
            {name}
          </option>
        ))}
      </select>
    );
  }
  if (field.kind === 'lines') {
    return (
      <textarea
        {...common}
        rows={3}
        spellcheck={false}
        aria-required={required}
        value={value}
        onInput={(event) => onValue(event.currentTarget.value)}
      />
    );
  }
  if (field.kind === 'secret') {
    return (
      <input
        {...common}
        type="password"
        autocomplete="off"
        value={value}
        onInput={(event) => onValue(event.currentTarget.value)}
      />
    );
  }
  return <TextInput field={field} common={common} value={value} onValue={onValue} />;
}

function TextInput({ field, common, value, onValue }: ControlProps) {
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
        aria-required={field.optional !== true}
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
