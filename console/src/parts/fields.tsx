/** @file One parameter of the form, its help, and what the farm says of it. */
import type { ParameterField } from "../parameters.js";
import { models } from "../state/farm.js";
import { modelDigest, problems, setValue, values } from "../state/submission.js";

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

export function ParameterInput({ field }: { readonly field: ParameterField }) {
  const { name, help, kind } = field;
  const model = models.value.find(({ digest }) => digest === modelDigest.value) ?? models.value[0];
  const isWrong = problems.value[name] !== undefined;
  const described = isWrong ? `${name}-problem ${name}-help` : `${name}-help`;
  return (
    <label class={name === "sigmas" ? "field field-wide" : "field"}>
      <span class="field-name">{name}</span>
      <input
        name={name}
        inputMode={kind === "list" ? "text" : kind === "real" ? "decimal" : "numeric"}
        autocomplete="off"
        spellcheck={false}
        value={values.value[name] ?? ""}
        placeholder={field.placeholder(model)}
        aria-invalid={isWrong}
        aria-describedby={described}
        onInput={(event) => setValue(name, event.currentTarget.value)}
      />
      <Problem name={name} />
      <small id={`${name}-help`} class="help">
        {help}
      </small>
    </label>
  );
}
