/** @file What a node does with its orders. Mirrors `agent/task-runner.ts` and `agent/lane.ts` without promises. */
import type { DenoiseWork, TaskAssignment, TaskReport } from "../../shared/farm/work.js";
import type { Frame } from "./bus.js";
import { SimDenoise } from "./denoise-task.js";
import { SimStage } from "./stage-task.js";
import type { RunningTask, TaskEnds, TaskParts } from "./task-parts.js";
import { hold } from "./violation.js";

const WAITING_MAX = 4;
const ENDED_MAX = 8;

interface Lane {
  readonly waiting: TaskAssignment[];
  /** Not idle yet; the last of them may not be free. */
  readonly started: Set<TaskAssignment>;
  isTaken: boolean;
}

const NOBODY: TaskEnds = { free: () => {}, idle: () => {} };

export interface RunnerParts {
  readonly partsOf: (assignment: TaskAssignment) => TaskParts;
  readonly report: (taskId: string, epoch: number, report: TaskReport) => void;
  /** Nothing is done for any task any more. */
  readonly onIdle: () => void;
}

export class SimRunner {
  readonly #parts: RunnerParts;
  readonly #gpu: Lane = { waiting: [], started: new Set(), isTaken: false };
  readonly #mux: Lane = { waiting: [], started: new Set(), isTaken: false };
  readonly #started = new Map<string, RunningTask>();
  readonly #denoise = new Map<string, SimDenoise>();
  #stopping = false;

  constructor(parts: RunnerParts) {
    this.#parts = parts;
  }

  /** Ids of tasks that something is done for. */
  get busyWith(): readonly string[] {
    return [this.#gpu, this.#mux].flatMap(({ waiting, started }) =>
      [...waiting, ...started].map(({ taskId }) => taskId),
    );
  }

  assign(assignment: TaskAssignment): void {
    const { taskId, epoch } = assignment;
    const lane = assignment.work.stage === "mux" ? this.#mux : this.#gpu;
    const waiting = lane.waiting.find((other) => other.taskId === taskId);
    if (epoch <= (waiting ?? this.#started.get(taskId) ?? { epoch: 0 }).epoch) return;
    removeWhere(lane.waiting, (other) => other.taskId === taskId);
    this.#started.get(taskId)?.cancel();
    if (this.#stopping) {
      this.#giveBackUnstarted(assignment);
      return;
    }
    hold(lane.waiting.length < WAITING_MAX, "I5", () => `${taskId} finds ${WAITING_MAX} waiting`);
    lane.waiting.push(assignment);
    this.#next(lane);
  }

  cancel(taskId: string, epoch: number): void {
    const isMeant = (task: TaskAssignment) => task.taskId === taskId && task.epoch <= epoch;
    for (const lane of [this.#gpu, this.#mux]) removeWhere(lane.waiting, isMeant);
    const task = this.#started.get(taskId);
    if (task && task.epoch <= epoch) task.cancel();
  }

  yield(taskId: string, epoch: number): void {
    const waiting = this.#gpu.waiting.find(isGrant(taskId, epoch));
    if (waiting?.work.stage === "denoise") {
      removeWhere(this.#gpu.waiting, (other) => other === waiting);
      this.#giveBackUnstarted(waiting);
      return;
    }
    const task = this.#denoise.get(taskId);
    if (task?.epoch === epoch) task.yield();
  }

  continueAlone(taskId: string, epoch: number, newEpoch: number): void {
    const waiting = this.#gpu.waiting.find(isGrant(taskId, epoch));
    if (waiting?.work.stage === "denoise") {
      const work: DenoiseWork = { ...waiting.work, pair: null };
      const index = this.#gpu.waiting.indexOf(waiting);
      this.#gpu.waiting[index] = { ...waiting, epoch: newEpoch, work };
      return;
    }
    const task = this.#denoise.get(taskId);
    if (task?.epoch === epoch) task.continueAlone(newEpoch);
    else if ((task?.epoch ?? 0) < newEpoch) {
      const detail = "this node does not hold the task that it was to go on with";
      this.#parts.report(taskId, newEpoch, { kind: "failed", code: "unreachable", detail });
    }
  }

  stop(): void {
    this.#stopping = true;
    const waiting = [this.#gpu, this.#mux].flatMap((lane) => lane.waiting.splice(0));
    for (const assignment of waiting) this.#giveBackUnstarted(assignment);
  }

  giveBackAll(): void {
    for (const task of [...this.#started.values()]) task.giveBack();
  }

  cancelAll(): void {
    this.#gpu.waiting.length = 0;
    this.#mux.waiting.length = 0;
    for (const task of [...this.#started.values()]) task.cancel();
    this.#denoise.clear();
  }

  takeReplayed(frame: Frame): void {
    this.#denoise.get(frame.payload.taskId)?.takeReplayed(frame);
  }

  #next(lane: Lane): void {
    if (lane.isTaken) return;
    const assignment = lane.waiting.shift();
    if (!assignment) return;
    lane.isTaken = true;
    lane.started.add(assignment);
    let isFree = false;
    const free = () => {
      if (isFree) return;
      isFree = true;
      lane.isTaken = false;
      this.#next(lane);
    };
    const idle = () => {
      lane.started.delete(assignment);
      if (this.busyWith.length === 0) this.#parts.onIdle();
    };
    this.#start(assignment, { free, idle });
  }

  #start(assignment: TaskAssignment, ends: TaskEnds): void {
    const { taskId, work } = assignment;
    const parts = this.#parts.partsOf(assignment);
    // A task may be over before its constructor returns.
    let task: RunningTask | null = null;
    const idle = () => {
      if (task && this.#started.get(taskId) === task) this.#started.delete(taskId);
      ends.idle();
    };
    const { free } = ends;
    if (work.stage === "denoise") task = this.#startDenoise(assignment, work, { free, idle });
    else task = new SimStage(assignment, work, parts, { free, idle });
    if (!task.isIdle) this.#started.set(taskId, task);
  }

  #startDenoise(assignment: TaskAssignment, work: DenoiseWork, ends: TaskEnds): SimDenoise {
    const { taskId } = assignment;
    const task = new SimDenoise(assignment, work, this.#parts.partsOf(assignment), ends);
    this.#denoise.delete(taskId);
    this.#denoise.set(taskId, task);
    for (const oldest of this.#denoise.keys()) {
      if (this.#denoise.size <= ENDED_MAX) break;
      this.#denoise.delete(oldest);
    }
    return task;
  }

  #giveBackUnstarted(assignment: TaskAssignment): void {
    const { taskId, epoch, work } = assignment;
    if (work.stage === "denoise") this.#startDenoise(assignment, work, NOBODY).giveBack();
    else this.#parts.report(taskId, epoch, { kind: "yielded", checkpoint: null });
  }
}

function isGrant(taskId: string, epoch: number): (task: TaskAssignment) => boolean {
  return (task) => task.taskId === taskId && task.epoch === epoch;
}

function removeWhere<T>(items: T[], test: (item: T) => boolean): void {
  for (let i = items.length - 1; i >= 0; i--) if (test(items[i]!)) items.splice(i, 1);
}
