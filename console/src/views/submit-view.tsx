/** @file The form of a new job. */

import { Fragment } from "preact";
import { guidanceWord, SCALES } from "../guidance.js";
import { FORMATS, LOOKS, PARAMETER_FIELDS } from "../parameters.js";
import { ParameterInput, Problem, ScalesInput } from "../parts/fields.js";
import { Icon } from "../parts/icon.js";
import { JobOptions } from "../parts/job-options.js";
import { PictureDrop } from "../parts/picture-drop.js";
import { PlanNote } from "../parts/plan-note.js";
import { attempt } from "../state/announce.js";
import { models } from "../state/farm.js";
import {
  branch,
  formats,
  isSending,
  isUploading,
  latents,
  looks,
  modelDigest,
  pictures,
  problems,
  setLatents,
  setValue,
  submit,
  values,
  wantsPreview,
} from "../state/submission.js";

/** What is changed most often; the rest is folded away. */
const FIRST = ["motion_bucket_id", "num_inference_steps", "fps", "seed"];

export function SubmitView() {
  const send = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = event.target as HTMLFormElement;
    const wrong = await submit();
    const controls = [...form.elements] as HTMLInputElement[];
    const first = controls.find(({ name }) => name !== "" && wrong.includes(name));
    first?.closest("details")?.setAttribute("open", "");
    first?.focus();
  };
  const fields = (names: readonly string[]) =>
    names.map((name) => {
      const field = PARAMETER_FIELDS.find((known) => known.name === name);
      return field && <ParameterInput key={name} field={field} />;
    });
  const rest = PARAMETER_FIELDS.map(({ name }) => name).filter((name) => !FIRST.includes(name));
  const count = pictures.value.filter(({ ref }) => ref !== null).length;
  return (
    <form class="submit" onSubmit={send} noValidate>
      <h1 class="view-title">New clip</h1>
      <BranchNote />
      <PictureDrop />
      <ModelChoice />
      <div class="field-grid">{fields(FIRST)}</div>
      <details class="more">
        <summary>All parameters</summary>
        <div class="field-grid">
          {fields(rest)}
          {LOOKS.map((look) => (
            <Fragment key={look.name}>
              <LookChoice look={look} />
              {look.name === "guidance" && <Scales />}
            </Fragment>
          ))}
        </div>
        <div class="preset-row">
          {Object.keys({ ...values.value, ...looks.value }).length > 0 && (
            <button
              type="button"
              class="button button-small"
              onClick={() => {
                values.value = {};
                looks.value = {};
              }}
            >
              All defaults
            </button>
          )}
        </div>
        <LatentsInput />
        <JobOptions />
      </details>
      <FormatChoice />
      <label class="chip chip-plain">
        <input
          type="checkbox"
          name="preview"
          checked={wantsPreview.value}
          onChange={(event) => {
            wantsPreview.value = event.currentTarget.checked;
          }}
        />
        show the clip on its way
      </label>
      {problems.value[""] && (
        <p class="problem" role="alert">
          {problems.value[""]}
        </p>
      )}
      <PlanNote />
      <button
        type="submit"
        class="button button-accent button-wide"
        disabled={isSending.value || isUploading.value || count === 0}
      >
        {isUploading.value ? "Uploading…" : isSending.value ? "Sending…" : "Render"}
      </button>
      {count === 0 && <p class="hint">Choose a picture first.</p>}
    </form>
  );
}

function BranchNote() {
  if (!branch.value) return null;
  const { jobId, clipIndex, step } = branch.value;
  return (
    <div class="branch-note">
      <Icon name="branch" />
      <span>
        Begins at <b>step {step}</b> of clip {clipIndex + 1} of job{" "}
        <span class="mono">{jobId.slice(-6)}</span>. Change motion or guidance and see where it
        goes.
      </span>
      <button
        type="button"
        class="icon-button"
        aria-label="Begin at the noise instead"
        onClick={() => {
          branch.value = null;
        }}
      >
        <Icon name="close" />
      </button>
      <Problem name="branch" />
    </div>
  );
}

function ModelChoice() {
  if (models.value.length < 2) return null;
  return (
    <label class="field">
      <span class="field-name">checkpoint</span>
      <select
        name="model_digest"
        value={modelDigest.value || models.value[0]?.digest}
        onChange={(event) => {
          modelDigest.value = event.currentTarget.value;
        }}
      >
        {models.value.map(({ digest, name }) => (
          <option key={digest} value={digest}>
            {name} ({digest.slice(0, 8)})
          </option>
        ))}
      </select>
      <Problem name="model_digest" />
    </label>
  );
}

function FormatChoice() {
  const toggle = (format: (typeof FORMATS)[number]) => {
    const has = formats.value.includes(format);
    formats.value = FORMATS.filter((f) => (f === format ? !has : formats.value.includes(f)));
  };
  return (
    <fieldset class="choices">
      <legend class="field-name">formats</legend>
      {FORMATS.map((format) => (
        <label key={format} class="chip">
          <input
            type="checkbox"
            name="formats"
            checked={formats.value.includes(format)}
            onChange={() => toggle(format)}
          />
          {format}
        </label>
      ))}
      <Problem name="formats" />
    </fieldset>
  );
}

function LookChoice({ look }: { readonly look: (typeof LOOKS)[number] }) {
  const { name, choices, help } = look;
  return (
    <label class="field">
      <span class="field-name">{name}</span>
      <select
        name={name}
        value={looks.value[name] ?? choices[0]}
        aria-describedby={`${name}-help`}
        onChange={(event) => {
          const { [name]: _, ...others } = looks.value;
          const choice = event.currentTarget.value;
          looks.value = choice === choices[0] ? others : { ...others, [name]: choice };
        }}
      >
        {choices.map((choice) => (
          <option key={choice} value={choice}>
            {guidanceWord(choice) || "none"}
          </option>
        ))}
      </select>
      <Problem name={name} />
      <small id={`${name}-help`} class="help">
        {help}
      </small>
    </label>
  );
}

/** Where the guidance is one scale a frame. */
function Scales() {
  if (looks.value.guidance !== "frames") return null;
  const set = (text: string) => setValue(SCALES, text);
  return <ScalesInput name={SCALES} value={values.value[SCALES] ?? ""} onText={set} />;
}

function LatentsInput() {
  return (
    <label class="field">
      <span class="field-name">latents</span>
      <input
        type="file"
        name="latents"
        accept=".safetensors"
        aria-describedby="latents-help"
        onChange={(event) => {
          const file = event.currentTarget.files?.[0] ?? null;
          void attempt(() => setLatents(file));
        }}
      />
      <small id="latents-help" class="help">
        {latents.value
          ? `${latents.value.name} is uploaded.`
          : "Initial noise from a safetensors file, in place of the seed's."}
      </small>
      <Problem name="latents" />
    </label>
  );
}
