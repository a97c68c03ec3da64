/** @file A farm of real processes whose nodes sleep instead of computing, and what they did when. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import sharp from "sharp";
import { FarmProcess } from "../../cli/farm-process.js";
import { FarmClient } from "../../client/farm-client.js";
import { isTerminal, JOB_OPTIONS_DEFAULT, type JobView } from "../../shared/farm/job.js";
import type { JobParameters } from "../../shared/farm/parameters.js";
import type { NodePreference } from "../../shared/farm/work.js";
import type { BlobRef } from "../../shared/ports/blob-store.js";
import type { RunMessage } from "../sleeping-node/main.js";
import type { SleepTimes } from "../sleeping-node/sleeping-runtime.js";
import { monotonicMs } from "./monotonic.js";

/** One run of a graph on a node; times are `monotonicMs`. */
export interface Run {
  readonly nodeId: string;
  readonly module: RunMessage["module"];
  readonly timestep: number | null;
  readonly beganMs: number;
  /** Null while it goes on, and when its node died. */
  endedMs: number | null;
}

/** The demo checkpoint's size: tensors so small that only the farm itself is left. */
export const SMALL = { height: 64, width: 64, numFrames: 14 } as const;
/** SVD-XT's size: halves of 3.7 MB. */
export const SVD_XT = { height: 576, width: 1024, numFrames: 25 } as const;

const PARAMETERS: JobParameters = {
  ...SMALL,
  numInferenceSteps: 10,
  sigmas: null,
  minGuidanceScale: 1,
  maxGuidanceScale: 3,
  guidance: { kind: "linear" },
  fit: "stretch",
  fps: 7,
  motionBucketId: 127,
  noiseAugStrength: 0.02,
  decodeChunkSize: 7,
  cacheInterval: 1,
  numVideosPerPrompt: 1,
  seeds: [1n],
  latents: null,
  formats: ["safetensors"],
  pair: "auto",
  clips: [],
};

const READY_MS = 60_000;
/** Nothing here takes this long unless it hangs. */
const WAIT_MS_MAX = 120_000;
const POLL_MS = 2;

export interface FarmShape {
  readonly nodes: number;
  readonly times: SleepTimes;
  /** What each node would rather do; absent: anything. */
  readonly prefer?: readonly NodePreference[];
}

export class SleepingFarm {
  readonly runs: Run[] = [];
  readonly #times: SleepTimes;
  readonly #folder: string;
  readonly #processes = new Map<string, FarmProcess>();
  #client: FarmClient | null = null;
  #address = "";
  #image: BlobRef | null = null;

  private constructor(times: SleepTimes) {
    this.#times = times;
    this.#folder = mkdtempSync(join(tmpdir(), "renderfarm-bench-"));
  }

  /** Runs `use` with a farm of "node-1" ... that have all joined, then ends every process. */
  static async with<T>(
    nodes: number,
    times: SleepTimes,
    use: (farm: SleepingFarm) => Promise<T>,
  ): Promise<T> {
    const [result] = await SleepingFarm.withAll([{ nodes, times }], use);
    return result!;
  }

