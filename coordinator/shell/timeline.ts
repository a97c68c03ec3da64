/**
 * @file Who worked on what and when, lately: a bounded memory for people to look at. It is not
 * journalled; a coordinator that starts anew begins with an empty one.
 */
import type { DenoiseTime, GuidanceHalf, Stage } from "../../shared/farm/work.js";
import { type Node, tasksHeld } from "../plan/node.js";
import { membersOf, type Task } from "../plan/task.js";
import type { FarmLoop, TimeTold } from "./farm-loop.js";

/** Finished intervals that are remembered. */
const INTERVALS_MAX = 2_000;

/** How a node's part in a task ended; "handed on": another grant of the task followed. */
export type IntervalEnd = "done" | "failed" | "cancelled" | "handed on" | "node lost";

/** A node's part in one grant of a task. */
export interface TaskInterval {
  readonly nodeId: string;
  readonly taskId: string;
  readonly jobId: string;
  readonly clipIndex: number;
  readonly stage: Stage;
  /** decode: index of the chunk; else 0. */
  readonly chunkIndex: number;
  /** The guidance half that it computed in a pair, exchanging it at each step; null: both. */
  readonly half: GuidanceHalf | null;
  /** Milliseconds since 1970. */
  readonly startMs: number;
  /** Null while it goes on. */
  readonly endMs: number | null;
  readonly end: IntervalEnd | null;
  /** denoise: median seconds of a step; 0 where it is not known. */
  readonly secondsPerStep: number;
  /** denoise: what its time went into up to its last step, as the node says; null before the first. */
  readonly spent: DenoiseTime | null;
}

/** Of one grant. */
interface Entry {
  readonly epoch: number;
  readonly interval: TaskInterval;
}

export class Timeline {
  readonly #loop: FarmLoop;
  /** By node and task. */
  readonly #open = new Map<string, Entry>();
  readonly #closed: Entry[] = [];
  readonly #unfollow: () => void;

  constructor(loop: FarmLoop) {
    this.#loop = loop;
    this.#unfollow = loop.follow({
      stepped: () => this.#look(),
      progressed: () => {},
      timed: (told) => this.#timed(told),
    });
    this.#look();
  }

  /** The newest finished intervals and all that go on, in the order of their start. */
  intervals(): TaskInterval[] {
    const entries = [...this.#closed, ...this.#open.values()];
    return entries.map(({ interval }) => interval).sort((a, b) => a.startMs - b.startMs);
  }

  stop(): void {
    this.#unfollow();
  }

  /** Compares what each node works on with what it worked on at the last look. */
  #look(): void {
    const now = new Set<string>();
    for (const node of this.#loop.farm.nodes.values()) {
      for (const taskId of tasksHeld(node)) {
        const task = this.#loop.farm.tasks.get(taskId);
        if (!task) continue;
        const key = keyOf(node.info.nodeId, task.taskId);
        now.add(key);
        this.#follow(key, node, task);
      }
    }
    for (const [key, open] of [...this.#open]) if (!now.has(key)) this.#close(key, open);
  }

  /** The node whose partner was done first may tell its last after the task has ended. */
  #timed({ nodeId, taskId, epoch, spent }: TimeTold): void {
    const key = keyOf(nodeId, taskId);
    const open = this.#open.get(key);
    if (open?.epoch === epoch) {
      this.#open.set(key, { epoch, interval: { ...open.interval, spent } });
      return;
    }
    const isMeant = (entry: Entry) =>
      entry.epoch === epoch && keyOf(entry.interval.nodeId, entry.interval.taskId) === key;
    const index = this.#closed.findLastIndex(isMeant);
    const closed = this.#closed[index];
    if (closed) this.#closed[index] = { epoch, interval: { ...closed.interval, spent } };
  }

  #follow(key: string, node: Node, task: Task): void {
    const { nodeId } = node.info;
    const before = this.#open.get(key);
    if (before?.epoch === task.epoch) return;
    if (before) this.#close(key, before);
    const half = membersOf(task).find((member) => member.nodeId === nodeId)?.half ?? null;
    const { taskId, jobId, clipIndex, stage, chunkIndex, epoch } = task;
    const what = { nodeId, taskId, jobId, clipIndex, stage, chunkIndex, half };
    const startMs = this.#loop.nowMs();
    const interval = { ...what, startMs, endMs: null, end: null, secondsPerStep: 0, spent: null };
    this.#open.set(key, { epoch, interval });
  }

  #close(key: string, { interval, epoch }: Entry): void {
    this.#open.delete(key);
    const task = this.#loop.farm.tasks.get(interval.taskId);
    const secondsPerStep = task?.state.kind === "done" ? task.state.result.secondsPerStep : 0;
    const end = this.#howItEnded(interval.nodeId, task, epoch);
    const endMs = this.#loop.nowMs();
    this.#closed.push({ epoch, interval: { ...interval, endMs, end, secondsPerStep } });
    if (this.#closed.length > INTERVALS_MAX) this.#closed.shift();
  }

  #howItEnded(nodeId: string, task: Task | undefined, epoch: number): IntervalEnd {
    if (!this.#loop.farm.nodes.has(nodeId)) return "node lost";
    if (!task || task.state.kind === "cancelled") return "cancelled";
    if (task.epoch !== epoch) return "handed on";
    if (task.state.kind === "done" || task.state.kind === "failed") return task.state.kind;
    return "handed on";
  }
}

function keyOf(nodeId: string, taskId: string): string {
  return `${nodeId}/${taskId}`;
}
