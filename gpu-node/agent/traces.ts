/** @file A node's tasks as spans of their jobs' traces. */
import type { JobTracer, SpanFacts } from "../../shared/adapters/tracing/job-tracer.js";
import type { TaskAssignment, TaskReport } from "../../shared/farm/work.js";
import { type DenoisePlanKind, type NodeObserver, silentNodeObserver } from "./node-observer.js";

interface Begun {
  readonly jobId: string;
  readonly stage: string;
  readonly startMs: number;
  readonly facts: SpanFacts;
}

/** Tasks whose beginning is remembered; a node holds two, and some that have just ended. */
const TASKS_MAX = 64;

export class NodeTraces {
  readonly observer: NodeObserver;
  readonly #tracer: JobTracer;
  readonly #nodeId: string;
  readonly #wallMs: () => number;
  readonly #tasks = new Map<string, Begun>();
  /** Of the denoising in hand: one at a time. */
  #steps = 0;
  #waitSeconds = 0;

  /** @param wallMs milliseconds since 1970 */
  constructor(tracer: JobTracer, nodeId: string, wallMs: () => number) {
    this.#tracer = tracer;
    this.#nodeId = nodeId;
    this.#wallMs = wallMs;
    this.observer = {
      ...silentNodeObserver,
      assigned: (assignment) => this.#begin(assignment),
      reported: (taskId, report) => this.#report(taskId, report),
      stepMade: (_plan: DenoisePlanKind) => {
        this.#steps += 1;
      },
      waited: (seconds) => {
        this.#waitSeconds += seconds;
      },
    };
  }

  #begin({ taskId, jobId, clipId, epoch, attempt, work }: TaskAssignment): void {
    const facts = {
      "renderfarm.clip_id": clipId,
      "renderfarm.task_id": taskId,
      "renderfarm.node_id": this.#nodeId,
      "renderfarm.stage": work.stage,
      "renderfarm.epoch": epoch,
      "renderfarm.attempt": attempt,
      ...(work.stage === "denoise" ? { "renderfarm.half": work.pair?.half ?? "both" } : {}),
    };
    this.#tasks.set(taskId, { jobId, stage: work.stage, startMs: this.#wallMs(), facts });
    if (work.stage === "denoise") {
      this.#steps = 0;
      this.#waitSeconds = 0;
    }
    for (const oldest of this.#tasks.keys()) {
      if (this.#tasks.size <= TASKS_MAX) break;
      this.#tasks.delete(oldest);
    }
  }

  #report(taskId: string, report: TaskReport): void {
    if (!["finished", "failed", "yielded"].includes(report.kind)) return;
    const task = this.#tasks.get(taskId);
    if (!task) return;
    this.#tasks.delete(taskId);
    const { jobId, stage, startMs, facts } = task;
    const steps = {
      "renderfarm.steps": this.#steps,
      "renderfarm.exchange_wait_seconds": this.#waitSeconds,
    };
    this.#tracer.record({
      ...{ jobId, name: stage, isRoot: false, startMs, endMs: this.#wallMs() },
      facts: { ...facts, ...(stage === "denoise" ? steps : {}), "renderfarm.outcome": report.kind },
      failure: report.kind === "failed" ? report.detail : null,
    });
  }
}
