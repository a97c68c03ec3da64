/**
 * @file Drives the pure core: event -> journal -> effects, then the scheduler's grants the same way.
 *
 * The farm in memory is a step ahead of the journal for as long as an append takes; nothing leaves
 * this process (no order, no answer, no publication) before the append has resolved.
 */
import { asFarmError } from "../../shared/core/errors.js";
import type { ClipPreview, JobView } from "../../shared/farm/job.js";
import { isTerminal } from "../../shared/farm/job.js";
import type { JobLogEntry } from "../../shared/farm/job-log.js";
import type { DenoiseTime } from "../../shared/farm/work.js";
import type { Journal } from "../../shared/ports/journal.js";
import { type Log, silentLog } from "../../shared/ports/log.js";
import { planAdmission } from "../plan/admission.js";
import type { FarmEffect, FarmEvent } from "../plan/events.js";
import { reduceFarm } from "../plan/farm.js";
import { emptyFarm, type Farm } from "../plan/farm-state.js";
import { planHousekeeping, type Retention } from "../plan/housekeeping.js";
import { SNAPSHOT_EVENTS } from "../plan/limits.js";
import { planFarm, type SchedulePolicy } from "../plan/schedule.js";
import type { TaskMetric } from "../plan/task.js";
import type { Progress } from "../plan/view.js";
import { viewJob } from "../plan/view.js";
import { encodeEvent } from "./event-codec.js";
import type { Failpoint } from "./failpoint.js";
import type { FarmObserver } from "./farm-observer.js";
import { JobLogs } from "./job-logs.js";
import { PreviewBoard } from "./preview-board.js";
import { type Recovered, recoverFarm, snapshotLines } from "./recover.js";

/** An event before the loop stamps it with the time. */
export type Occurrence = FarmEvent extends infer E
  ? E extends FarmEvent
    ? Omit<E, "atMs">
    : never
  : never;

/** What an operator may set. */
export type FarmPolicy = SchedulePolicy & Retention;

/** All accelerators for everyone; intermediates for an hour, finished files for 30 days. */
export const POLICY_DEFAULT: FarmPolicy = {
  ownerAcceleratorsMax: null,
  intermediatesKeptMs: 3_600_000,
  outputsKeptMs: 30 * 24 * 3_600_000,
};

export type JobWatcher = (job: JobView) => void;

/** Follows the whole farm; hears of nothing before it is durable. */
export interface FarmFollower {
  /** Events were taken in, the scheduler's grants with them, and the jobs changed by it. */
  stepped(occurrences: readonly Occurrence[], changedJobIds: ReadonlySet<string>): void;
  /** A running denoise task of the job reported a step, or what its clip looks like. */
  progressed(jobId: string): void;
  /** A node told what its time went into; maybe of a grant that has ended, as a pair's slower member does. */
  timed?(told: TimeTold): void;
}

/** What a node's time in a grant of a denoise task went into so far. */
export interface TimeTold {
  readonly nodeId: string;
  readonly taskId: string;
  readonly epoch: number;
  readonly spent: DenoiseTime;
}

/** Effects that concern nodes and the blob store; the loop itself does the others. */
export type OutsideEffect = Exclude<FarmEffect, { kind: "job-changed" } | { kind: "count" }>;

export interface FarmLoopOptions {
  readonly log?: Log;
  /**
   * Called once, when an event could not be journalled: what is in memory is not what a restart will
   * find, so nothing more is taken in and the process has to end.
   */
  readonly onBroken?: (error: unknown) => void;
  /** Events between two snapshots; 10,000 unless told. */
  readonly snapshotEvents?: number;
  /** Where a test lets this process die. */
  readonly failpoint?: Failpoint | null;
  /** Looks on. */
  readonly observer?: FarmObserver | null;
  /** The farm as a standby has it that followed the journal. */
  readonly followed?: Recovered | null;
}

export class FarmLoop {
  readonly counters = new Map<TaskMetric, number>();
  readonly #journal: Journal;
  readonly #nowMs: () => number;
  readonly #policy: FarmPolicy;
  readonly #failpoint: Failpoint | null;
  readonly #progress = new Map<string, Progress>();
  readonly #previews = new PreviewBoard();
  readonly #watchers = new Map<string, Set<JobWatcher>>();
  readonly #followers = new Set<FarmFollower>();
  /** The last append; those before it resolve before it. */
  #appended: Promise<void> = Promise.resolve();
  readonly #log: Log;
  readonly #onBroken: (error: unknown) => void;
  readonly #snapshotEvents: number;
  readonly #observer: FarmObserver | null;
  #followed: Recovered | null;
  #execute: (effect: OutsideEffect) => void = () => {};
  #farm: Farm = emptyFarm();
  #logs = new JobLogs();
  #broken: Error | null = null;
  /** Events that no snapshot covers. */
  #unkept = 0;
  #keeping = false;

