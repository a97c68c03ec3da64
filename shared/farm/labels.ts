/**
 * @file Labels of a job: what its owner knows it by, and how jobs are found by them.
 *
 * @source Kubernetes, "Labels and Selectors": the characters, the 63 of them, and selectors by equality
 */
import type { Violation } from "../core/errors.js";

/** Names and values, e.g. { shot: "12a", team: "blue" }. */
export type Labels = Readonly<Record<string, string>>;

/** One condition of a selector. */
export interface LabelCondition {
  readonly name: string;
  /** Null: any value. */
  readonly value: string | null;
}

/** A job is sent, kept and shown with all of them. */
export const LABELS_MAX = 32;
const NAME_PATTERN = /^[a-z0-9](?:[a-z0-9._/-]{0,61}[a-z0-9])?$/i;
const VALUE_PATTERN = /^(?:[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?)?$/i;

/** What is wrong with labels, each named "field[name]"; [] when nothing is. */
export function labelViolations(labels: Labels, field: string): Violation[] {
  const entries = Object.entries(labels);
  if (entries.length > LABELS_MAX) {
    return [{ field, description: `has ${entries.length} labels; at most ${LABELS_MAX}` }];
  }
  return entries.flatMap(([name, value]) => {
    const description = problemOf(name, value);
    return description === null ? [] : [{ field: `${field}[${name.slice(0, 70)}]`, description }];
  });
}

/**
 * Reads "shot=12a,team": all of these conditions have to hold, and a name alone takes any value.
 *
 * @param violations gets what is no condition
 */
export function readSelector(
  text: string,
  field: string,
  violations: Violation[],
): readonly LabelCondition[] {
  if (text === "") return [];
  const parts = text.split(",");
  if (parts.length > LABELS_MAX) {
    violations.push({
      field,
      description: `has ${parts.length} conditions; at most ${LABELS_MAX}`,
    });
    return [];
  }
  return parts.map((part) => {
    const { name, value } = readCondition(part);
    const problem = problemOf(name, value ?? "");
    if (problem !== null) violations.push({ field, description: problem });
    return { name, value };
  });
}

/** "shot=12a" is one label; "shot" names one without saying its value. */
export function readCondition(text: string): LabelCondition {
  const at = text.indexOf("=");
  return at < 0
    ? { name: text, value: null }
    : { name: text.slice(0, at), value: text.slice(at + 1) };
}

export function hasLabels(labels: Labels, conditions: readonly LabelCondition[]): boolean {
  return conditions.every(
    ({ name, value }) => Object.hasOwn(labels, name) && (value === null || labels[name] === value),
  );
}

/** "shot=12a,team=blue", by name. */
export function labelText(labels: Labels): string {
  return Object.entries(labels)
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([name, value]) => `${name}=${value}`)
    .join(",");
}

function problemOf(name: string, value: string): string | null {
  if (!NAME_PATTERN.test(name)) {
    return `'${name.slice(0, 70)}' is no label's name: 1 to 63 of [a-zA-Z0-9._/-], no sign at its ends`;
  }
  if (VALUE_PATTERN.test(value)) return null;
  return `'${value.slice(0, 70)}' is no label's value: up to 63 of [a-zA-Z0-9._-], no sign at its ends`;
}
