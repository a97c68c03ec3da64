/** @file A job's life as spans: the whole of it, and its time in the queue. */
import { randomBytes } from "node:crypto";
import type { JobTracer } from "../../shared/adapters/tracing/job-tracer.js";
import { parseTraceparent, traceOfJob } from "../../shared/core/trace-context.js";
import { isTerminal } from "../../shared/farm/job.js";
import type { FarmEffect, FarmEvent } from "../plan/events.js";
import type { Farm } from "../plan/farm-state.js";
import type { FarmObserver } from "./farm-observer.js";

export class JobTraces implements FarmObserver {
  readonly #tracer: JobTracer;
  /** Jobs whose end was recorded, until they are deleted or retried. */
  readonly #ended = new Set<string>();

  constructor(tracer: JobTracer) {
    this.#tracer = tracer;
  }

  started(farm: Farm): void {
    this.#ended.clear();
    for (const job of farm.jobs.values()) if (isTerminal(job.state)) this.#ended.add(job.jobId);
  }

  applied(farm: Farm, event: FarmEvent, effects: readonly FarmEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === "job-changed") this.#look(farm, effect.jobId, event.atMs);
    }
    if (event.kind === "job-deleted") this.#ended.delete(event.jobId);
  }

  #look(farm: Farm, jobId: string, atMs: number): void {
    const job = farm.jobs.get(jobId);
    if (!job) return;
    if (!isTerminal(job.state)) {
      this.#ended.delete(jobId);
      return;
    }
    if (this.#ended.has(jobId)) return;
    this.#ended.add(jobId);
    const { createdAtMs, startedAtMs, state, clips, modelName, traceparent } = job;
    const context = traceOfJob(jobId, traceparent);
    const client = traceparent === null ? null : parseTraceparent(traceparent);
    const begun = { jobId, links: [], startMs: createdAtMs };
    this.#tracer.record({
      ...{ ...begun, name: "job", context, parentSpanId: client?.spanId ?? null, endMs: atMs },
      facts: {
        "renderfarm.outcome": state,
        "renderfarm.clips": clips.length,
        "renderfarm.model": modelName,
      },
      failure: clips.find((clip) => clip.failure)?.failure?.detail ?? null,
    });
    const ownId = randomBytes(8).toString("hex");
    this.#tracer.record({
      ...{ ...begun, name: "queued", context: { ...context, spanId: ownId } },
      ...{ parentSpanId: context.spanId, endMs: startedAtMs ?? atMs, facts: {}, failure: null },
    });
  }
}
