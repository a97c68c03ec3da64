/** @file One number of the form, its help, and what the farm says of it. */

import { isSaidByGuidance, SCALES } from "../guidance.js";
import { PARAMETER_FIELDS, type ParameterField } from "../parameters.js";
import { chosenModel, looks, problems, setValue, values } from "../state/submission.js";

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
      placeholder={placeholderOf(field)}
      help={help}
      isWide={name === "sigmas"}
      onText={(text) => setValue(name, text)}
    />
  );
}

/** What an empty field means. */
function placeholderOf({ name, placeholder }: ParameterField): string {
  const kind = looks.value.guidance;
  if (isSaidByGuidance(kind, name)) return kind === "constant" ? "as max" : "in the list";
  return placeholder(chosenModel.value);
}

interface ScalesInputProps {
  readonly name: string;
  readonly value: string;
  readonly onText: (text: string) => void;
}

/** One guidance scale for each frame. */
export function ScalesInput({ name, value, onText }: ScalesInputProps) {
  const frames = PARAMETER_FIELDS.find((field) => field.json === "numFrames");
  const count = values.value["num_frames"]?.trim() || frames?.placeholder(chosenModel.value);
  return (
    <NumberInput
      name={name}
      label={SCALES}
      kind="list"
      value={value}
      placeholder="1, 1.5, 2, 1.5"
      help={`One a frame, from 0 to 100: ${count} numbers.`}
      isWide
      onText={onText}
    />
  );
}
