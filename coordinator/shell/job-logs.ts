/**
 * @file The story of each job: a bounded memory of the events that concerned it, for people to read.
 * A coordinator that starts anew has what its journal still says: events since the newest snapshot.
 */

import { isTerminal } from "../../shared/farm/job.js";
import { JOB_LOG_ENTRIES_MAX, type JobLogEntry } from "../../shared/farm/job-log.js";
import type { FarmEffect, FarmEvent, TaskReported } from "../plan/events.js";
import type { Farm } from "../plan/farm-state.js";
import { isEnded, type Task } from "../plan/task.js";

/** Entries of all jobs together; the jobs that were first told of go first. */
const ENTRIES_MAX = 100_000;

/** A grant that is still held, as the log knows it. */
interface Held {
  readonly jobId: string;
  readonly epoch: number;
  readonly nodeIds: readonly string[];
}

export class JobLogs {
  readonly #entries = new Map<string, JobLogEntry[]>();
  /** By task. */
  readonly #held = new Map<string, Held>();
  /** The last state of each job that was told. */
  readonly #states = new Map<string, string>();
  #count = 0;

  /** The oldest first; none of a job that nothing is known of. */
  of(jobId: string): readonly JobLogEntry[] {
    return this.#entries.get(jobId) ?? [];
  }

  /** One event was applied to the farm, with these effects. */
  applied(farm: Farm, event: FarmEvent, effects: readonly FarmEffect[]): void {
    this.#tellEvent(farm, event);
    for (const effect of effects) {
      if (effect.kind === "job-changed") this.#tellState(farm, effect.jobId, event.atMs);
    }
  }

