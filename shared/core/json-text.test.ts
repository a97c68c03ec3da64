import { expect, test } from "vitest";
import { stringifyJson } from "./json-text.js";

test("a bigint is written as an integer, all its digits kept", () => {
  expect(stringifyJson({ seeds: [18446744073709551615n, 0n, -1n] })).toBe(
    '{\n  "seeds": [\n    18446744073709551615,\n    0,\n    -1\n  ]\n}',
  );
});

test("everything else is written as JSON.stringify writes it", () => {
  const value = { text: 'integer "7" \n', none: null, list: [1.5, true], inner: { a: "1n" } };
  expect(stringifyJson(value)).toBe(JSON.stringify(value, null, 2));
});
