/** A labelled input with its hint and its error. */
import type { JSX } from "preact";
import { useId } from "preact/hooks";

interface FieldProps {
  label: string;
  name: string;
  type?: "text" | "email" | "password";
  value: string;
  onInput: (value: string) => void;
  autocomplete?: string;
  hint?: string | undefined;
  error?: string | undefined;
  isRequired?: boolean;
  hasFocus?: boolean;
  placeholder?: string;
  /** The keyboard that phones show. */
  inputMode?: "numeric";
}

export function Field(props: FieldProps): JSX.Element {
  const id = useId();
  const { label, name, type = "text", value, onInput, autocomplete, hint, error, isRequired = true, hasFocus } = props;
  const about = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ");
  return (
    <div class="form-field">
      <label for={id}>{label}</label>
      <input
        id={id}
        class="field"
        name={name}
        type={type}
        value={value}
        required={isRequired}
        autocomplete={autocomplete ?? "off"}
        autofocus={hasFocus}
        placeholder={props.placeholder}
        inputMode={props.inputMode}
        aria-invalid={error ? true : undefined}
        aria-describedby={about || undefined}
        onInput={(event) => onInput(event.currentTarget.value)}
      />
      {hint && <p class="hint" id={`${id}-hint`}>{hint}</p>}
      {error && <p class="problem" id={`${id}-error`} role="alert">{error}</p>}
    </div>
  );
}
