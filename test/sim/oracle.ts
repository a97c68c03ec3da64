/**
 * @file Watches a run and says which invariant broke.
 *
 * It keeps a farm of its own, made from the journal's records as they become durable: what is in it
 * is what a restart would find.
 */
import type { FarmEvent } from "../../coordinator/plan/events.js";
import { emptyFarm, type Farm } from "../../coordinator/plan/farm-state.js";
import { isHeld, type NewJob } from "../../coordinator/plan/job.js";
import { isEnded, membersOf, type Task } from "../../coordinator/plan/task.js";
import { decodeEvent } from "../../coordinator/shell/event-codec.js";
import type { NodeOrder } from "../../shared/adapters/grpc/node-codec.js";
import { isTerminal } from "../../shared/farm/job.js";
import type { TaskResult } from "../../shared/farm/work.js";
import { Budgets } from "./budgets.js";
import type { Half } from "./bus.js";
import type { Core } from "./core.js";
import { Deadlines } from "./deadlines.js";
import { checkBounds, checkFarm, farmHash, farmOf } from "./farm-checks.js";
import type { SimJournal } from "./journal.js";
import { type ClipReference, referenceOf } from "./reference.js";
import type { SimStore } from "./store.js";
import { hold } from "./violation.js";

type Report = Extract<FarmEvent, { readonly epoch: number }>;

/** Where a replica stands when it makes a step. */
export interface StepPlace {
  readonly taskId: string;
  /** Epoch of its assignment and of now. */
  readonly since: number;
  readonly epoch: number;
  readonly step: number;
  readonly latents: string;
}

const JOURNAL_WAITING_MAX = 2_000;

export class Oracle {
  /** The farm as the journal has it. */
  readonly durable: Farm = emptyFarm();
  readonly counts = new Map<string, number>();
  readonly #core: Core;
  readonly #store: SimStore;
  readonly #journal: SimJournal;
  /** By "<job>-<clip>". */
  readonly #references = new Map<string, ClipReference>();
  /** Clips whose wrong bytes nobody could have seen. */
  readonly #excused = new Set<string>();
  readonly #wrong = new Set<string>();
  readonly #budgets = new Budgets((what) => this.count(what));
  readonly #deadlines = new Deadlines();
  /** By "<task> <epoch>". */
  readonly #granted = new Map<string, readonly string[]>();
  readonly #ends = new Map<string, { readonly run: number; readonly state: string }>();
  readonly #acked = new Map<string, string>();
  readonly #deleted = new Set<string>();
  /** Manifest of each published clip. */
  readonly #manifests = new Map<string, string>();