  #tellEvent(farm: Farm, event: FarmEvent): void {
    switch (event.kind) {
      case "job-created":
        this.#tell(event.job.jobId, event.atMs, "created");
        return;
      case "job-deleted":
        this.#forget(event.jobId);
        return;
      case "job-due":
      case "job-admitted":
      case "job-paused":
      case "job-resumed":
      case "job-retried":
      case "job-swept":
      case "job-cancelled":
      case "job-expired":
        this.#tell(event.jobId, event.atMs, event.kind.slice("job-".length));
        return;
      case "job-prioritized":
        this.#tell(event.jobId, event.atMs, "prioritized", `priority ${event.priority}`);
        return;
      case "clip-published":
        this.#tell(event.jobId, event.atMs, "published", `clip ${event.clipIndex + 1}`);
        return;
      case "node-left":
        this.#tellLoss(farm, event.nodeId, event.stopped, event.atMs);
        return;
      case "farm-started":
        this.#held.clear(); // every node has to come anew, and says what it still holds
        return;
      case "task-granted":
        this.#tellGrant(farm, event);
        return;
      case "task-asked-to-yield":
        this.#tellOfTask(farm.tasks.get(event.taskId), event.atMs, "wanted back");
        return;
      case "task-given-up":
        this.#tellOfTask(farm.tasks.get(event.taskId), event.atMs, "given up");
        return;
      case "task-finished":
      case "task-failed":
      case "task-checkpointed":
      case "task-yielded":
      case "pair-broken":
        this.#tellReport(farm, event);
        return;
      // People want to know when it has finished.
      case "task-ending":
      case "node-joined":
      case "node-stopping":
      case "node-drained":
      case "node-undrained":
        return;
    }
  }

  #tellGrant(farm: Farm, event: Extract<FarmEvent, { kind: "task-granted" }>): void {
    const task = farm.tasks.get(event.taskId);
    if (!task) return;
    const nodeIds = event.members.map(({ nodeId }) => nodeId);
    this.#held.set(task.taskId, { jobId: task.jobId, epoch: task.epoch, nodeIds });
    const from = task.checkpoint ? `from step ${task.checkpoint.step}` : "";
    this.#tellOfTask(task, event.atMs, "granted", { nodeIds, detail: from });
  }

  /** Only what the holder of the grant says, and of a pair the first word. */
  #tellReport(farm: Farm, event: TaskWord & { readonly atMs: number }): void {
    const task = farm.tasks.get(event.taskId);
    const held = this.#held.get(event.taskId);
    if (!task || held?.nodeIds.includes(event.nodeId) !== true || event.epoch < held.epoch) return;
    const [what, detail] = wordsOf(event);
    this.#tellOfTask(task, event.atMs, what, { nodeIds: [event.nodeId], detail });
    if (task.state.kind !== "granted") this.#held.delete(event.taskId);
  }

  #tellLoss(farm: Farm, nodeId: string, stopped: boolean, atMs: number): void {
    for (const [taskId, held] of [...this.#held]) {
      if (!held.nodeIds.includes(nodeId)) continue;
      const task = farm.tasks.get(taskId);
      // Ended with another task of its clip: nobody was lost to it.
      if (task && isEnded(task) && task.state.kind !== "failed") {
        this.#held.delete(taskId);
        continue;
      }
      const left = held.nodeIds.filter((id) => id !== nodeId);
      const detail = left.length > 0 ? `${left.join(", ")} goes on` : "";
      const what = stopped ? "node stopped" : "node lost";
      this.#tellOfTask(task, atMs, what, { nodeIds: [nodeId], detail });
      if (left.length === 0) this.#held.delete(taskId);
      else this.#held.set(taskId, { ...held, nodeIds: left });
    }
  }

  #tellOfTask(
    task: Task | undefined,
    atMs: number,
    what: string,
    { nodeIds = [], detail = "" }: Partial<Pick<JobLogEntry, "nodeIds" | "detail">> = {},
  ): void {
    if (!task) return;
    const { clipIndex, stage, chunkIndex, attempts: attempt } = task;
    const which = { clipIndex, stage, chunkIndex, attempt };
    this.#add(task.jobId, { atMs, what, task: which, nodeIds, detail });
  }

  #tell(jobId: string, atMs: number, what: string, detail = ""): void {
    this.#add(jobId, { atMs, what, task: null, nodeIds: [], detail });
  }

  /** A line of its own where the job as a whole became something else. */
  #tellState(farm: Farm, jobId: string, atMs: number): void {
    const job = farm.jobs.get(jobId);
    if (!job || this.#states.get(jobId) === job.state) return;
    this.#states.set(jobId, job.state);
    if (isTerminal(job.state)) this.#letGo(jobId);
    const isTold = this.of(jobId).at(-1)?.what === job.state;
    if (isTold || job.state === "queued") return;
    const failure = job.clips.find((clip) => clip.failure !== null)?.failure;
    const why = job.state === "failed" && failure ? `${failure.code}: ${failure.detail}` : "";
    this.#tell(jobId, atMs, job.state, why);
  }

  #add(jobId: string, entry: JobLogEntry): void {
    const entries = this.#entries.get(jobId) ?? [];
    this.#entries.set(jobId, entries);
    entries.push(entry);
    this.#count += 1;
    if (entries.length > JOB_LOG_ENTRIES_MAX) {
      entries.shift();
      this.#count -= 1;
    }
    for (const oldest of this.#entries.keys()) {
      if (this.#count <= ENTRIES_MAX || oldest === jobId) break;
      this.#forget(oldest);
    }
  }

  /** Nothing of the job is worked on any more. */
  #letGo(jobId: string): void {
    for (const [taskId, held] of this.#held) {
      if (held.jobId === jobId) this.#held.delete(taskId);
    }
  }

  #forget(jobId: string): void {
    this.#letGo(jobId);
    this.#count -= this.of(jobId).length;
    this.#entries.delete(jobId);
    this.#states.delete(jobId);
  }
}

type TaskWord = Exclude<TaskReported, { kind: "task-ending" }>;

function wordsOf(event: TaskWord): [what: string, detail: string] {
  switch (event.kind) {
    case "task-finished":
      return ["finished", `${event.result.seconds.toFixed(1)} s`];
    case "task-failed":
      return ["failed", `${event.failure.code}: ${event.failure.detail}`];
    case "task-checkpointed":
      return ["latents kept", `step ${event.checkpoint.step}`];
    case "task-yielded":
      return ["given back", event.checkpoint ? `after step ${event.checkpoint.step}` : ""];
    default:
      return ["pair broken", `at step ${event.step}: ${event.reason}`];
  }
}
