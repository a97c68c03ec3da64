import * as fc from "fast-check";
import { expect, test } from "vitest";
import { parseStrictJson, quoteName } from "./strict-json.js";

const limits = { depthMax: 8 };

const refused: [name: string, text: string, message: RegExp][] = [
  ["nesting one level too deep", `${"[".repeat(9)}${"]".repeat(9)}`, /deeper than 8/],
  ["a hundred thousand open arrays", "[".repeat(100_000), /deeper than 8/],
  ["a hundred thousand open objects", '{"a":'.repeat(100_000), /deeper than 8/],
  ["a key twice", '{"a":1,"a":2}', /"a" twice/],
  ["a key twice in two spellings", '{"a":1,"\\u0061":2}', /"a" twice/],
  ["a key twice in an inner object", '[{"x":{"a":1,"b":[1],"a":2}}]', /"a" twice/],
  ["a prototype key", '{"__proto__":{}}', /__proto__/],
  ["a prototype key in escapes", '{"\\u005f_proto__":{}}', /__proto__/],
  ["no end of a string", '{"a', /without an end/],
  ["a string that ends in an escape", '{"a\\"', /without an end/],
  ["an empty text", "", /./],
  ["two values", "{} {}", /./],
  ["brackets that do not match", '{"a":[}', /./],
  ["closing brackets only", "]]]", /./],
];

test.each(refused)("parseStrictJson refuses %s", (_name, text, message) => {
  expect(() => parseStrictJson(text, limits)).toThrow(SyntaxError);
  expect(() => parseStrictJson(text, limits)).toThrow(message);
});

const accepted: [name: string, text: string, value: unknown][] = [
  ["one key in two objects", '[{"a":1},{"a":2}]', [{ a: 1 }, { a: 2 }]],
  ["a key that equals a value", '{"a":"a","b":"a"}', { a: "a", b: "a" }],
  ["equal strings in an array", '{"a":["x","x"]}', { a: ["x", "x"] }],
  ["brackets and commas inside strings", '{"a":"[{,","b":"}]\\""}', { a: "[{,", b: '}]"' }],
  ["the deepest nesting allowed", `${"[".repeat(8)}${"]".repeat(8)}`, [[[[[[[[]]]]]]]]],
];

test.each(accepted)("parseStrictJson accepts %s", (_name, text, value) => {
  expect(parseStrictJson(text, limits)).toEqual(value);
});

test("parseStrictJson gives what JSON.parse gives for any value it accepts", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
      const text = JSON.stringify(value);
      expect(parseStrictJson(text, limits)).toEqual(JSON.parse(text));
    }),
    { seed: 1, numRuns: 300 },
  );
});

test("quoteName keeps messages short and printable", () => {
  expect(quoteName("a\n\u0000")).toBe('"a\\n\\u0000"');
  expect(quoteName("x".repeat(1000))).toHaveLength(122);
});
