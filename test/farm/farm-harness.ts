/**
 * @file Farms of real processes for tests: started in a folder of their own, faulted by pid, watched
 * through the public API, and checked at the end to have left nothing.
 */
import { randomUUID } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished } from "vitest";
import { FarmProcess } from "../../cli/farm-process.js";
import { type LocalFarm, startLocalFarm } from "../../cli/local-farm.js";
import { FarmClient } from "../../client/farm-client.js";
import {
  isTerminal,
  JOB_OPTIONS_DEFAULT,
  type JobOptions,
  type JobView,
  type StageView,
} from "../../shared/farm/job.js";
import type { JobParameters } from "../../shared/farm/parameters.js";
import type { Stage } from "../../shared/farm/work.js";
import { goldenPath } from "../golden/read-golden.js";
import { descendantsOf, type ProcessEntry, waitUntilGone } from "./processes.js";

/** A small checkpoint: a node has it ready in a second, and its networks in another. */
export const CHECKPOINT = goldenPath("two-level/checkpoint");
export const PICTURE = goldenPath("svd-shaped-fp16/runs/plain/input0.png");

/** Small, but with enough steps that a fault after the second one comes long before the last. */
export const CLIP: JobParameters = {
  height: 16,
  width: 16,
  numFrames: 4,
  numInferenceSteps: 40,
  sigmas: null,
  minGuidanceScale: 1,
  maxGuidanceScale: 3,
  guidance: { kind: "linear" },
  fit: "stretch",
  fps: 7,
  motionBucketId: 127,
  noiseAugStrength: 0.02,
  decodeChunkSize: 2,
  cacheInterval: 1,
  numVideosPerPrompt: 1,
  seeds: [7n],
  latents: null,
  formats: ["safetensors", "gif"],
  pair: "auto",
  clips: [],
};

/** A test that hears nothing for this long has failed. */
const SILENCE_MS_MAX = 40_000;
const COORDINATOR_READY_MS = 10_000;

/** A farm of one test, stopped when the test ends, however it ends. */
export async function startFarm(nodeCount: number): Promise<TestFarm> {
  const farm = await TestFarm.start(nodeCount);
  onTestFinished(() => farm.stop());
  return farm;
}

/** The sha256 of every file of such a clip, rendered by one node that nothing happens to. */
export async function undisturbed(parameters: JobParameters): Promise<FileHashes[]> {
  const farm = await TestFarm.start(1);
  try {
    const job = await farm.render(parameters);
    return job.clips.map((_, i) => hashesOf(job, i));
  } finally {
    await farm.stop();
  }
}

/** sha256 by file name. */
export type FileHashes = Readonly<Record<string, string>>;

/** The files of a clip that ended well. */
export function hashesOf(job: JobView, clipIndex = 0): FileHashes {
  const { state, error, outputs } = job.clips[clipIndex]!;
  expect({ state, error }).toEqual({ state: "succeeded", error: null });
  return Object.fromEntries(outputs.map(({ fileName, blob }) => [fileName, blob.sha256]));
}

/** One stage of a clip; undefined before it was granted. */
export function stageOf(job: JobView, stage: Stage, clipIndex = 0): StageView | undefined {
  return job.clips[clipIndex]!.stages.find((view) => view.stage === stage);
}

/** Whether a clip is denoised now, and neither at its first step nor close to its last. */
export function isMidDenoise(job: JobView, clipIndex = 0): boolean {
  const { stepsDone, stepsTotal } = job.clips[clipIndex]!;
  return stepsDone >= 2 && stepsDone < stepsTotal / 2;
}

export class TestFarm {
  readonly client: FarmClient;
  readonly #farm: LocalFarm;
  /** Everything that this farm's processes write; empty again at the end. */
  readonly #scratch: string;
  readonly #pids = new Set<number>();
  readonly #stopFollowing = new AbortController();
  #restarted: FarmProcess | null = null;

  private constructor(farm: LocalFarm, scratch: string) {
    this.#farm = farm;
    this.#scratch = scratch;
    this.client = new FarmClient(farm.address);
    this.#processes();
  }

  /** A farm of nodes with one thread each, on loopback. Whoever starts it has to stop it. */
  static async start(nodeCount: number): Promise<TestFarm> {
    const scratch = makeScratch();
    const before = process.env["TMPDIR"];
    process.env["TMPDIR"] = scratch;
    try {
      const farm = await startLocalFarm({
        checkpoint: CHECKPOINT,
        variant: "auto",
        nodeCount,
        threads: 1,
        listen: "127.0.0.1:0",
        verbose: false,
        onNote: () => {},
        signal: AbortSignal.timeout(SILENCE_MS_MAX),
      });
      return new TestFarm(farm, scratch);
    } finally {
      if (before === undefined) delete process.env["TMPDIR"];
      else process.env["TMPDIR"] = before;
    }
  }

  /** The agent of a node, e.g. "node-1". */
  agentPid(nodeId: string): number {
    return this.#find(`the agent of ${nodeId}`, (p) => p.command.includes(`--node-id ${nodeId} `));
  }

