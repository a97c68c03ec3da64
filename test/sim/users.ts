/** @file What users and operators ask for, at random times. Mirrors the checks of `coordinator/rpc`. */
import type { FarmEvent, RetryScope } from "../../coordinator/plan/events.js";
import type { Job, NewJob } from "../../coordinator/plan/job.js";
import type { Occurrence } from "../../coordinator/shell/farm-loop.js";
import { isTerminal } from "../../shared/farm/job.js";
import { type JobParameters, planChunks, stepCount } from "../../shared/farm/parameters.js";
import { admit } from "./admission.js";
import type { SimCoordinator, SimLoop } from "./coordinator.js";
import { MODEL, type Poison } from "./node.js";
import type { Random } from "./random.js";
import { WALL_START_MS, type World, wallMs } from "./world.js";

type JobRetried = Extract<FarmEvent, { readonly kind: "job-retried" }>;

const VERBS = [
  "cancel",
  "pause",
  "resume",
  "priority",
  "retry",
  "delete",
  "drain",
  "undrain",
] as const;
export type Verb = (typeof VERBS)[number];

export interface UserPlan {
  /** Jobs to be submitted. */
  readonly jobs: number;
  readonly verbs: readonly Verb[];
  /** Between two things asked for, about. */
  readonly pauseMs: number;
  /** Share of jobs that break what works on them. */
  readonly poisoned: number;
}

/** What users do in worlds of later generations. */
interface LaterHabits {
  /** Share of jobs that go on from an earlier clip; null in a world of the first generation. */
  readonly branched: number | null;
  /** Share of jobs that have a deadline. */
  readonly hurried: number;
  /** Whether owners have a bound of jobs that are worked on at a time. */
  readonly quotaBound: boolean;
}

/** From the submission of a job to its deadline. */
const HURRIES_MS = [300, 3_000, 10_000, 40_000] as const;

/** Verbs of which a plan chooses some. */
export const ALL_VERBS: readonly Verb[] = VERBS;

function inputKey(name: string): string {
  return `v1/inputs/${name.padStart(26, "0")}`;
}

export class Users {
  /** What a job does to nodes, by id. */
  readonly poison = new Map<string, Poison>();
  readonly #world: World;
  readonly #coordinator: SimCoordinator;
  readonly #plan: UserPlan & LaterHabits;
  readonly #random: Random;
  readonly #laterRandom: Random;
  readonly #thirdRandom: Random;
  readonly #nodeIds: readonly string[];
  /** Requests that were not answered yet. */
  readonly #open = new Set<string>();
  readonly #poisoned = new Map<string, Poison>();
  #count = 0;
  #ids = 0;
  #calm = false;

  constructor(
    world: World,
    coordinator: SimCoordinator,
    plan: UserPlan & LaterHabits,
    nodeIds: readonly string[],
  ) {
    this.#world = world;
    this.#coordinator = coordinator;
    this.#plan = plan;
    this.#nodeIds = nodeIds;
    this.#random = world.random.split("users");
    this.#laterRandom = world.random.split("later users");
    this.#thirdRandom = world.random.split("third users");
  }

  /** Submits that no answer came for. */
  get openRequests(): number {
    return this.#open.size;
  }

  /** @param durationMs in which all jobs are submitted */
  start(durationMs: number): void {
    for (let i = 0; i < this.#plan.jobs; i++) {
      const atMs = i === 0 ? 0 : this.#random.unit() * durationMs * 0.7;
      this.#world.timeline.after(atMs, () => this.#submit());
    }
    this.#again();
  }

  /** No more surprises; what stands in the way of an end is taken away, again and again. */
  calm(): void {
    this.#calm = true;
    const loop = this.#coordinator.serving;
    if (loop) {
      for (const [nodeId, { draining, quarantined }] of loop.farm.nodeRecords) {
        if (draining || quarantined) this.#ask("undrain", nodeId);
      }
      for (const job of loop.farm.jobs.values()) {
        if (job.paused && !isTerminal(job.state)) this.#ask("resume", job.jobId);
      }
    }
    this.#world.timeline.after(20_000, () => this.calm());
  }

