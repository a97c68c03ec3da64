import { expect, test } from "vitest";
import { ManualClock } from "../../shared/adapters/clock/manual-clock.js";
import { FarmError } from "../../shared/core/errors.js";
import { PATIENCE_MS_MAX, patiently } from "./patience.js";

const away = () => Promise.reject(new FarmError("unreachable", "the store is away"));
const parts = () => {
  const abort = new AbortController();
  const clock = new ManualClock();
  return { abort, clock, patience: { clock, signal: abort.signal, random: () => 1 } };
};
/** Lets everything happen that needs no time. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

test("work is done again while the store is away, ever less often", async () => {
  const { clock, patience } = parts();
  const triedMs: number[] = [];
  const said: string[] = [];
  const done = patiently(
    () => {
      triedMs.push(clock.nowMs());
      return triedMs.length < 8 ? away() : Promise.resolve("done");
    },
    { ...patience, onAway: ({ code }) => said.push(code) },
  );
  for (let s = 0; s < 60; s += 0.5) {
    await settle();
    clock.advance(500);
  }
  await expect(done).resolves.toBe("done");
  const pauses = triedMs.slice(1).map((at, i) => at - triedMs[i]!);
  expect(pauses).toEqual([500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
  expect(said, "said once").toEqual(["unreachable"]);
});

test("after ten minutes the work fails", async () => {
  const { clock, patience } = parts();
  let outcome: unknown = null;
  void patiently(away, patience).catch((error: unknown) => {
    outcome = error;
  });
  while (clock.nowMs() < PATIENCE_MS_MAX) {
    expect(outcome).toBeNull();
    clock.advance(5_000);
    await settle();
  }
  clock.advance(15_000);
  await settle();
  expect(outcome).toMatchObject({ code: "unreachable" });
});

test("another failure than a store that is away ends it at once", async () => {
  const { patience } = parts();
  const corrupt = () => Promise.reject(new FarmError("blob-corrupt", "x"));
  await expect(patiently(corrupt, patience)).rejects.toMatchObject({ code: "blob-corrupt" });
});

test("a task that is no longer wanted does not wait", async () => {
  const { abort, patience } = parts();
  const waiting = patiently(away, patience);
  await settle();
  abort.abort();
  await expect(waiting).rejects.toMatchObject({ code: "unreachable" });
});
