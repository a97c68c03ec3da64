import { beforeEach, expect, test } from "vitest";
import { ManualClock } from "../../shared/adapters/clock/manual-clock.js";
import { drain, GIVE_BACK_MS_MAX, LEAVE_MS_MAX, WORK_MS_MAX } from "./drain.js";

let clock: ManualClock;
let log: string[];
let loseCoordinator: () => void;
let becomeIdle: () => void;
let ended: Promise<void>;

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Lets time pass; what follows from it is in the log. */
async function after(ms: number): Promise<void> {
  clock.advance(ms);
  await turn();
}

beforeEach(async () => {
  clock = new ManualClock();
  log = [];
  const alone = new Promise<void>((resolve) => {
    loseCoordinator = resolve;
  });
  const idle = new Promise<void>((resolve) => {
    becomeIdle = resolve;
  });
  const link = {
    stopping: () => {
      log.push("say stopping");
      return alone;
    },
    leave: () => void log.push("leave"),
  };
  const runner = {
    stop: () => void log.push("take no more"),
    giveBackAll: () => void log.push("give back"),
    idle: () => idle,
  };
  ended = drain(link, runner, clock).then(() => void log.push("over"));
  await turn();
});

const begun = ["say stopping", "take no more"];

test("the stream stays while there is work, and the last words are waited for", async () => {
  await after(WORK_MS_MAX - 1);
  expect(log).toEqual(begun);
  becomeIdle();
  await turn();
  expect(log).toEqual([...begun, "leave"]);
  loseCoordinator();
  await ended;
  expect([log.at(-1), clock.pendingCount]).toEqual(["over", 0]);
});

test("work that takes too long is given back as it is", async () => {
  await after(WORK_MS_MAX);
  expect(log).toEqual([...begun, "give back"]);
  becomeIdle();
  await turn();
  expect(log.at(-1)).toBe("leave");
});

test("a run that does not end and a coordinator that does not answer: over within thirty seconds", async () => {
  await after(WORK_MS_MAX);
  await after(GIVE_BACK_MS_MAX);
  expect(log.at(-1)).toBe("leave");
  await after(LEAVE_MS_MAX);
  await ended;
  expect(log).toEqual([...begun, "give back", "leave", "over"]);
  expect(clock.nowMs()).toBeLessThan(30_000);
});

test("without a coordinator all work is void: nothing is waited for", async () => {
  loseCoordinator();
  await ended;
  expect([log, clock.nowMs()]).toEqual([[...begun, "leave", "over"], 0]);
});
