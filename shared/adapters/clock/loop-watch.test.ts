import { beforeEach, expect, test } from "vitest";
import { BEHIND_MS, IN_TIME_MS, LoopWatch } from "./loop-watch.js";
import { ManualClock } from "./manual-clock.js";

/** A clock whose timers come late by as long as the loop stood still. */
class StandingClock extends ManualClock {
  #stoodMs = 0;

  override nowMs(): number {
    return super.nowMs() + this.#stoodMs;
  }

  stand(ms: number): void {
    this.#stoodMs += ms;
  }
}

let clock: StandingClock;
let pace: LoopWatch;
let heard: (string | null)[];
beforeEach(() => {
  clock = new StandingClock();
  pace = new LoopWatch(clock);
  heard = [];
  pace.onChange((why) => heard.push(why));
  pace.start();
});

test("a loop that comes round in time is not behind", () => {
  clock.advance(60_000);
  expect(pace.whyBehind()).toBeNull();
  expect(heard).toEqual([]);
});

test("one that is a little late is not behind", () => {
  clock.stand(BEHIND_MS - 300);
  clock.advance(1_000);
  expect(pace.whyBehind()).toBeNull();
  expect(heard).toEqual([]);
});

test("one that stood still is behind, until it was in time for a while", () => {
  clock.advance(1_000);
  clock.stand(5_000);
  clock.advance(250);
  expect(pace.whyBehind()).toBe("the event loop stood still for 5.0 s");
  clock.advance(IN_TIME_MS - 250);
  expect(pace.whyBehind()).not.toBeNull();
  clock.advance(250);
  expect(pace.whyBehind()).toBeNull();
  expect(heard).toEqual(["the event loop stood still for 5.0 s", null]);
});

test("who asks before the late tick hears of it too, and so do the listeners", () => {
  clock.advance(1_000);
  clock.stand(5_250);
  expect(pace.whyBehind()).toBe("the event loop stood still for 5.0 s");
  expect(heard).toEqual([]);
  clock.advance(250);
  expect(heard).toHaveLength(1);
});

test("one that stands still again and again stays behind", () => {
  for (let i = 0; i < 5; i++) {
    clock.stand(3_000);
    clock.advance(500);
    expect(pace.whyBehind()).not.toBeNull();
  }
  expect(heard).toHaveLength(1);
});

test("it looks no more once it was stopped", () => {
  pace.stop();
  clock.stand(10_000);
  expect(pace.whyBehind()).toBeNull();
  expect(clock.pendingCount).toBe(0);
});
