/**
 * @file Two farms of real processes, one with metrics that are scraped all the time and one without,
 * make the smallest real clip in turns: what metrics change of a run, as a user has it.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FarmProcess } from "../../cli/farm-process.js";
import { FarmClient } from "../../client/farm-client.js";
import type { RequestedParameters } from "../../shared/adapters/grpc/parameters-codec.js";
import { isTerminal, JOB_OPTIONS_DEFAULT } from "../../shared/farm/job.js";
import type { BlobRef } from "../../shared/ports/blob-store.js";
import { atMost, type Figure, noted } from "../farm/figures.js";
import { median } from "../statistics.js";
import { SUBJECTS } from "../subjects.js";

/** Two new farms each: what one pair of farms happens to be like is not taken for an effect. */
const FARMS = 3;
const TURNS = 40;
const WARM_UP_TURNS = 8;
const SHARE_PERCENT_MAX = 0.5;
/** 15 times as often as the PodMonitor has it. */
const SCRAPE_INTERVAL_MS = 1_000;
const READY_MS = 60_000;
const demo = SUBJECTS[0]!;
/** Two frames: the less a step computes, the more metrics weigh. */
const CLIP: RequestedParameters = {
  ...{ height: demo.height, width: demo.width, numFrames: 2, numInferenceSteps: 10 },
  ...{ seeds: [1n], formats: ["safetensors"], pair: "always" },
};

export async function measureMetricsRun(): Promise<Figure[]> {
  const on: number[] = [];
  const off: number[] = [];
  const changes: number[] = [];
  for (let i = 0; i < FARMS; i++) {
    // Which one is started first changes, too.
    const order = i % 2 === 0 ? [true, false] : [false, true];
    const farms: RealFarm[] = [];
    try {
      for (const hasMetrics of order) farms.push(await RealFarm.start(hasMetrics));
      const turns = await takeTurns(farms);
      on.push(...turns.on);
      off.push(...turns.off);
      changes.push(percent(median(turns.on), median(turns.off)));
    } finally {
      await Promise.all(farms.map((farm) => farm.stop()));
    }
  }
  return [
    noted(
      `two frames of the demo as a pair, without metrics, median of ${off.length}`,
      median(off),
      "s",
    ),
    atMost(
      `metrics on and scraped each second: change of the median (${on.length} in turns)`,
      percent(median(on), median(off)),
      SHARE_PERCENT_MAX,
      "%",
    ),
    noted(`the same, of ${FARMS} pairs of farms the least`, Math.min(...changes), "%"),
    noted("and the most", Math.max(...changes), "%"),
  ];
}

async function takeTurns(farms: readonly RealFarm[]): Promise<{ on: number[]; off: number[] }> {
  const seconds = { on: [] as number[], off: [] as number[] };
  for (let turn = 0; turn < WARM_UP_TURNS + TURNS; turn++) {
    // A, B, B, A: what drifts hits both alike.
    for (const farm of turn % 2 === 0 ? farms : [...farms].reverse()) {
      const taken = await farm.render();
      if (turn >= WARM_UP_TURNS) seconds[farm.hasMetrics ? "on" : "off"].push(taken);
    }
  }
  return seconds;
}

const percent = (value: number, base: number) => 100 * (value / base - 1);

/** A coordinator and two nodes on the processor, one thread each. */
class RealFarm {
  readonly hasMetrics: boolean;
  readonly #folder: string;
  readonly #processes: FarmProcess[] = [];
  readonly #targets: string[] = [];
  #client: FarmClient | null = null;
  #image: BlobRef | null = null;
  #scraping: NodeJS.Timeout | null = null;

  private constructor(hasMetrics: boolean, folder: string) {
    this.hasMetrics = hasMetrics;
    this.#folder = folder;
  }

  static async start(hasMetrics: boolean): Promise<RealFarm> {
    const farm = new RealFarm(hasMetrics, await mkdtemp(join(tmpdir(), "renderfarm-bench-")));
    try {
      await farm.#start();
    } catch (error) {
      await farm.stop();
      throw error;
    }
    return farm;
  }

  /** Seconds from the call that creates a job until its end is told. */
  async render(): Promise<number> {
    const client = this.#client!;
    const beganMs = performance.now();
    const { jobId } = await client.createJob({
      ...{ images: [this.#image!], parameters: CLIP, modelDigest: "", requestId: "" },
      options: JOB_OPTIONS_DEFAULT,
    });
    for await (const { state } of client.watchJob(jobId, AbortSignal.timeout(READY_MS))) {
      if (state === "succeeded") return (performance.now() - beganMs) / 1_000;
      if (isTerminal(state)) throw new Error(`job ${jobId} ended as ${state}`);
    }
    throw new Error(`job ${jobId} did not end`);
  }

  async stop(): Promise<void> {
    if (this.#scraping) clearInterval(this.#scraping);
    this.#client?.close();
    await Promise.all([...this.#processes].reverse().map((each) => each.stop()));
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #start(): Promise<void> {
    const coordinator = this.#launch("coordinator", "coordinator", [
      ...["--listen", "127.0.0.1:0", "--data", this.#folder],
    ]);
    const { address } = await coordinator.ready;
    const nodes = ["node-1", "node-2"].map((id) =>
      this.#launch(id, "gpu-node", [
        ...["--coordinator", address, "--node-id", id, "--checkpoint", demo.checkpoint],
        ...["--threads", "1", "--blobs", `file:${join(this.#folder, "blobs")}`],
      ]),
    );
    await Promise.all(nodes.map((node) => node.ready));
    this.#client = new FarmClient(address);
    this.#image = await this.#client.upload(await readFile(demo.image));
    if (!this.hasMetrics) return;
    this.#scraping = setInterval(() => {
      for (const target of this.#targets) {
        void fetch(`http://${target}/metrics`).then((answer) => answer.text());
      }
    }, SCRAPE_INTERVAL_MS);
  }

  #launch(name: string, entry: string, args: readonly string[]): FarmProcess {
    const started = new FarmProcess({
      ...{ name, entry, readyMs: READY_MS, logPath: join(this.#folder, `${name}.log`) },
      args: [...args, ...(this.hasMetrics ? ["--metrics", "127.0.0.1:0"] : [])],
      onMessage: (message) => {
        const { metrics } = message as { metrics?: string };
        if (metrics) this.#targets.push(metrics);
      },
    });
    this.#processes.push(started);
    return started;
  }
}