  /** The runtime child of a node. */
  runtimePid(nodeId: string): number {
    const agentPid = this.agentPid(nodeId);
    return this.#find(`the runtime child of ${nodeId}`, (p) => p.parentPid === agentPid);
  }

  coordinatorPid(): number {
    return this.#find("the coordinator", (p) => p.command.includes("coordinator/main.js"));
  }

  /** Holds the runtime children of nodes in whatever they do; the returned function lets them go. */
  holdRuntimes(nodeIds: readonly string[]): () => void {
    const pids = nodeIds.map((nodeId) => this.runtimePid(nodeId));
    for (const pid of pids) process.kill(pid, "SIGSTOP");
    return () => {
      for (const pid of pids) process.kill(pid, "SIGCONT");
    };
  }

  /** Sends a job of the test picture. */
  async submit(
    parameters: Partial<JobParameters>,
    requestId: string = randomUUID(),
    options: Partial<JobOptions> = {},
  ): Promise<JobView> {
    const image = await this.client.upload(readFileSync(PICTURE));
    return this.client.createJob({
      images: [image],
      parameters: { ...CLIP, ...parameters },
      modelDigest: "",
      requestId,
      options: { ...JOB_OPTIONS_DEFAULT, ...options },
    });
  }

  /** Sends a job and waits for its end. */
  async render(parameters: Partial<JobParameters>): Promise<JobView> {
    const { jobId } = await this.submit(parameters);
    return this.follow(jobId).end();
  }

  follow(jobId: string): Following {
    const signals = [this.#stopFollowing.signal, AbortSignal.timeout(SILENCE_MS_MAX)];
    return new Following(this.client.watchJob(jobId, AbortSignal.any(signals)));
  }

  /** Waits until the coordinator counts on exactly these many nodes. */
  async nodesJoined(count: number): Promise<void> {
    await expect
      .poll(async () => (await this.client.getFarm()).nodes.length, { timeout: 20_000 })
      .toBe(count);
  }

  /** A new coordinator on the data folder and the address of the one before, which has to be dead. */
  async restartCoordinator(): Promise<void> {
    const data = join(this.#scratch, readdirSync(this.#scratch)[0]!);
    this.#restarted = new FarmProcess({
      name: "coordinator",
      entry: "coordinator",
      args: ["--listen", this.#farm.address, "--data", data],
      logPath: join(data, "restarted.log"),
      readyMs: COORDINATOR_READY_MS,
    });
    await this.#restarted.ready;
    this.#processes();
  }

  /** Ends the farm; fails when a process or a file of it is left. */
  async stop(): Promise<void> {
    this.#processes();
    this.#stopFollowing.abort();
    this.client.close();
    await this.#farm.stop();
    await this.#restarted?.stop();
    await waitUntilGone((p) => this.#pids.has(p.pid) || p.command.includes(this.#scratch));
    removeEmpty(this.#scratch);
  }

  #find(what: string, test: (entry: ProcessEntry) => boolean): number {
    const found = this.#processes().filter(test);
    expect(found, what).toHaveLength(1);
    return found[0]!.pid;
  }

  /** This farm's living processes; each is remembered, to be missed at the end. */
  #processes(): ProcessEntry[] {
    const mine = descendantsOf(process.pid);
    const agents = mine.filter((p) => p.command.includes(this.#scratch));
    const all = [...agents, ...mine.filter((p) => agents.some((a) => a.pid === p.parentPid))];
    for (const { pid } of all) this.#pids.add(pid);
    return all;
  }
}

/** The states of one job as its watchers see them, taken one after the other. */
export class Following {
  /** Every state seen so far, in order. */
  readonly seen: JobView[] = [];
  readonly #states: AsyncGenerator<JobView>;

  constructor(states: AsyncGenerator<JobView>) {
    this.#states = states;
  }

  /** The first state from now on for which the test holds; fails when the job ends before. */
  async until(test: (job: JobView) => boolean): Promise<JobView> {
    for (;;) {
      const { value, done } = await this.#states.next();
      if (done) throw new Error(`the job ended before: ${JSON.stringify(this.seen.at(-1)?.clips)}`);
      this.seen.push(value);
      if (test(value)) return value;
    }
  }

  /** The state that ended the job; the stream has ended with it. */
  async end(): Promise<JobView> {
    const last = await this.until((job) => isTerminal(job.state));
    expect(await this.#states.next()).toMatchObject({ done: true });
    return last;
  }
}

/** A folder for everything temporary that processes under test write. */
export function makeScratch(): string {
  return mkdtempSync(join(realpathSync(tmpdir()), "farm-test-"));
}

/** Removes a scratch folder; fails when anything was left in it. */
export function removeEmpty(scratch: string): void {
  const left = readdirSync(scratch);
  rmSync(scratch, { recursive: true, force: true });
  expect(left, "what the processes left in their temporary folder").toEqual([]);
}
