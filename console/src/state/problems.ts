/** @file What the farm refused, by the control of the form that it belongs to. */
import { ApiError } from "../api/client.js";
import { SCALES } from "../guidance.js";
import { controlName, OWN_NAMES } from "../own-values.js";
import { LOOKS, PARAMETER_FIELDS } from "../parameters.js";

/** By the name of a control; "" holds what belongs to none. */
export type Problems = Readonly<Record<string, string>>;

const FORM_NAMES: readonly string[] = [
  ...PARAMETER_FIELDS.map(({ name }) => name),
  ...LOOKS.map(({ name }) => name),
  ...["images", "formats", "pair", "priority", "owner", "deadline_time", "latents", "branch"],
  ...["model_digest", "labels"],
];

/** What was asked, as far as it tells where a problem belongs. */
export interface Asked {
  /** In the order of the request's pictures and clips. */
  readonly pictureIds: readonly number[];
  /** Controls that list one scale a frame: what is wrong with such a guidance is wrong with its list. */
  readonly lists: readonly string[];
}

export function problemsOf(error: unknown, { pictureIds, lists }: Asked): Problems {
  const { message, violations } = error as ApiError;
  if (!(error instanceof ApiError) || violations.length === 0) return { "": message };
  const found: Record<string, string> = {};
  for (const { field, description } of violations) {
    const control = controlOf(field, pictureIds);
    const list = control.replace(/guidance$/, SCALES);
    const name = lists.includes(list) ? list : control;
    const text = name === "" ? `${field}: ${description}` : description;
    found[name] = found[name] === undefined ? text : `${found[name]} ${text}`;
  }
  return found;
}

/**
 * "parameters.seeds.values[0]" -> "seed", "parameters.clips[1].fps" -> the fps of the second picture:
 * the control that a violation belongs to; "" for none.
 */
function controlOf(path: string, pictureIds: readonly number[]): string {
  const inner = path.replace(/^(parameters|options)\./, "");
  const [, index, own = ""] = /^clips\[(\d+)\]\.(\w+)/.exec(inner) ?? [];
  if (index !== undefined) {
    const id = pictureIds[Number(index)];
    const name = inSnakeCase(own);
    return id !== undefined && OWN_NAMES.includes(name) ? controlName(id, name) : "";
  }
  const snake = inSnakeCase(inner.replace(/[.[].*$/, ""));
  if (snake === "seeds") return "seed";
  return FORM_NAMES.includes(snake) ? snake : "";
}

const inSnakeCase = (name: string): string =>
  name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
