/** @file How long a node is still held by a job that was cancelled. */
import { median } from "../statistics.js";
import { atMost, type Figure } from "./figures.js";
import { monotonicMs } from "./monotonic.js";
import { SleepingFarm } from "./sleeping-farm.js";

const ROUNDS = 5;
const TIMES = { halfMs: 500, chunkMs: 20, encoderMs: 10 };
const STEP_S = (2 * TIMES.halfMs) / 1000;

export async function measureCancel(): Promise<Figure[]> {
  const seconds = await SleepingFarm.with(1, TIMES, async (farm) => {
    const measured: number[] = [];
    for (let i = 0; i < ROUNDS; i++) measured.push(await cancelOnce(farm));
    return measured;
  });
  const limit = STEP_S + 1;
  return [
    atMost(
      `cancel: node works for another job, steps of ${STEP_S} s, worst of ${ROUNDS}`,
      Math.max(...seconds),
      limit,
      "s",
    ),
    atMost("cancel: the same, median", median(seconds), limit, "s"),
  ];
}

/** Seconds from the cancel of a running job to the first run of the one that waits behind it. */
async function cancelOnce(farm: SleepingFarm): Promise<number> {
  const before = farm.runs.length;
  const running = await farm.submit({});
  await farm.until("a half to begin", () =>
    farm.runs.slice(before).find((run) => run.module === "unet"),
  );
  const waiting = await farm.submit({});
  const cancelMs = monotonicMs();
  await farm.client.cancelJob(running);
  const next = await farm.until("the next job to begin", () =>
    farm.runs.slice(before).find((run) => run.module === "image_encoder" && run.beganMs > cancelMs),
  );
  await farm.client.cancelJob(waiting);
  await farm.until("the node to be free", () => farm.runs.at(-1)?.endedMs);
  return (next.beganMs - cancelMs) / 1000;
}
