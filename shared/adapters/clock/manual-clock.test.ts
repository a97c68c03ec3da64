import { expect, test } from "vitest";
import { ManualClock } from "./manual-clock.js";

test("timers fire in the order of their time, also those set by timers", () => {
  const clock = new ManualClock();
  const fired: string[] = [];
  clock.after(20, () => fired.push(`late at ${clock.nowMs()}`));
  clock.after(10, () => {
    fired.push(`early at ${clock.nowMs()}`);
    clock.after(5, () => fired.push(`nested at ${clock.nowMs()}`));
  });
  clock.advance(30);
  expect(fired).toEqual(["early at 10", "nested at 15", "late at 20"]);
  expect(clock.nowMs()).toBe(30);
});

test("a timer that was taken back does not fire", () => {
  const clock = new ManualClock();
  let fired = false;
  const cancel = clock.after(10, () => {
    fired = true;
  });
  cancel();
  cancel();
  clock.advance(100);
  expect([fired, clock.pendingCount]).toEqual([false, 0]);
});
