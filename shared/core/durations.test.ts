import { expect, test } from "vitest";
import { parseDuration } from "./durations.js";

test.each<[text: string, ms: number | null]>([
  ["90s", 90_000],
  ["10m", 600_000],
  ["2h", 7_200_000],
  ["30d", 2_592_000_000],
  ["0s", 0],
  ["", null],
  ["10", null],
  ["1.5h", null],
  ["-1h", null],
  ["100000d", null],
])("%j is %j ms", (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});
