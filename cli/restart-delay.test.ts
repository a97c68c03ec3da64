import { expect, test } from "vitest";
import { RestartDelay } from "./restart-delay.js";

test("the wait doubles while a process ends soon after its start, up to half a minute", () => {
  const delay = new RestartDelay();
  const waits = Array.from({ length: 7 }, (_, i) => {
    delay.started(i * 1_000);
    return delay.ended(i * 1_000 + 500);
  });
  expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
});

test("a process that lived for a minute is started again at once", () => {
  const delay = new RestartDelay();
  delay.started(0);
  delay.ended(10);
  delay.started(1_000);
  expect(delay.ended(61_000)).toBe(1_000);
});
