/** @file One condition, decode or mux task from its start to its report. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { assertNever } from "../../shared/core/assert.js";
import { asFarmError, type FarmError } from "../../shared/core/errors.js";
import type { Output, TaskAssignment, TaskReport, TaskResult } from "../../shared/farm/work.js";
import type { Clock } from "../../shared/ports/clock.js";
import { runCondition } from "../stages/condition.js";
import { runDecode } from "../stages/decode.js";
import { clipPlace } from "../stages/keys.js";
import { type MuxContext, runMux } from "../stages/mux.js";
import type { Made, StageContext } from "../stages/stage-context.js";
import { Latch } from "./latch.js";
import { patiently } from "./patience.js";

/** What every stage of a node is given, besides the signal that each task has of its own. */
export type StageParts = Omit<StageContext & MuxContext, "signal" | "onComputed"> & {
  readonly clock: Clock;
  /** Hears that a task waits for the blob store; absent: nobody does. */
  readonly onStoreAway?: (reason: FarmError) => void;
};

/** Runs the work of an assignment that is not a denoise one; separate so that tests can stand in. */
export type RunStage = (
  assignment: TaskAssignment,
  parts: StageParts & Pick<StageContext, "onComputed">,
  signal: AbortSignal,
) => Promise<StageMade>;

/** A blob that is still to be stored, or the files that a mux has stored itself. */
export interface StageMade {
  readonly blob: Made | null;
  readonly outputs: readonly Output[];
}

export class StageTask {
  /** Resolves when nothing is done for the task any more. */
  readonly idle: Promise<void>;
  /** Resolves when nothing is computed for it any more; its result may still go to the store. */
  get free(): Promise<void> {
    return this.#free.opened;
  }

  readonly epoch: number;
  readonly #free = new Latch();
  readonly #abort = new AbortController();
  readonly #report: (epoch: number, report: TaskReport) => void;

  /** Starts at once; reports exactly once unless it is cancelled. */
  constructor(
    assignment: TaskAssignment,
    parts: StageParts,
    run: RunStage,
    report: (epoch: number, report: TaskReport) => void,
  ) {
    const { epoch } = assignment;
    const { signal } = this.#abort;
    const startMs = parts.clock.nowMs();
    this.epoch = epoch;
    this.#report = report;
    const { clock, onStoreAway: onAway } = parts;
    const patience = { clock, signal, random: Math.random, onAway };
    const onComputed = async () => {
      if (!signal.aborted) report(epoch, { kind: "ending" });
      this.#free.open();
      await nextTurn();
    };
    this.idle = patiently(() => run(assignment, { ...parts, onComputed }, signal), patience)
      .finally(() => this.#free.open())
      .then(async (made): Promise<Pick<TaskResult, "blob" | "outputs">> => {
        const { blob, outputs } = made;
        if (!blob || signal.aborted) return { blob: null, outputs };
        const put = () => parts.blobs.put(blob.key, blob.bytes);
        return { blob: await patiently(put, patience), outputs };
      })
      .then(
        (made) => {
          const seconds = (parts.clock.nowMs() - startMs) / 1_000;
          const result = { ...made, seconds, secondsPerStep: 0 };
          if (!signal.aborted) report(epoch, { kind: "finished", result });
        },
        (error: unknown) => {
          const { code, detail, blobKey } = asFarmError(error);
          const failed = { kind: "failed", code, detail, blobKey: blobKey ?? undefined } as const;
          if (!signal.aborted) report(epoch, failed);
        },
      );
  }

  /** Ends the task without a report, between two runs of the runtime. */
  cancel(): void {
    this.#abort.abort();
  }

  /** As `cancel`, and lets the coordinator have it back: there is no part of a result to keep. */
  giveBack(): void {
    if (!this.#abort.signal.aborted)
      this.#report(this.epoch, { kind: "yielded", checkpoint: null });
    this.cancel();
  }
}

/** The real stages. */
export const runStage: RunStage = async (assignment, parts, signal) => {
  const { work } = assignment;
  const place = clipPlace(assignment);
  const context = { ...parts, signal };
  switch (work.stage) {
    case "condition":
      return { blob: await runCondition(work, place, context), outputs: [] };
    case "decode":
      return { blob: await runDecode(work, place, context), outputs: [] };
    case "mux":
      return { blob: null, outputs: await runMux(work, place, context) };
    case "denoise":
      throw new Error("bug: a denoise task has its own machine");
    default:
      return assertNever(work);
  }
};
