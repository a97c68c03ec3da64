/** @file One of several pictures: its row, which opens to what its clip has of its own. */
import { plural } from "../format.js";
import { guidanceWord, isSaidByGuidance, SCALES } from "../guidance.js";
import { controlName, OWN_FIELDS, OWN_NAMES, type OwnValues } from "../own-values.js";
import { GUIDANCE_KINDS, PARAMETER_FIELDS } from "../parameters.js";
import {
  chosenModel,
  clearOwnValues,
  looks,
  type Picture as PictureEntry,
  pictures,
  problems,
  removePicture,
  setOwnValue,
  values,
} from "../state/submission.js";
import { NumberInput, Problem, ScalesInput } from "./fields.js";
import { Icon } from "./icon.js";
import { Picture } from "./media.js";

interface RowProps {
  readonly picture: PictureEntry;
}

export function PictureRow({ picture }: RowProps) {
  const { id, name, problem } = picture;
  return (
    <li class="picture-row">
      {problem === "" ? (
        <details>
          <summary class="picture-head">
            <Head picture={picture} />
          </summary>
          <OwnValuesForm picture={picture} />
        </details>
      ) : (
        <>
          <div class="picture-head">
            <Head picture={picture} />
          </div>
          <span class="problem">{problem}</span>
        </>
      )}
      <button
        type="button"
        class="icon-button"
        aria-label={`Remove ${name}`}
        onClick={() => removePicture(id)}
      >
        <Icon name="close" />
      </button>
    </li>
  );
}

function Head({ picture }: RowProps) {
  const { name, url, ref, problem } = picture;
  return (
    <>
      <Picture path={url} alt="" />
      <span class="picture-words">
        <span title={name}>{name}</span>
        {problem === "" && <OwnLine picture={picture} />}
        {ref === null && problem === "" && <span class="own-line">uploading</span>}
      </span>
    </>
  );
}

/** What is its own in few words, or how much of that is wrong. */
function OwnLine({ picture: { id, own } }: RowProps) {
  const told = OWN_NAMES.filter((name) => own[name]).map((name) => ownWords(own, name));
  const wrong = OWN_NAMES.filter((name) => problems.value[controlName(id, name)]).length;
  return (
    <span class="own-line">
      <span class="own-mark" aria-hidden="true" />
      Own values: {wrong > 0 && <span class="problem">{plural(wrong, "problem")}</span>}
      {wrong === 0 && (told.length > 0 ? <b>{told.join(", ")}</b> : "none")}
    </span>
  );
}

function ownWords(own: OwnValues, name: string): string {
  const text = own[name] ?? "";
  return `${name} ${name === "guidance" ? guidanceWord(text) : text}`;
}

function OwnValuesForm({ picture }: RowProps) {
  const { id, name, own } = picture;
  return (
    <fieldset class="own-values">
      <legend class="visually-hidden">Own values of {name}</legend>
      <p class="hint">
        Empty: as the form says. Where a picture has values of its own, every clip draws its noise
        from its own seed: that of the form, one more for each further picture.
      </p>
      <div class="field-grid">
        {OWN_FIELDS.map((field) => (
          <NumberInput
            key={field.name}
            name={controlName(id, field.name)}
            label={field.name}
            kind={field.kind}
            value={own[field.name] ?? ""}
            placeholder={inherited(picture, field.name)}
            onText={(text) => setOwnValue(id, field.name, text)}
          />
        ))}
        <OwnGuidance picture={picture} />
        {own["guidance"] === "frames" && (
          <ScalesInput
            name={controlName(id, SCALES)}
            value={own[SCALES] ?? ""}
            onText={(text) => setOwnValue(id, SCALES, text)}
          />
        )}
      </div>
      {Object.keys(own).length > 0 && (
        <button type="button" class="button button-small" onClick={() => clearOwnValues(id)}>
          All as the form says
        </button>
      )}
    </fieldset>
  );
}

function OwnGuidance({ picture: { id, own } }: RowProps) {
  const name = controlName(id, "guidance");
  const isWrong = problems.value[name] !== undefined;
  return (
    <label class="field">
      <span class="field-name">guidance</span>
      <select
        name={name}
        value={own["guidance"] ?? ""}
        aria-invalid={isWrong}
        aria-describedby={isWrong ? `${name}-problem` : undefined}
        onChange={(event) => {
          setOwnValue(id, "guidance", event.currentTarget.value);
          if (event.currentTarget.value !== "frames") setOwnValue(id, SCALES, "");
        }}
      >
        <option value="">
          as the form ({guidanceWord(looks.value.guidance ?? GUIDANCE_KINDS[0])})
        </option>
        {GUIDANCE_KINDS.map((kind) => (
          <option key={kind} value={kind}>
            {guidanceWord(kind)}
          </option>
        ))}
      </select>
      <Problem name={name} />
    </label>
  );
}

/** What an empty field means: the value of the form. */
function inherited(picture: PictureEntry, name: string): string {
  const kind = picture.own["guidance"] ?? looks.value.guidance;
  if (isSaidByGuidance(kind, name)) return kind === "constant" ? "as max" : "in the list";
  const field = PARAMETER_FIELDS.find((known) => known.name === name);
  const told = values.value[name]?.trim() || (field?.placeholder(chosenModel.value) ?? "");
  return name === "seed" ? seedOfForm(told, picture.id) : told;
}

/** One of a list, or the only one and as many more as pictures go before. */
function seedOfForm(told: string, pictureId: number): string {
  const usable = pictures.value.filter(({ problem }) => problem === "");
  const index = usable.findIndex(({ id }) => id === pictureId);
  const seeds = told.split(/[\s,;]+/);
  if (seeds.length > 1) return seeds[index] ?? "";
  return /^\d{1,20}$/.test(told) ? String(BigInt(told) + BigInt(index)) : told;
}