  constructor(core: Core, store: SimStore, journal: SimJournal) {
    this.#core = core;
    this.#store = store;
    this.#journal = journal;
    journal.onKept = (record) => this.#keep(decodeEvent(record));
  }

  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  /** An event reaches the farm in memory. */
  onReduce(farm: Farm, event: FarmEvent) {
    const effects = this.#core.reduceFarm(farm, event);
    checkFarm(farm);
    hold(this.#journal.waiting < JOURNAL_WAITING_MAX, "I5", () => "the journal falls behind");
    return effects;
  }

  /** A restart has replayed the journal. */
  onReplayed(farm: Farm): void {
    hold(farmHash(farm) === farmHash(this.durable), "I11", () => "a restart finds another farm");
  }

  /** The farm in memory, at a time when the journal has all of it. */
  onSettled(farm: Farm): void {
    if (this.#journal.waiting === 0) this.onReplayed(farm);
  }

  /** Jobs that the coordinator should end now; null when there are none. */
  onLook(nowMs: number): (() => void) | null {
    const late = this.#deadlines.lateJobs(nowMs);
    return late.size === 0 ? null : () => this.#deadlines.checkEnded(late, this.durable);
  }

  counted(metric: string): void {
    this.count(metric);
  }

  /** A frame was not used. */
  dropped(reason: string): void {
    this.count(`frame dropped: ${reason}`);
  }

  onOrder(nodeId: string, order: NodeOrder): void {
    if (order.kind === "welcome" || order.kind === "heartbeat-ack") return;
    const { taskId, epoch } = order.kind === "assign" ? order.assignment : order;
    const known = this.durable.tasks.get(taskId)?.epoch ?? 0;
    const named = order.kind === "continue-alone" ? order.newEpoch : epoch;
    const isDurable = known >= named || this.#deleted.has(taskId.slice(0, 26));
    hold(isDurable, "I13", () => `${order.kind} of ${taskId} e${named}, journalled is e${known}`);
    if (order.kind !== "assign") return;
    const members = this.#granted.get(`${taskId} ${epoch}`) ?? [];
    hold(members.includes(nodeId), "I7", () => `${nodeId} is assigned ${taskId} of ${members}`);
  }

  /** A replica makes a step from these halves. */
  onApply(nodeId: string, place: StepPlace, machineStep: number, halves: readonly Half[]): void {
    const { taskId, since, epoch, step, latents } = place;
    const at = () => `${nodeId} makes step ${machineStep} of ${taskId} e${epoch}`;
    hold(machineStep === step, "I12", () => `${at()} with latents of step ${step}`);
    for (const half of halves) {
      hold(half.taskId === taskId, "I12", () => `${at()} from a half of ${half.taskId}`);
      hold(half.step === step, "I12", () => `${at()} from a half of step ${half.step}`);
      hold(half.latents === latents, "I12", () => `${at()} from halves of different latents`);
      const isCurrent = half.epoch >= since && half.epoch <= epoch;
      hold(isCurrent, "I12", () => `${at()}, granted as e${since}, from a half of e${half.epoch}`);
    }
  }

  onResumed(taskId: string, latents: string): void {
    this.count("resumed from a checkpoint");
    if (this.#wrong.has(latents)) this.excuse(taskId);
  }

  /** A replica of a pair has made wrong latents. */
  onWrongBytes(latents: string): void {
    this.count("wrong bytes made");
    this.#wrong.add(latents);
  }

  /** Nobody could have seen that the bytes of this clip are wrong. */
  excuse(taskId: string): void {
    const task = this.durable.tasks.get(taskId);
    if (task) this.#excused.add(`${task.jobId}-${task.clipIndex}`);
    this.count("wrong bytes that nobody could see");
  }

  /** A client has been told the id of its job. */
  onAcked(requestId: string, jobId: string): void {
    const known = this.durable.jobs.has(jobId) || this.#deleted.has(jobId);
    hold(known, "I1", () => `job ${jobId} was accepted and is not in the journal`);
    const before = this.#acked.get(requestId) ?? jobId;
    // With its job a request is forgotten.
    const isGone = this.#deleted.has(before) || this.#deleted.has(jobId);
    const isSame = before === jobId || isGone;
    hold(isSame, "I1", () => `request ${requestId} made ${before} and ${jobId}`);
    this.#acked.set(requestId, jobId);
  }

  /** Everything has ended. */
  onEnd(): void {
    const replayed = emptyFarm();
    for (const record of this.#journal.records)
      this.#core.reduceFarm(replayed, decodeEvent(record));
    this.onReplayed(replayed);
    for (const snapshot of this.#journal.snapshots) {
      const farm = farmOf(snapshot);
      for (const record of this.#journal.records.slice(snapshot.number))
        this.#core.reduceFarm(farm, decodeEvent(record));
      this.onReplayed(farm);
    }
    for (const jobId of this.#acked.values()) {
      const isKept = this.#deleted.has(jobId) || this.#ends.has(jobId);
      hold(isKept, "I1", () => `job ${jobId} was accepted and has no end`);
    }
    for (const [clip, manifest] of this.#manifests) {
      if (!this.#deleted.has(clip.slice(0, 26))) this.#checkNamed(clip, manifest);
    }
  }

  #keep(event: FarmEvent): void {
    const farm = this.durable;
    this.count(`event ${event.kind}`);
    const report = "epoch" in event ? event : null;
    const before = report ? farm.tasks.get(report.taskId) : undefined;
    const isCurrent = report !== null && before !== undefined && isOfGrant(before, report);
    this.#budgets.expect(farm, event, isCurrent);
    if (event.kind === "task-granted") this.#budgets.checkGrant(farm, event);
    const ended = event.kind === "job-retried" ? this.#endedTasks(event.jobId) : [];
    const jobId = "jobId" in event ? event.jobId : "job" in event ? event.job.jobId : "";
    const jobBefore = farm.jobs.get(jobId);
    const effects = this.#core.reduceFarm(farm, event);
    this.#deadlines.follow(event, jobBefore, farm.jobs.get(jobId));
    if (report && !isCurrent) {
      const isIdle = farm.tasks.get(report.taskId) === before;
      const from = () =>
        `${report.kind} of ${report.taskId} e${report.epoch} from ${report.nodeId}`;
      hold(isIdle && effects.every((e) => e.kind === "count"), "I7", () => `stale ${from()} acted`);
    }
    for (const { taskId } of ended) {
      const task = farm.tasks.get(taskId);
      if (task && !isEnded(task)) this.#budgets.forget(taskId);
    }
    this.#checkEvent(event, isCurrent);
    this.#budgets.check(farm);
    this.#checkEnds(farm, event);
    checkBounds(farm);
  }

  #endedTasks(jobId: string): Task[] {
    return [...this.durable.tasks.values()].filter((t) => t.jobId === jobId && isEnded(t));
  }

  #checkEvent(event: FarmEvent, isCurrent: boolean): void {
    const farm = this.durable;
    switch (event.kind) {
      case "job-created": {
        const { jobId, requestId } = event.job;
        const same = [...farm.jobs.values()].filter((job) => job.requestId === requestId);
        hold(same.length <= 1, "I1", () => `request ${requestId} made ${same.length} jobs`);
        const job = farm.jobs.get(jobId);
        this.#checkBranch(event.job);
        for (const clip of job?.clips ?? []) {
          this.#references.set(`${jobId}-${clip.index}`, referenceOf(event.job, clip.index));
        }
        return;
      }
      case "job-deleted":
        if (!farm.jobs.has(event.jobId)) this.#deleted.add(event.jobId);
        return;
      case "task-granted": {
        const task = farm.tasks.get(event.taskId)!;
        const nodeIds = event.members.map((member) => member.nodeId);
        this.#granted.set(`${event.taskId} ${task.epoch}`, nodeIds);
        const job = farm.jobs.get(task.jobId)!;
        hold(!isHeld(job), "I13", () => `${event.taskId} of a held job is granted`);
        this.count(nodeIds.length === 2 ? "pairs granted" : "singles granted");
        return;
      }
      case "task-finished":
        if (isCurrent) this.#checkResult(farm.tasks.get(event.taskId)!, event.result);
        return;
      case "task-failed": {
        const { code, detail } = event.failure;
        hold(!isCurrent || code !== "blob-missing", "I4", () => `${event.taskId}: ${detail}`);
        const isHonest = !detail.includes("diverged") || this.#wrong.size > 0;
        hold(isHonest, "I2", () => `${event.taskId}: ${detail}, and nothing went wrong`);
        if (isCurrent && code === "blob-corrupt")
          this.#checkDistrust(farm.tasks.get(event.taskId)!);
        return;
      }
      case "task-checkpointed":
      case "task-yielded":
        if (isCurrent) this.#checkCheckpoint(farm.tasks.get(event.taskId)!);
        return;
      case "clip-published":
        this.#checkPublished(event.jobId, event.clipIndex);
        return;
      default:
    }
  }

  /** A branch begins with the latents that the other clip had after that step. */
  #checkBranch({ jobId, branch, branchLatents }: NewJob): void {
    if (!branch || !branchLatents) return;
    const from = `${branch.jobId}-${branch.clipIndex}`;
    const { sha256 } = branchLatents;
    if (this.#excused.has(from) || this.#wrong.has(sha256)) return;
    const right = this.#references.get(from)?.latents[branch.step] === sha256;
    hold(
      right,
      "I2",
      () => `${jobId} begins with other latents than step ${branch.step} of ${from}`,
    );
  }

  /** Latents that cannot be read are not gone on from, and only what has rotted cannot be read. */
  #checkDistrust(task: Task): void {
    this.count("rotten blob found");
    const at = () => `${task.taskId} was told of a rotten blob`;
    // The replicas of a pair that differ write over each other, where nobody has compared them yet.
    const hasReason = this.#store.rots > 0 || this.#wrong.size > 0;
    hold(hasReason, "I2", () => `${at()}, and none has rotted`);
    const isBack = task.checkpoint?.step === task.origin?.step;
    hold(task.state.kind !== "ready" || isBack, "I2", () => `${at()} and goes on from it`);
  }

  #checkResult(task: Task, result: TaskResult): void {
    const clip = `${task.jobId}-${task.clipIndex}`;
    const reference = this.#references.get(clip);
    if (!reference || this.#excused.has(clip)) return;
    const made = result.blob?.sha256;
    const expected = {
      condition: reference.conditioning,
      denoise: reference.latents.at(-1),
      decode: reference.chunks[task.chunkIndex],
      mux: undefined,
    }[task.stage];
    hold(made === expected, "I2", () => `${task.taskId} made ${made}, not ${expected}`);
    for (const { fileName, blob } of result.outputs) {
      const right = reference.files.get(fileName) === blob.sha256;
      hold(right, "I2", () => `${task.taskId} made another ${fileName}`);
    }
  }

  #checkCheckpoint(task: Task): void {
    const clip = `${task.jobId}-${task.clipIndex}`;
    const { checkpoint } = task;
    if (!checkpoint || this.#excused.has(clip) || this.#wrong.has(checkpoint.blob.sha256)) return;
    const expected = this.#references.get(clip)?.latents[checkpoint.step];
    const right = checkpoint.blob.sha256 === expected;
    hold(right, "I2", () => `${task.taskId} has other latents saved as step ${checkpoint.step}`);
  }

  #checkPublished(jobId: string, clipIndex: number): void {
    const job = this.durable.jobs.get(jobId);
    const clip = job?.clips[clipIndex];
    if (!job || clip?.state !== "succeeded") return;
    const key = `v1/${jobId}/${clipIndex}/manifest-${clip.run}.json`;
    const content = this.#store.blobs.get(key);
    hold(content !== undefined, "I3", () => `${key} is not there`);
    const { outputs } = JSON.parse(content!) as { outputs: unknown };
    const isSame = JSON.stringify(outputs) === JSON.stringify(clip.outputs);
    hold(isSame, "I3", () => `${key} names other files than the clip`);
    this.#manifests.set(`${jobId}-${clipIndex}`, key);
    this.#checkNamed(`${jobId}-${clipIndex}`, key);
  }

  #checkNamed(clip: string, key: string): void {
    const writes = this.#store.writes.get(key);
    hold(writes === 1, "I3", () => `${key} was written ${writes} times`);
    const content = this.#store.blobs.get(key);
    hold(content !== undefined, "I3", () => `${key} of ${clip} is gone`);
    const { outputs } = JSON.parse(content!) as { outputs: TaskResult["outputs"] };
    for (const { blob } of outputs) {
      const found = this.#store.blobs.get(blob.key);
      const isRight = found === blob.sha256 || this.#store.rotten.has(blob.key);
      hold(isRight, "I3", () => `${key} names ${blob.key}, which is ${found}`);
    }
  }

  #checkEnds(farm: Farm, event: FarmEvent): void {
    for (const [jobId, job] of farm.jobs) {
      const end = this.#ends.get(jobId);
      const isRetry = event.kind === "job-retried" && event.jobId === jobId;
      if (end && end.run === job.run) {
        hold(end.state === job.state, "I1", () => `${jobId} was ${end.state} and is ${job.state}`);
      } else if (end) hold(isRetry, "I1", () => `${jobId} runs again without being asked`);
      if (isTerminal(job.state)) this.#ends.set(jobId, { run: job.run, state: job.state });
      else this.#ends.delete(jobId);
    }
    for (const jobId of this.#references.keys()) {
      const id = jobId.slice(0, 26);
      hold(farm.jobs.has(id) || this.#deleted.has(id), "I1", () => `job ${id} is gone`);
    }
  }
}

function isOfGrant(task: Task, report: Report): boolean {
  const isMember = membersOf(task).some((member) => member.nodeId === report.nodeId);
  return isMember && report.epoch === task.epoch;
}