  /** @param nowMs milliseconds since 1970 */
  constructor(
    journal: Journal,
    nowMs: () => number,
    policy: FarmPolicy,
    options: FarmLoopOptions = {},
  ) {
    this.#journal = journal;
    this.#nowMs = nowMs;
    this.#policy = policy;
    this.#log = options.log ?? silentLog;
    this.#onBroken = options.onBroken ?? (() => {});
    this.#snapshotEvents = options.snapshotEvents ?? SNAPSHOT_EVENTS;
    this.#failpoint = options.failpoint ?? null;
    this.#observer = options.observer ?? null;
    this.#followed = options.followed ?? null;
  }

  /** To be looked at only: events alone change it. */
  get farm(): Farm {
    return this.#farm;
  }

  /** What became of a job, the oldest first. */
  logOf(jobId: string): readonly JobLogEntry[] {
    return this.#logs.of(jobId);
  }

  /** Recovers the farm from the journal, then starts: only now are effects carried out. */
  async start(execute: (effect: OutsideEffect) => void): Promise<void> {
    const { farm, logs, replayed } = await recoverFarm(this.#journal, this.#log, this.#followed);
    this.#followed = null;
    this.#farm = farm;
    this.#logs = logs;
    this.#unkept = replayed;
    this.#execute = execute;
    this.#observer?.started(farm);
    await this.dispatch({ kind: "farm-started" });
  }

  /** Takes one event in; resolves once it is durable and its effects are under way. */
  dispatch(occurrence: Occurrence): Promise<void> {
    return this.#apply([occurrence]);
  }

  /** Lets time pass: jobs become due or are swept, nodes are held down no longer. */
  async tick(): Promise<void> {
    const nowMs = this.#nowMs();
    const due = planHousekeeping(this.farm, this.#policy, nowMs);
    const plan = planFarm(this.farm, this.#policy, nowMs);
    const { runningJobsMax } = this.#policy;
    const isFull = planAdmission(this.farm, runningJobsMax).length === 0;
    const isIdle =
      due.length === 0 && isFull && plan.grants.length === 0 && plan.yields.length === 0;
    if (!isIdle) await this.#apply(due);
  }

  async #apply(occurrences: readonly Occurrence[]): Promise<void> {
    if (this.#broken !== null) throw this.#broken;
    let effects: readonly FarmEffect[];
    try {
      effects = await this.#take(occurrences);
    } catch (error) {
      throw this.#break(error);
    }
    const changed = this.#carryOut(effects);
    for (const follower of this.#followers) follower.stepped(occurrences, changed);
    this.#keepIfDue();
  }

  /** Reduces and journals in one turn, so that between turns the farm is what was appended. */
  async #take(occurrences: readonly Occurrence[]): Promise<readonly FarmEffect[]> {
    const atMs = this.#nowMs();
    const events: FarmEvent[] = [];
    const effects: FarmEffect[] = [];
    const step = (occurrence: Occurrence) => {
      const event: FarmEvent = { ...occurrence, atMs };
      events.push(event);
      const caused = reduceFarm(this.farm, event);
      this.#logs.applied(this.farm, event, caused);
      this.#observer?.applied(this.farm, event, caused);
      effects.push(...caused);
    };
    for (const occurrence of occurrences) step(occurrence);
    for (const jobId of planAdmission(this.farm, this.#policy.runningJobsMax)) {
      step({ kind: "job-admitted", jobId });
    }
    const { grants, yields } = planFarm(this.farm, this.#policy, atMs);
    for (const grant of grants) step({ kind: "task-granted", ...grant });
    for (const taskId of yields) step({ kind: "task-asked-to-yield", taskId });
    this.#failpoint?.("before", events);
    this.#appended = this.#journal.append(events.map(encodeEvent));
    await this.#appended;
    this.#failpoint?.("after", events);
    this.#unkept += events.length;
    return effects;
  }

  #break(error: unknown): Error {
    const isFirst = this.#broken === null;
    this.#broken ??= error instanceof Error ? error : asFarmError(error);
    if (isFirst) this.#onBroken(error);
    return this.#broken;
  }

  /** A snapshot that fails is tried again after as many events: the events alone are enough. */
  #keepIfDue(): void {
    if (this.#keeping || this.#broken !== null || this.#unkept < this.#snapshotEvents) return;
    this.#keeping = true;
    this.#unkept = 0;
    this.#journal
      .snapshot(snapshotLines(this.#farm))
      .then(
        ({ number }) => this.#log.info(`kept a snapshot of record ${number}`),
        (error: unknown) => this.#log.warn(`kept no snapshot: ${asFarmError(error).detail}`),
      )
      .finally(() => {
        this.#keeping = false;
      });
  }

  /**
   * Resolves once the journal has all that the farm in memory says: who answers from memory waits
   * for it, or a crash takes back what was told.
   */
  async settled(): Promise<void> {
    if (this.#broken !== null) throw this.#broken;
    await this.#appended;
  }

  /**
   * Refuses while the journal has no room for events; what runs waits until it has.
   *
   * @throws FarmError "exhausted"
   */
  refuseFullJournal(): void {
    const stalled = this.#journal.stalled?.();
    if (stalled?.code === "exhausted") throw stalled;
  }

  /** A running denoise task's report; not journalled, since a step later it is history. */
  reportProgress(taskId: string, progress: Progress): void {
    const task = this.farm.tasks.get(taskId);
    if (task?.epoch !== progress.epoch || task.state.kind !== "granted") return;
    this.#progress.set(taskId, progress);
    this.#notify(task.jobId);
    for (const follower of this.#followers) follower.progressed(task.jobId);
  }

  /** For people to look at; neither kept in the farm nor journalled. */
  reportTime(told: TimeTold): void {
    for (const follower of this.#followers) follower.timed?.(told);
  }

  /** What a running denoise task's clip looks like; as fleeting as its progress. */
  reportPreview(taskId: string, epoch: number, step: number, image: Uint8Array): void {
    const task = this.farm.tasks.get(taskId);
    if (task?.epoch !== epoch || task.state.kind !== "granted") return;
    this.#previews.put(task.jobId, { clipIndex: task.clipIndex, step, image });
    this.#notify(task.jobId);
    for (const follower of this.#followers) follower.progressed(task.jobId);
  }

  /** The latest preview of each clip of a job that has one, the longest unchanged first. */
  previews(jobId: string): ClipPreview[] {
    return this.#previews.ofJob(jobId);
  }

  /** Milliseconds since 1970, as events are stamped. */
  nowMs(): number {
    return this.#nowMs();
  }

  view(jobId: string): JobView | null {
    const job = this.farm.jobs.get(jobId);
    return job ? viewJob(this.farm, job, this.#progress, this.#nowMs()) : null;
  }

  /**
   * Calls the watcher with the job as it is, and after every change of it, until the returned
   * function is called; each time once the journal has what it is told.
   */
  watch(jobId: string, watcher: JobWatcher): () => void {
    const watchers = this.#watchers.get(jobId) ?? new Set();
    this.#watchers.set(jobId, watchers.add(watcher));
    const view = this.view(jobId);
    if (view) this.#tellDurable(() => watchers.has(watcher) && watcher(view));
    return () => {
      watchers.delete(watcher);
      if (watchers.size === 0 && this.#watchers.get(jobId) === watchers) {
        this.#watchers.delete(jobId);
      }
    };
  }

  /** Lets somebody follow the whole farm, until the returned function is called. */
  follow(follower: FarmFollower): () => void {
    this.#followers.add(follower);
    return () => this.#followers.delete(follower);
  }

  /** The jobs that changed. */
  #carryOut(effects: readonly FarmEffect[]): ReadonlySet<string> {
    const changed = new Set<string>();
    for (const effect of effects) {
      if (effect.kind === "job-changed") changed.add(effect.jobId);
      else if (effect.kind === "count") {
        this.counters.set(effect.metric, (this.counters.get(effect.metric) ?? 0) + 1);
      } else this.#execute(effect);
    }
    for (const jobId of changed) this.#notify(jobId);
    return changed;
  }

  #notify(jobId: string): void {
    const watchers = this.#watchers.get(jobId);
    const job = this.farm.jobs.get(jobId);
    if (job && isTerminal(job.state)) this.#forgetProgress(jobId);
    if (!watchers) return;
    const view = this.view(jobId);
    if (!view) return;
    this.#tellDurable(() => {
      for (const watcher of [...watchers]) watcher(view);
    });
  }

  /** Appends resolve in order, so watchers hear of states in order; of a broken journal, of nothing. */
  #tellDurable(tell: () => void): void {
    this.#appended.then(tell, () => {});
  }

  #forgetProgress(jobId: string): void {
    this.#previews.forget(jobId);
    for (const clip of this.farm.jobs.get(jobId)?.clips ?? []) {
      for (const taskId of clip.taskIds) this.#progress.delete(taskId);
    }
  }
}
