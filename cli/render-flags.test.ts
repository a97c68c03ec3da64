import { expect, test } from "vitest";
import { rawParameters } from "./render-flags.js";

test.each([
  ["random", undefined],
  [undefined, undefined],
  ["7,8", "7,8"],
])("--seed %s: seeds are %s, and none named means drawn", (seed, seeds) => {
  const flags = seed === undefined ? {} : { seed };
  expect(rawParameters(flags, undefined).seeds).toBe(seeds);
});
