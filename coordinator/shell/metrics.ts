/**
 * @file The farm as Prometheus metrics.
 *
 * What happens is counted when it happens, at a few map operations an event; what there is, is read
 * at the scrape from counts, so that a scrape costs the same with ten jobs and with ten thousand.
 * Labels are bounded: no job, task, owner or node is one.
 */
import { Counter, exponentialBuckets, Gauge, Histogram, type Registry } from "prom-client";
import { isTerminal, JOB_STATES, type JobState } from "../../shared/farm/job.js";
import type { FarmEffect, FarmEvent } from "../plan/events.js";
import type { Farm } from "../plan/farm-state.js";
import { recordOf } from "../plan/farm-state.js";
import type { Job } from "../plan/job.js";
import { type Node, tasksHeld } from "../plan/node.js";
import { refusalOf } from "../plan/node-machine.js";
import type { TaskMetric } from "../plan/task.js";
import type { FarmObserver } from "./farm-observer.js";
import { STAGES, WaitingTasks } from "./metrics-waiting.js";

/** A second to an hour. */
const JOB_SECONDS = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600];
/** Append and fsync: a tenth of a millisecond to a slow disk's three seconds. */
const APPEND_SECONDS = exponentialBuckets(0.0001, 2, 16);
const NODE_STATES = ["idle", "working", "stopping", "draining", "quarantined", "held"] as const;
type NodeState = (typeof NODE_STATES)[number];

export class FarmMetrics implements FarmObserver {
  readonly #registry: Registry;
  readonly #wallMs: () => number;
  readonly #waiting = new WaitingTasks();
  /** As last seen, by job. */
  readonly #stateOf = new Map<string, JobState>();
  readonly #jobsBy = new Map<JobState, number>(JOB_STATES.map((state) => [state, 0]));
  readonly #submitted: Counter<"model">;
  readonly #finished: Counter<"outcome">;
  readonly #duration: Histogram<"outcome">;
  readonly #queued: Histogram;
  readonly #retries: Counter<"stage" | "reason">;
  readonly #counts: ReadonlyMap<TaskMetric, Counter>;
  readonly #joined: Counter;
  readonly #lost: Counter;
  readonly #events: Counter;
  readonly #appends: Histogram;
  /** Null while another coordinator leads. */
  #farm: Farm | null = null;
  #silenceMs: () => number = () => 0;

