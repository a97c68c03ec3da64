/** Labels: which there may be, and which jobs a selector finds. */
import { expect, test } from "vitest";
import type { Violation } from "../core/errors.js";
import { hasLabels, LABELS_MAX, labelText, labelViolations, readSelector } from "./labels.js";

const LONGEST = "a".repeat(63);

test.each([
  {},
  { shot: "12a", "studio.example/team": "Blue-2", empty: "" },
  { [LONGEST]: LONGEST },
])("legal: %o", (labels) => {
  expect(labelViolations(labels, "labels")).toEqual([]);
});

test.each<[string, Record<string, string>, string]>([
  ["a name of nothing", { "": "x" }, "labels[]"],
  ["a name with a space", { "a b": "x" }, "labels[a b]"],
  ["a name that ends with a dash", { "a-": "x" }, "labels[a-]"],
  ["a name of 64", { [`${LONGEST}a`]: "x" }, `labels[${LONGEST}a]`],
  ["the name of a prototype", Object.fromEntries([["__proto__", "x"]]), "labels[__proto__]"],
  ["a value with a comma", { a: "b,c" }, "labels[a]"],
  ["a value of 64", { a: `${LONGEST}a` }, "labels[a]"],
  ["a value that begins with a dot", { a: ".b" }, "labels[a]"],
])("refused: %s", (_name, labels, field) => {
  expect(labelViolations(labels, "labels").map((v) => v.field)).toEqual([field]);
});

test("refused: one more than there may be, in one line", () => {
  const labels = Object.fromEntries(
    Array.from({ length: LABELS_MAX + 1 }, (_, i) => [`n${i}`, ""]),
  );
  expect(labelViolations(labels, "labels")).toEqual([
    { field: "labels", description: `has ${LABELS_MAX + 1} labels; at most ${LABELS_MAX}` },
  ]);
});

const LABELS = { shot: "12a", team: "blue", draft: "" };

test.each<[string, boolean]>([
  ["", true],
  ["shot=12a", true],
  ["shot=12a,team=blue", true],
  ["draft", true],
  ["draft=", true],
  ["shot=12", false],
  ["shot=12a,team=red", false],
  ["owner", false],
  ["toString", false],
])("'%s' finds it: %s", (selector, isFound) => {
  const violations: Violation[] = [];
  expect(hasLabels(LABELS, readSelector(selector, "f", violations))).toBe(isFound);
  expect(violations).toEqual([]);
});

test.each(["=", ",", "shot=12a,", "shot=a=b", "a b", "shot!=12a"])("'%s' is none", (selector) => {
  const violations: Violation[] = [];
  readSelector(selector, "label_selector", violations);
  expect(violations.map(({ field }) => field)).toContain("label_selector");
});

test("are shown by name, with commas between", () => {
  expect(labelText(LABELS)).toBe("draft=,shot=12a,team=blue");
});
