/**
 * @file What a node does with its orders: starts tasks, stops them, and sends their reports.
 *
 * One task at a time on the accelerator and one mux beside it. A report carries the epoch of its
 * grant; a cancelled task reports nothing, since whoever cancelled it no longer asks. A task that is
 * given back reports "yielded", which costs it no attempt.
 */

import type { FarmError } from "../../shared/core/errors.js";
import type { DenoiseWork, TaskAssignment, TaskReport } from "../../shared/farm/work.js";
import type { TensorBus } from "../../shared/ports/tensor-bus.js";
import type { ComputeType } from "../../shared/tensor/tensor.js";
import { DenoiseShell } from "./denoise-shell.js";
import type { DropReason } from "./denoise-state.js";
import { DenoiseTally } from "./denoise-tally.js";
import { Lane, type Running } from "./lane.js";
import { bothNodeObservers, type NodeObserver, silentNodeObserver } from "./node-observer.js";
import { type RunStage, runStage, type StageParts, StageTask } from "./stage-task.js";

export interface TaskRunnerParts extends StageParts {
  /** What the UNet computes in. */
  readonly dtype: ComputeType;
  readonly bus: TensorBus;
  /** Equal in two nodes whose runs give equal bytes. */
  readonly planHash: string;
  /** Whether the coordinator counts on this node; when it no longer does, `cancelAll` was called. */
  readonly holdsLease: () => boolean;
  readonly report: (taskId: string, epoch: number, report: TaskReport) => void;
  readonly onFrameDropped: (taskId: string, reason: DropReason | "clip" | "shape") => void;
  /** Hears of latents on their way that the store did not take. */
  readonly onSaveFailed: (taskId: string, reason: FarmError) => void;
  /** Shows what a clip looks like on its way. */
  readonly onPreview: (taskId: string, epoch: number, step: number, image: Uint8Array) => void;
  /** Looks on; absent: nobody does. */
  readonly observer?: NodeObserver;
  /** W3C Trace Context of a task's own span, for its partner; null for one that is not traced. */
  readonly traceparentOf?: (taskId: string) => string | null;
  /** Default: the real stages. */
  readonly runStage?: RunStage;
}

interface Task extends Running {
  readonly epoch: number;
  cancel(): void;
  /** Ends it at once, without what is in hand; reports "yielded". */
  giveBack(): void;
}

/** Waiting tasks of one lane. More than one is a coordinator that counts wrongly. */
const WAITING_MAX = 4;
/** Ended denoise tasks that still answer "continue-alone": the order may cross their report. */
const ENDED_MAX = 8;

export class TaskRunner {
  readonly #parts: TaskRunnerParts;
  readonly #gpu: Lane<TaskAssignment>;
  readonly #mux: Lane<TaskAssignment>;
  /** Started tasks by id, until they are idle. */
  readonly #started = new Map<string, Task>();
  /** Denoise tasks by id, the latest last; also ended ones. */
  readonly #denoise = new Map<string, DenoiseShell>();
  #stopping = false;

  constructor(parts: TaskRunnerParts) {
    this.#parts = parts;
    this.#gpu = new Lane((assignment) => this.#start(assignment), WAITING_MAX);
    this.#mux = new Lane((assignment) => this.#start(assignment), WAITING_MAX);
  }

