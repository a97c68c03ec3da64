/**
 * @file A node's tasks as spans of their jobs' traces. The two halves of a pair link to each other:
 * each frame names the span of the task that sent it.
 */
import { randomBytes } from "node:crypto";
import type { JobTracer, SpanFacts } from "../../shared/adapters/tracing/job-tracer.js";
import {
  formatTraceparent,
  parseTraceparent,
  type TraceContext,
} from "../../shared/core/trace-context.js";
import type { TaskAssignment, TaskReport } from "../../shared/farm/work.js";
import { type NodeObserver, silentNodeObserver } from "./node-observer.js";

interface Begun {
  readonly jobId: string;
  readonly stage: string;
  readonly epoch: number;
  readonly context: TraceContext;
  readonly parentSpanId: string;
  readonly assignedMs: number;
  readonly facts: SpanFacts;
  /** Null while it waits for the task before it. */
  startMs: number | null;
  /** Spans of partners, by their ids. */
  readonly partners: Map<string, TraceContext>;
  steps: number;
  waitSeconds: number;
}

/** Tasks whose beginning is remembered; a node holds two, and some that have just ended. */
const TASKS_MAX = 64;
/** Partners that one task may meet: a grant has one, and few grants come on the same node. */
const LINKS_MAX = 16;

export class NodeTraces {
  readonly observer: NodeObserver;
  readonly #tracer: JobTracer;
  readonly #nodeId: string;
  readonly #wallMs: () => number;
  readonly #tasks = new Map<string, Begun>();
  /** The denoising in hand: one at a time. */
  #denoising: Begun | null = null;

  /** @param wallMs milliseconds since 1970 */
  constructor(tracer: JobTracer, nodeId: string, wallMs: () => number) {
    this.#tracer = tracer;
    this.#nodeId = nodeId;
    this.#wallMs = wallMs;
    this.observer = {
      ...silentNodeObserver,
      assigned: (assignment) => this.#begin(assignment),
      started: (taskId) => this.#start(taskId),
      reported: (taskId, report) => this.#report(taskId, report),
      cancelled: (taskId, epoch) => {
        if (this.#tasks.get(taskId)?.epoch === epoch) this.#end(taskId, "cancelled", null);
      },
      linked: (isUp) => {
        if (isUp) return;
        const reason = "cut off from the coordinator";
        for (const taskId of [...this.#tasks.keys()]) this.#end(taskId, "lost", reason);
      },
      stepMade: () => {
        if (this.#denoising) this.#denoising.steps += 1;
      },
      waited: (seconds) => {
        if (this.#denoising) this.#denoising.waitSeconds += seconds;
      },
      halfCame: (traceparent) => this.#meet(traceparent),
    };
  }

  /** W3C Trace Context of a task's span, for its partner; null for a task that is not traced. */
  traceparentOf(taskId: string): string | null {
    const context = this.#tasks.get(taskId)?.context;
    return context?.isSampled ? formatTraceparent(context) : null;
  }

  #begin({ taskId, jobId, clipId, epoch, attempt, work, traceparent }: TaskAssignment): void {
    const job = parseTraceparent(traceparent);
    if (!job) return;
    this.#tasks.set(taskId, {
      ...{ jobId, stage: work.stage, epoch, parentSpanId: job.spanId },
      context: { ...job, spanId: randomBytes(8).toString("hex") },
      ...{ assignedMs: this.#wallMs(), startMs: null },
      ...{ partners: new Map(), steps: 0, waitSeconds: 0 },
      facts: {
        "renderfarm.clip_id": clipId,
        "renderfarm.task_id": taskId,
        "renderfarm.node_id": this.#nodeId,
        "renderfarm.stage": work.stage,
        "renderfarm.epoch": epoch,
        "renderfarm.attempt": attempt,
        ...(work.stage === "denoise" ? { "renderfarm.half": work.pair?.half ?? "both" } : {}),
      },
    });
    for (const oldest of this.#tasks.keys()) {
      if (this.#tasks.size <= TASKS_MAX) break;
      this.#tasks.delete(oldest);
    }
  }

  #start(taskId: string): void {
    const task = this.#tasks.get(taskId);
    if (!task) return;
    task.startMs = this.#wallMs();
    if (task.stage === "denoise") this.#denoising = task;
  }

  #meet(traceparent: string | null): void {
    const partner = traceparent === null ? null : parseTraceparent(traceparent);
    const met = this.#denoising?.partners;
    if (partner && met && met.size < LINKS_MAX) met.set(partner.spanId, partner);
  }

  #report(taskId: string, report: TaskReport): void {
    if (!["finished", "failed", "yielded"].includes(report.kind)) return;
    this.#end(taskId, report.kind, report.kind === "failed" ? report.detail : null);
  }

  #end(taskId: string, outcome: string, failure: string | null): void {
    const task = this.#tasks.get(taskId);
    if (!task) return;
    this.#tasks.delete(taskId);
    const { jobId, stage, context, parentSpanId, assignedMs, startMs, facts } = task;
    const endMs = this.#wallMs();
    const steps = {
      "renderfarm.steps": task.steps,
      "renderfarm.exchange_wait_seconds": task.waitSeconds,
    };
    this.#tracer.record({
      ...{ jobId, name: stage, context, parentSpanId, links: [...task.partners.values()] },
      ...{ startMs: startMs ?? assignedMs, endMs },
      facts: {
        ...facts,
        ...(stage === "denoise" ? steps : {}),
        "renderfarm.waited_seconds": ((startMs ?? endMs) - assignedMs) / 1_000,
        "renderfarm.outcome": outcome,
      },
      failure,
    });
  }
}
