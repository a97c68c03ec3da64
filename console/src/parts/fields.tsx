/** @file One number of the form, its help, and what the farm says of it. */
import type { ParameterField } from "../parameters.js";
import { chosenModel, problems, setValue, values } from "../state/submission.js";

/** What is wrong with a field; nothing while it is right. */
export function Problem({ name }: { readonly name: string }) {
  const text = problems.value[name];
  if (text === undefined) return null;
  return (
    <span class="problem" id={`${name}-problem`}>
      {text}
    </span>
  );
}

interface NumberInputProps {
  /** Of the control, and of what is wrong with it. */
  readonly name: string;
  readonly label: string;
  readonly kind: ParameterField["kind"];
  readonly value: string;
  readonly placeholder: string;
  readonly help?: string;
  readonly isWide?: boolean;
  readonly onText: (text: string) => void;
}

export function NumberInput(props: NumberInputProps) {
  const { name, kind, help = "" } = props;
  const isWrong = problems.value[name] !== undefined;
  const described = [isWrong && `${name}-problem`, help !== "" && `${name}-help`];
  return (
    <label class={props.isWide ? "field field-wide" : "field"}>
      <span class="field-name">{props.label}</span>
      <input
        name={name}
        inputMode={kind === "list" ? "text" : kind === "real" ? "decimal" : "numeric"}
        autocomplete="off"
        spellcheck={false}
        value={props.value}
        placeholder={props.placeholder}
        aria-invalid={isWrong}
        aria-describedby={described.filter(Boolean).join(" ") || undefined}
        onInput={(event) => props.onText(event.currentTarget.value)}
      />
      <Problem name={name} />
      {help !== "" && (
        <small id={`${name}-help`} class="help">
          {help}
        </small>
      )}
    </label>
  );
}

export function ParameterInput({ field }: { readonly field: ParameterField }) {
  const { name, help, kind } = field;
  return (
    <NumberInput
      name={name}
      label={name}
      kind={kind}
      value={values.value[name] ?? ""}
      placeholder={field.placeholder(chosenModel.value)}
      help={help}
      isWide={name === "sigmas"}
      onText={(text) => setValue(name, text)}
    />
  );
}