  /** As `with`, for several farms at a time; all stand before the first is used. */
  static async withAll<T>(
    shapes: readonly FarmShape[],
    use: (farm: SleepingFarm, index: number) => Promise<T>,
  ): Promise<T[]> {
    const farms = shapes.map(({ times }) => new SleepingFarm(times));
    try {
      await Promise.all(farms.map((farm, i) => farm.#start(shapes[i]!)));
      return await Promise.all(farms.map(use));
    } catch (error) {
      for (const farm of farms) process.stderr.write(`${farm.#logTails()}\n`);
      throw error;
    } finally {
      await Promise.all(farms.map((farm) => farm.#stop()));
    }
  }

  get client(): FarmClient {
    return this.#client!;
  }

  /** Process id of a node, or of "coordinator". */
  pid(name: string): number {
    return this.#processes.get(name)!.pid!;
  }

  /** Ends the coordinator by SIGKILL and starts it again; seconds until it listens. */
  async restartCoordinator(): Promise<number> {
    const old = this.#processes.get("coordinator")!;
    old.kill();
    await old.ended;
    const startMs = monotonicMs();
    await this.#startCoordinator();
    return (monotonicMs() - startMs) / 1000;
  }

  /** Resolves once the node has joined. */
  async startNode(nodeId: string, prefer: NodePreference = "any"): Promise<void> {
    const { halfMs, chunkMs, encoderMs } = this.#times;
    this.#launch(nodeId, "bench/sleeping-node", [
      ...["--coordinator", this.#address, "--blob-dir", join(this.#folder, "blobs")],
      ...["--node-id", nodeId, "--half-ms", String(halfMs), "--chunk-ms", String(chunkMs)],
      ...["--encoder-ms", String(encoderMs), "--prefer", prefer],
    ]);
    await this.until(`${nodeId} to join`, async () => (await this.isConnected(nodeId)) || null);
  }

  async isConnected(nodeId: string): Promise<boolean> {
    const { nodes } = await this.client.getFarm();
    return nodes.some((node) => node.nodeId === nodeId && node.connected);
  }

  /** Submits a job; several seeds make several clips. */
  async submit(change: Partial<JobParameters>): Promise<string> {
    this.#image ??= await this.client.upload(await samplePicture());
    const parameters = { ...PARAMETERS, ...change };
    const job = await this.client.createJob({
      images: [this.#image],
      parameters: { ...parameters, numVideosPerPrompt: parameters.seeds.length },
      modelDigest: "",
      requestId: "",
      options: JOB_OPTIONS_DEFAULT,
    });
    return job.jobId;
  }

  /** @throws when the job does not succeed */
  async finished(jobId: string): Promise<JobView> {
    const signal = AbortSignal.timeout(WAIT_MS_MAX);
    for await (const job of this.client.watchJob(jobId, signal)) {
      if (job.state === "succeeded") return job;
      if (isTerminal(job.state)) {
        throw new Error(`job ${jobId} ${job.state}: ${job.clips[0]?.error?.detail}`);
      }
    }
    throw new Error(`job ${jobId} did not end`);
  }

  /** Looks again and again until there is something. */
  async until<T>(what: string, look: () => T | null | undefined | Promise<T | null>): Promise<T> {
    const deadlineMs = monotonicMs() + WAIT_MS_MAX;
    for (;;) {
      const found = await look();
      if (found !== null && found !== undefined) return found;
      if (monotonicMs() > deadlineMs) throw new Error(`waited in vain for ${what}`);
      await sleep(POLL_MS);
    }
  }

  async #start({ nodes, prefer }: FarmShape): Promise<void> {
    await this.#startCoordinator();
    const names = Array.from({ length: nodes }, (_, i) => `node-${i + 1}`);
    await Promise.all(names.map((name, i) => this.startNode(name, prefer?.[i])));
  }

  async #startCoordinator(): Promise<void> {
    this.#client?.close();
    const args = ["--listen", "127.0.0.1:0", "--data", this.#folder];
    this.#address = (await this.#launch("coordinator", "coordinator", args).ready).address;
    this.#client = new FarmClient(this.#address);
  }

  #launch(name: string, entry: string, args: readonly string[]): FarmProcess {
    const logPath = join(this.#folder, `${name}.log`);
    const onMessage = (message: unknown) => this.#take(name, message as Partial<RunMessage>);
    const started = new FarmProcess({ name, entry, args, logPath, readyMs: READY_MS, onMessage });
    this.#processes.set(name, started);
    return started;
  }

  #take(nodeId: string, { said, kind, module, timestep, atMs }: Partial<RunMessage>): void {
    if (said !== "run" || module === undefined || atMs === undefined) return;
    if (kind === "began") {
      this.runs.push({ nodeId, module, timestep: timestep ?? null, beganMs: atMs, endedMs: null });
      return;
    }
    const run = this.runs.findLast((each) => each.nodeId === nodeId && each.endedMs === null);
    if (run) run.endedMs = atMs;
  }

  #logTails(): string {
    return [...this.#processes.values()].flatMap((each) => each.complaints()).join("\n");
  }

  async #stop(): Promise<void> {
    this.#client?.close();
    // Those that were stopped by a signal would not hear another one.
    for (const each of this.#processes.values()) each.kill();
    await Promise.all([...this.#processes.values()].map((each) => each.ended));
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

async function samplePicture(): Promise<Uint8Array> {
  const background = { r: 90, g: 120, b: 150 };
  return sharp({ create: { width: 64, height: 64, channels: 3, background } })
    .png()
    .toBuffer();
}
