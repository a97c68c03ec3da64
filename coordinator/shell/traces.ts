/** @file A job's life as spans: the whole of it, and its time in the queue. */
import type { JobTracer } from "../../shared/adapters/tracing/job-tracer.js";
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
    const { createdAtMs, startedAtMs, state, clips, modelName } = job;
    const failure = clips.find((clip) => clip.failure)?.failure;
    const facts = { "renderfarm.outcome": state, "renderfarm.clips": clips.length };
    const ended = { jobId, endMs: atMs, failure: failure?.detail ?? null };
    const life = { ...facts, "renderfarm.model": modelName };
    this.#tracer.record({ ...ended, name: "job", isRoot: true, startMs: createdAtMs, facts: life });
    const waited = { jobId, startMs: createdAtMs, endMs: startedAtMs ?? atMs, failure: null };
    this.#tracer.record({ ...waited, name: "queued", isRoot: false, facts: {} });
  }
}