  #again(): void {
    const delayMs = this.#plan.pauseMs * this.#random.between(0.3, 1.7);
    this.#world.timeline.after(delayMs, () => {
      if (this.#calm) return;
      if (this.#plan.verbs.length > 0) this.#askSomething();
      this.#again();
    });
  }

  #submit(): void {
    this.#count += 1;
    const requestId = `request-${this.#count}`;
    const job = this.#hurried(this.#branched(this.#newJob(requestId)));
    if (this.#random.chance(this.#plan.poisoned)) {
      const poisons = ["crashes-runtime", "crashes-node", "nan", "no-memory"] as const;
      this.#poisoned.set(requestId, this.#random.pick(poisons));
    }
    this.#open.add(requestId);
    this.#create(job, 0);
    // An impatient client asks twice.
    if (this.#random.chance(0.2)) {
      this.#world.timeline.after(this.#random.unit() * 2_000, () => this.#create(job, 0));
    }
  }

  /** As `createJob` of the job service; without an answer the client asks again, with its request id. */
  #create(job: NewJob, tries: number): void {
    const { timeline, oracle, trace } = this.#world;
    const { requestId } = job;
    let answered = false;
    const retry = () => {
      if (!answered && this.#open.has(requestId) && tries < 200) this.#create(job, tries + 1);
    };
    timeline.after(this.#random.between(2_000, 4_000), retry);
    this.#request(job, (jobId) => {
      answered = true;
      trace.add(`client of ${requestId} is told ${jobId}`);
      this.#open.delete(requestId);
      oracle.onAcked(requestId, jobId);
    });
  }

  /** One call; it may stay without an answer. */
  #request(job: NewJob, answer: (jobId: string) => void): void {
    const { oracle, store } = this.#world;
    const { requestId } = job;
    const loop = this.#coordinator.serving;
    if (!loop) return;
    const known = loop.farm.jobIdByRequestId.get(requestId);
    if (known !== undefined) {
      loop.settled(() => answer(known));
      return;
    }
    if (loop.farm.nodes.size === 0) return;
    const { deadlineMs, startAfterMs } = job;
    if (deadlineMs !== null && deadlineMs <= Math.max(wallMs(this.#world), startAfterMs ?? 0)) {
      oracle.count("job refused: too late");
      this.#open.delete(requestId);
      return;
    }
    const dependsOn = job.dependsOn.filter((id) => loop.farm.jobs.has(id));
    // Every call draws an id of its own.
    this.#ids += 1;
    const jobId = `j${this.#ids}`.padStart(26, "0");
    const poison = this.#poisoned.get(requestId);
    if (poison) this.poison.set(jobId, poison);
    const create = (admitted: NewJob) => {
      if (admitted.branchLatents) oracle.count("job branched");
      const created: Occurrence = { kind: "job-created", job: admitted };
      loop.apply([created], () => {
        const made = loop.farm.jobIdByRequestId.get(requestId) ?? jobId;
        // A job of the same request may have come first and be deleted by now: there is none to tell of.
        if (loop.farm.jobs.has(made)) answer(made);
      });
    };
    const wanted = { ...job, jobId, dependsOn, quotaBound: this.#plan.quotaBound };
    if (this.#plan.branched === null) {
      create(wanted);
      return;
    }
    admit(this.#world, this.#coordinator, loop, wanted, inputKey(`b${this.#ids}`), {
      onAdmitted: create,
      onInputLost: ({ key, sha256 }) => {
        oracle.count("input sent again");
        store.upload(key, sha256);
        this.#request(job, answer);
      },
      onNoBranch: () => this.#request({ ...job, branch: null }, answer),
    });
  }

  /** Some go on from a step of an earlier clip, with other guidance. */
  #branched(job: NewJob): NewJob {
    const random = this.#laterRandom;
    const farm = this.#coordinator.serving?.farm;
    if (!farm || !random.chance(this.#plan.branched ?? 0)) return job;
    const kept = [...farm.tasks.values()].filter((task) => task.kept.length > 0);
    if (kept.length === 0) return job;
    const { jobId, clipIndex, kept: steps } = random.pick(kept);
    const maxGuidanceScale = random.pick([1, 5]);
    const { parameters } = farm.jobs.get(jobId)!;
    return {
      ...job,
      images: job.images.slice(0, 1),
      parameters: { ...parameters, maxGuidanceScale, numVideosPerPrompt: 1 },
      branch: { jobId, clipIndex, step: random.pick(steps).step },
    };
  }

  /** Some have to be done by a time. */
  #hurried(job: NewJob): NewJob {
    if (!this.#thirdRandom.chance(this.#plan.hurried)) return job;
    return { ...job, deadlineMs: this.#deadlineMs() };
  }

  #deadlineMs(): number {
    const random = this.#thirdRandom;
    const nowMs = WALL_START_MS + Math.floor(this.#world.timeline.nowMs());
    return nowMs + Math.floor(random.pick(HURRIES_MS) * random.between(0.5, 1.5));
  }

  #newJob(requestId: string): NewJob {
    const random = this.#random;
    const loop = this.#coordinator.serving;
    const others = loop ? [...loop.farm.jobs.keys()] : [];
    const dependsOn = others.length > 0 && random.chance(0.2) ? [random.pick(others)] : [];
    const startsLater = random.chance(0.15);
    const nowMs = WALL_START_MS + Math.floor(this.#world.timeline.nowMs());
    const startAfterMs = startsLater ? nowMs + random.integer(1_000, 15_000) : null;
    const images = Array.from({ length: random.pick([1, 1, 2]) }, (_, i) => {
      const content = `${requestId}-picture-${i}`;
      const key = inputKey(`r${this.#count}p${i}`);
      this.#world.store.upload(key, content);
      return { key, sha256: content, size: content.length };
    });
    const parameters = this.#parameters();
    return {
      jobId: "",
      requestId,
      requestDigest: "",
      images,
      parameters,
      stepsTotal: stepCount(parameters),
      modelDigest: MODEL.digest,
      modelName: MODEL.name,
      owner: random.pick(["ann", "bob"]),
      priority: random.pick([50, 50, 50, 10, 90]),
      startAfterMs,
      deadlineMs: null,
      dependsOn,
      branch: null,
      preview: false,
      labels: {},
      branchLatents: null,
      traceparent: null,
    };
  }

  #parameters(): JobParameters {
    const random = this.#random;
    const guided = random.chance(0.85);
    return {
      ...{ height: 64, width: 64, fps: 7, motionBucketId: 127, noiseAugStrength: 0.02 },
      ...{ sigmas: null, latents: null, seeds: [BigInt(random.below(1_000))] },
      numFrames: 4,
      numInferenceSteps: random.integer(1, 8),
      minGuidanceScale: 1,
      maxGuidanceScale: guided ? 3 : 1,
      guidance: { kind: "linear" },
      fit: "stretch",
      decodeChunkSize: random.pick([2, 4]),
      cacheInterval: 1,
      numVideosPerPrompt: random.pick([1, 1, 2]),
      formats: random.pick([["gif"], ["webp", "safetensors"]] as const),
      pair: random.pick(["auto", "auto", "always", "never"]),
      clips: [],
    };
  }

  #askSomething(): void {
    const verb = this.#random.pick(this.#plan.verbs);
    const jobs = this.#coordinator.serving?.farm.jobs;
    const isOfNode = verb === "drain" || verb === "undrain";
    const ids = isOfNode ? this.#nodeIds : [...(jobs?.keys() ?? [])];
    if (ids.length > 0) this.#ask(verb, this.#random.pick(ids));
  }

  #ask(verb: Verb, id: string): void {
    const loop = this.#coordinator.serving;
    const occurrence = loop && this.#occurrence(loop, verb, id);
    if (!loop || !occurrence) return;
    this.#world.trace.add(`user asks: ${verb} ${id}`);
    this.#world.oracle.count(`user asks: ${verb}`);
    loop.apply([occurrence]);
  }

  /** Null where the coordinator would refuse. */
  #occurrence(loop: SimLoop, verb: Verb, id: string): Occurrence | null {
    const job = loop.farm.jobs.get(id);
    const isOpen = job !== undefined && !isTerminal(job.state);
    switch (verb) {
      case "cancel":
        return isOpen ? { kind: "job-cancelled", jobId: id } : null;
      case "pause":
        return isOpen ? { kind: "job-paused", jobId: id } : null;
      case "resume":
        return isOpen ? { kind: "job-resumed", jobId: id } : null;
      case "priority":
        return isOpen
          ? { kind: "job-prioritized", jobId: id, priority: this.#random.below(101) }
          : null;
      case "retry":
        return job ? { kind: "job-retried", jobId: id, ...this.#retrial(job) } : null;
      case "delete":
        return job && !isOpen ? { kind: "job-deleted", jobId: id } : null;
      case "drain":
        return loop.farm.nodeRecords.has(id) ? { kind: "node-drained", nodeId: id } : null;
      case "undrain":
        return loop.farm.nodeRecords.has(id) ? { kind: "node-undrained", nodeId: id } : null;
    }
  }

  /** Asked for with a deadline, unless that has passed. */
  #retrial(job: Job): Pick<JobRetried, "what" | "deadlineMs"> {
    const isHurried = this.#thirdRandom.chance(this.#plan.hurried);
    const deadlineMs = isHurried ? this.#deadlineMs() : 0;
    const isRefused = deadlineMs <= wallMs(this.#world);
    return { what: this.#scope(job), deadlineMs: isRefused ? undefined : deadlineMs };
  }

  #scope(job: Job): RetryScope {
    const clipIndex = this.#random.below(job.clips.length);
    const { numFrames, decodeChunkSize } = job.parameters;
    const chunks = planChunks(numFrames, decodeChunkSize).length;
    const chunkIndex = this.#random.below(chunks);
    return this.#random.pick<RetryScope>([
      { kind: "job" },
      { kind: "clip", clipIndex },
      { kind: "chunk", clipIndex, chunkIndex },
    ]);
  }
}
