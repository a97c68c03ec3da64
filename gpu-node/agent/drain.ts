/** @file How a node stops in good order: what it works on ends, or goes back to the coordinator. */
import type { Clock } from "../../shared/ports/clock.js";

/** How long work may take to end by itself: a step of a clip, a chunk, a file. */
export const WORK_MS_MAX = 23_000;
/** Then it is given back as it is: how long its latents may take to the store. */
export const GIVE_BACK_MS_MAX = 3_000;
/** How long the last words may take to the coordinator. */
export const LEAVE_MS_MAX = 1_000;

/** What of `NodeLink` is asked here. */
export interface StoppingLink {
  /** Resolves when no coordinator counts on this node. */
  stopping(): Promise<void>;
  /** Ends the stream behind the last words. */
  leave(): void;
}

/** What of `TaskRunner` is asked here. */
export interface StoppingRunner {
  stop(): void;
  giveBackAll(): void;
  idle(): Promise<void>;
}

/**
 * Says "stopping" and keeps the stream while there is work, for 27 s at most. The coordinator asks for denoise tasks
 * back at their next step; shorter work ends by itself. A run cannot be stopped, so what takes too
 * long is given back without it. Nobody is waited for once the coordinator is gone: all work is void
 * then.
 */
export async function drain(
  link: StoppingLink,
  runner: StoppingRunner,
  clock: Clock,
): Promise<void> {
  const alone = link.stopping();
  runner.stop();
  const over = Promise.race([alone, runner.idle()]).then(() => "over" as const);
  if ((await within(WORK_MS_MAX, over, clock)) === "late") {
    runner.giveBackAll();
    await within(GIVE_BACK_MS_MAX, over, clock);
  }
  link.leave();
  await within(LEAVE_MS_MAX, alone, clock);
}

async function within<T>(ms: number, awaited: Promise<T>, clock: Clock): Promise<T | "late"> {
  let cancelTimer = () => {};
  const late = new Promise<"late">((resolve) => {
    cancelTimer = clock.after(ms, () => resolve("late"));
  });
  try {
    return await Promise.race([awaited, late]);
  } finally {
    cancelTimer();
  }
}