  /** A newer grant of a task replaces an older one; the same or an older one changes nothing. */
  assign(assignment: TaskAssignment): void {
    const { taskId, epoch } = assignment;
    const lane = this.#laneOf(assignment);
    const waiting = lane.findWaiting((other) => other.taskId === taskId);
    if (epoch <= (waiting ?? this.#started.get(taskId) ?? { epoch: 0 }).epoch) return;
    lane.removeWaiting((other) => other.taskId === taskId);
    this.#started.get(taskId)?.cancel();
    if (this.#stopping) {
      this.#giveBackUnstarted(assignment);
      return;
    }
    if (lane.add(assignment)) return;
    const detail = `this node has ${WAITING_MAX} tasks waiting and takes no more`;
    this.#parts.report(taskId, epoch, { kind: "failed", code: "exhausted", detail });
  }

  /**
   * Ends a task without a report. The grant that ends may be one that this node has not heard of: the
   * survivor of a pair whose job ends before it is told to go on. Older grants have ended before it.
   */
  cancel(taskId: string, epoch: number): void {
    const isMeant = (task: TaskAssignment) => task.taskId === taskId && task.epoch <= epoch;
    this.#gpu.removeWaiting(isMeant);
    this.#mux.removeWaiting(isMeant);
    const task = this.#started.get(taskId);
    if (task && task.epoch <= epoch) task.cancel();
  }

  /** Gives a denoise task back at the next step boundary; every other one is short and ends here. */
  yield(taskId: string, epoch: number): void {
    const isMeant = isGrant(taskId, epoch);
    const waiting = this.#gpu.findWaiting(isMeant);
    if (waiting?.work.stage === "denoise") {
      this.#gpu.removeWaiting(isMeant);
      this.#giveBackUnstarted(waiting);
      return;
    }
    const shell = this.#denoise.get(taskId);
    if (shell?.epoch === epoch) shell.yield();
  }

  /** From here on gives back what is assigned or waits; what runs goes on. */
  stop(): void {
    this.#stopping = true;
    const waiting = [this.#gpu, this.#mux].flatMap((lane) => lane.removeWaiting(() => true));
    for (const assignment of waiting) this.#giveBackUnstarted(assignment);
  }

  /** Gives back everything at once, with the latents of the last step made. */
  giveBackAll(): void {
    for (const task of this.#started.values()) task.giveBack();
  }

  /** Goes on with a pair's task without the partner, whether it waits, runs, or has just ended. */
  continueAlone(taskId: string, epoch: number, newEpoch: number): void {
    const isMeant = isGrant(taskId, epoch);
    const waiting = this.#gpu.findWaiting(isMeant);
    if (waiting?.work.stage === "denoise") {
      const work: DenoiseWork = { ...waiting.work, pair: null };
      this.#gpu.replaceWaiting(waiting, { ...waiting, epoch: newEpoch, work });
      return;
    }
    const shell = this.#denoise.get(taskId);
    if (shell?.epoch === epoch) {
      shell.continueAlone(newEpoch);
    } else if ((shell?.epoch ?? 0) < newEpoch) {
      const detail = "this node does not hold the task that it was to go on with";
      this.#parts.report(taskId, newEpoch, { kind: "failed", code: "unreachable", detail });
    }
  }

  /** Ends everything without a report: this node may no longer act. */
  cancelAll(): void {
    this.#gpu.removeWaiting(() => true);
    this.#mux.removeWaiting(() => true);
    for (const task of this.#started.values()) task.cancel();
    this.#denoise.clear();
  }

  /** Resolves when nothing is done for any task. */
  async idle(): Promise<void> {
    await Promise.all([this.#gpu.idle(), this.#mux.idle()]);
  }

  #laneOf(assignment: TaskAssignment): Lane<TaskAssignment> {
    return assignment.work.stage === "mux" ? this.#mux : this.#gpu;
  }

  #start(assignment: TaskAssignment): Running {
    const { taskId, work } = assignment;
    this.#parts.observer?.started(taskId);
    const task =
      work.stage === "denoise"
        ? this.#startDenoise(assignment, work)
        : this.#startStage(assignment);
    this.#started.set(taskId, task);
    void task.idle.then(() => {
      if (this.#started.get(taskId) === task) this.#started.delete(taskId);
    });
    return task;
  }

  #giveBackUnstarted(assignment: TaskAssignment): void {
    const { taskId, epoch, work } = assignment;
    // A shell answers an order to go on without the partner that crosses the report.
    if (work.stage === "denoise") this.#startDenoise(assignment, work).giveBack();
    else this.#parts.report(taskId, epoch, { kind: "yielded", checkpoint: null });
  }

  #startDenoise(assignment: TaskAssignment, work: DenoiseWork): DenoiseShell {
    const { taskId } = assignment;
    const tally = new DenoiseTally();
    const shell = new DenoiseShell(assignment, work, {
      ...this.#parts,
      observer: bothNodeObservers(this.#parts.observer ?? silentNodeObserver, tally.observer),
      report: (epoch, report) => this.#parts.report(taskId, epoch, tally.told(epoch, report)),
      onFrameDropped: (reason) => this.#parts.onFrameDropped(taskId, reason),
      onSaveFailed: (reason) => this.#parts.onSaveFailed(taskId, reason),
      onPreview: (epoch, step, image) => this.#parts.onPreview(taskId, epoch, step, image),
      traceparent: this.#parts.traceparentOf?.(taskId) ?? null,
    });
    this.#denoise.delete(taskId);
    this.#denoise.set(taskId, shell);
    for (const oldest of this.#denoise.keys()) {
      if (this.#denoise.size <= ENDED_MAX) break;
      this.#denoise.delete(oldest);
    }
    return shell;
  }

  #startStage(assignment: TaskAssignment): StageTask {
    const { taskId } = assignment;
    return new StageTask(
      assignment,
      this.#parts,
      this.#parts.runStage ?? runStage,
      (epoch, report) => this.#parts.report(taskId, epoch, report),
    );
  }
}

/** Whether a task is this very grant; an order for another one is void. */
function isGrant(taskId: string, epoch: number): (task: TaskAssignment) => boolean {
  return (task) => task.taskId === taskId && task.epoch === epoch;
}
