import { describe, expect, test } from "vitest";
import { formatList, outputFormat, type Shown } from "./output.js";

const things = [
  { id: "a", seed: 2n ** 63n },
  { id: "bb", seed: 1n },
];
const shown: Shown<(typeof things)[number]> = {
  columns: [
    { heading: "ID", cell: ({ id }) => id },
    { heading: "SEED", cell: ({ seed }) => String(seed), isWide: true },
  ],
  name: ({ id }) => id,
};

test.each([
  ["table", "ID\na\nbb\n"],
  ["wide", "ID  SEED\na   9223372036854775808\nbb  1\n"],
  ["name", "a\nbb\n"],
  ["jsonl", '{"id":"a","seed":"9223372036854775808"}\n{"id":"bb","seed":"1"}\n'],
  ["yaml", '- id: a\n  seed: "9223372036854775808"\n- id: bb\n  seed: "1"\n'],
] as const)("as %s", (format, expected) => {
  expect(formatList(things, format, shown)).toBe(expected);
});

test("as json, which a program reads back", () => {
  const text = formatList(things, "json", shown);
  expect(JSON.parse(text)).toEqual([
    { id: "a", seed: "9223372036854775808" },
    { id: "bb", seed: "1" },
  ]);
});

describe("the format of a command", () => {
  test.each([
    [{}, "table"],
    [{ json: true }, "json"],
    [{ output: "yaml" }, "yaml"],
  ])("%j is %s", (flags, format) => {
    expect(outputFormat(flags)).toBe(format);
  });

  test("a mistyped one is asked about", () => {
    expect(() => outputFormat({ output: "jsno" })).toThrow(
      "'jsno' is none of table, wide, json, jsonl, yaml, name, did you mean 'json'?",
    );
  });
});