  /** @param wallMs milliseconds since 1970 */
  constructor(registry: Registry, wallMs: () => number) {
    this.#registry = registry;
    this.#wallMs = wallMs;
    const registers = [registry];
    const counter = <L extends string = never>(name: string, help: string, labels: L[] = []) =>
      new Counter({ name: `renderfarm_${name}`, help, labelNames: labels, registers });
    this.#submitted = counter("jobs_submitted_total", "Jobs that were accepted.", ["model"]);
    this.#finished = counter("jobs_finished_total", "Jobs that ended, by outcome.", ["outcome"]);
    this.#retries = counter(
      "task_retries_total",
      "Tasks that were put back into the queue by a failure, by its class.",
      ["stage", "reason"],
    );
    this.#counts = new Map([
      [
        "task_reports_stale_total",
        counter("task_reports_stale_total", "Reports of a grant that no longer holds."),
      ],
      ["task_yields_total", counter("task_yields_total", "Tasks given back at a step boundary.")],
      ["pairs_broken_total", counter("pairs_broken_total", "Pairs of which one node went on.")],
    ]);
    this.#joined = counter("nodes_joined_total", "Streams of nodes that were welcomed.");
    this.#lost = counter("nodes_lost_total", "Nodes that went away without saying so.");
    this.#events = counter("journal_events_total", "Events that were written to the journal.");
    this.#duration = new Histogram({
      name: "renderfarm_job_duration_seconds",
      help: "Seconds from a job's creation to its end.",
      labelNames: ["outcome"],
      buckets: JOB_SECONDS,
      registers,
    });
    this.#queued = new Histogram({
      name: "renderfarm_job_queued_seconds",
      help: "Seconds from a job's creation to the start of its first task.",
      buckets: JOB_SECONDS,
      registers,
    });
    this.#appends = new Histogram({
      name: "renderfarm_journal_append_duration_seconds",
      help: "Seconds from an event to its durability.",
      buckets: APPEND_SECONDS,
      registers,
    });
    // What was never there has no rate when it comes: everything known begins at 0.
    for (const outcome of JOB_STATES.filter(isTerminal)) {
      this.#finished.inc({ outcome }, 0);
      this.#duration.zero({ outcome });
    }
    this.#gauges();
  }

  /** @param silenceMs milliseconds since the longest silent node was heard; 0 without nodes */
  listen(silenceMs: () => number): void {
    this.#silenceMs = silenceMs;
  }

  /** This process leads no longer. */
  ended(): void {
    this.#farm = null;
    this.#silenceMs = () => 0;
    this.#stateOf.clear();
    for (const state of JOB_STATES) this.#jobsBy.set(state, 0);
    this.#waiting.clear();
  }

  started(farm: Farm): void {
    const silenceMs = this.#silenceMs;
    this.ended();
    this.#silenceMs = silenceMs;
    this.#farm = farm;
    for (const job of farm.jobs.values()) this.#moveJob(job.jobId, job.state);
    this.#waiting.recover(farm);
  }

  applied(farm: Farm, event: FarmEvent, effects: readonly FarmEffect[]): void {
    this.#events.inc();
    this.#noteEvent(event);
    const begun = this.#waiting.applied(farm, event, effects);
    let retried = 0;
    for (const effect of effects) {
      if (effect.kind === "job-changed") this.#noteJob(farm.jobs.get(effect.jobId), event);
      else if (effect.kind === "count" && effect.metric === "task_retries_total") {
        this.#retries.inc({ stage: begun[retried++]?.stage ?? "held", reason: reasonOf(event) });
      } else if (effect.kind === "count") this.#counts.get(effect.metric)?.inc();
    }
    if (event.kind === "job-deleted") this.#moveJob(event.jobId, null);
  }

  /** A batch of events became durable. */
  appended(seconds: number): void {
    this.#appends.observe(seconds);
  }

  #noteEvent(event: FarmEvent): void {
    if (event.kind === "node-joined") this.#joined.inc();
    else if (event.kind === "node-left" && !event.stopped) this.#lost.inc();
    else if (event.kind === "job-created") {
      this.#submitted.inc({ model: event.job.modelName });
    }
  }

  #noteJob(job: Job | undefined, event: FarmEvent): void {
    if (!job) return;
    const before = this.#stateOf.get(job.jobId);
    if (before === job.state) return;
    this.#moveJob(job.jobId, job.state);
    // Nothing where the clock was set back meanwhile.
    const seconds = Math.max(0, event.atMs - job.createdAtMs) / 1_000;
    if (before === "queued" && job.state === "running") this.#queued.observe(seconds);
    if (!isTerminal(job.state)) return;
    this.#finished.inc({ outcome: job.state });
    this.#duration.observe({ outcome: job.state }, seconds);
  }

  #moveJob(jobId: string, state: JobState | null): void {
    const before = this.#stateOf.get(jobId);
    if (before !== undefined) this.#jobsBy.set(before, this.#jobsBy.get(before)! - 1);
    if (state === null) this.#stateOf.delete(jobId);
    else {
      this.#stateOf.set(jobId, state);
      this.#jobsBy.set(state, this.#jobsBy.get(state)! + 1);
    }
  }

  #gauges(): void {
    this.#gauge("jobs", "Jobs that are kept, by state.", "state", (set) => {
      for (const [state, jobs] of this.#jobsBy) if (state !== "paused") set(state, jobs);
    });
    this.#gauge("queue_depth_tasks", "Tasks that could start now.", "stage", (set) => {
      for (const stage of STAGES) set(stage, this.#waiting.count(stage));
    });
    const ageHelp = "How long the oldest task that could start has waited; 0 when none waits.";
    this.#gauge("queue_oldest_task_age_seconds", ageHelp, "stage", (set) => {
      for (const stage of STAGES) {
        const sinceMs = this.#waiting.oldestSinceMs(stage);
        set(stage, sinceMs === null ? 0 : Math.max(0, this.#wallMs() - sinceMs) / 1_000);
      }
    });
    this.#gauge("leases", "Tasks that nodes hold now.", "stage", (set) => {
      const heldBy = new Map(STAGES.map((stage) => [stage, new Set<string>()]));
      for (const node of this.#nodes()) {
        for (const taskId of tasksHeld(node)) {
          const stage = this.#farm?.tasks.get(taskId)?.stage;
          if (stage) heldBy.get(stage)!.add(taskId);
        }
      }
      for (const [stage, taskIds] of heldBy) set(stage, taskIds.size);
    });
    this.#gauge("nodes", "Connected nodes, by what they do.", "state", (set) => {
      const counts = new Map<NodeState, number>(NODE_STATES.map((state) => [state, 0]));
      for (const node of this.#nodes()) {
        const state = this.#stateOfNode(node);
        counts.set(state, counts.get(state)! + 1);
      }
      for (const [state, nodes] of counts) set(state, nodes);
    });
    this.#usage("used", "Seconds that tasks held accelerators.");
    this.#usage("wasted", "Part of the used seconds whose work came to nothing.");
    const one = (name: string, help: string, value: () => number) =>
      new Gauge({
        name: `renderfarm_${name}`,
        help,
        registers: [this.#registry],
        collect() {
          this.set(value());
        },
      });
    const silence = "Seconds since the longest silent of the connected nodes was heard.";
    one("node_heartbeat_age_seconds", silence, () => this.#silenceMs() / 1_000);
    one("coordinator_leader", "1 while this coordinator leads, 0 while it stands by.", () =>
      this.#farm === null ? 0 : 1,
    );
  }

  #gauge(
    name: string,
    help: string,
    label: string,
    read: (set: (value: string, number: number) => void) => void,
  ): void {
    new Gauge({
      name: `renderfarm_${name}`,
      help,
      labelNames: [label],
      registers: [this.#registry],
      collect() {
        read((value, number) => this.set({ [label]: value }, number));
      },
    });
  }

  /** The accounts are the farm's own, and survive a restart with it. */
  #usage(which: "used" | "wasted", help: string): void {
    const usageOf = (stage: (typeof STAGES)[number]) =>
      this.#farm?.usage.ofStage(stage)[which] ?? 0;
    new Counter({
      name: `renderfarm_gpu_seconds_${which}_total`,
      help,
      labelNames: ["stage"],
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const stage of STAGES) this.inc({ stage }, usageOf(stage));
      },
    });
  }

  #nodes(): Iterable<Node> {
    return this.#farm?.nodes.values() ?? [];
  }

  #stateOfNode(node: Node): NodeState {
    if (node.stopping) return "stopping";
    const record = recordOf(this.#farm!, node.info.nodeId);
    const refusal = refusalOf(record, this.#wallMs());
    if (refusal === "draining" || refusal === "quarantined") return refusal;
    if (refusal !== null) return "held";
    return tasksHeld(node).length === 0 ? "idle" : "working";
  }
}

function reasonOf(event: FarmEvent): string {
  return event.kind === "task-failed" ? event.failure.code : "node-lost";
}
