/** @file Labels of jobs as people write them, "shot=12a, team=blue", and as the API has them. */
import type { JobJson } from "./api/types.js";

type Labels = Readonly<Record<string, string>>;

export const labelsOf = ({ options }: JobJson): Labels => options?.labels ?? {};

/** What the farm then takes or refuses; a name alone has no value. */
export function labelsOnWire(text: string): Labels {
  return Object.fromEntries(conditionsOf(text).map(({ name, value }) => [name, value ?? ""]));
}

/** In the order of their names. */
export function labelTexts(labels: Labels): string[] {
  const entries = Object.entries(labels).sort(([a], [b]) => a.localeCompare(b));
  return entries.map(([name, value]) => (value === "" ? name : `${name}=${value}`));
}

/** Whether a job has all of the labels that a text names; a name alone takes any value. */
export function hasLabels(labels: Labels, selector: string): boolean {
  return conditionsOf(selector).every(
    ({ name, value }) => Object.hasOwn(labels, name) && (value === null || labels[name] === value),
  );
}

/** As the API takes it: "shot=12a,team". */
export const selectorOnWire = (text: string): string =>
  conditionsOf(text)
    .map(({ name, value }) => (value === null ? name : `${name}=${value}`))
    .join(",");

function conditionsOf(text: string): { readonly name: string; readonly value: string | null }[] {
  const parts = text.split(",").map((part) => part.trim());
  return parts
    .filter((part) => part !== "")
    .map((part) => {
      const [name = "", ...rest] = part.split("=");
      return { name: name.trim(), value: rest.length === 0 ? null : rest.join("=").trim() };
    });
}
