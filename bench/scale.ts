/**
 * @file How much one coordinator's core carries: 1,000 nodes and 200 jobs in one process,
 * without journal, network or work, with its metrics and without; and what a scrape costs then.
 */
import { performance } from "node:perf_hooks";
import { Registry } from "prom-client";
import type { FarmEffect, FarmEvent } from "../coordinator/plan/events.js";
import { reduceFarm } from "../coordinator/plan/farm.js";
import { emptyFarm } from "../coordinator/plan/farm-state.js";
import { planFarm } from "../coordinator/plan/schedule.js";
import type { Occurrence } from "../coordinator/shell/farm-loop.js";
import { FarmMetrics } from "../coordinator/shell/metrics.js";
import { JOB_OPTIONS_DEFAULT } from "../shared/farm/job.js";
import type { JobParameters } from "../shared/farm/parameters.js";
import type { ModelInfo } from "../shared/farm/work.js";

const NODES = 1_000;
const JOBS = 200;
const SCRAPES = 50;
const ROUNDS = 2;

const model: ModelInfo = {
  digest: "d".repeat(64),
  name: "svd-xt",
  numFrames: 25,
  sampleSize: 96,
  vaeScaleFactor: 8,
  latentChannels: 4,
  numTrainTimesteps: 1_000,
  stepRule: "as-asked",
};
const parameters: JobParameters = {
  ...{ height: 576, width: 1_024, numFrames: 25, numInferenceSteps: 25, sigmas: null },
  ...{ minGuidanceScale: 1, maxGuidanceScale: 3, fps: 7, motionBucketId: 127 },
  ...{
    noiseAugStrength: 0.02,
    decodeChunkSize: 8,
    cacheInterval: 1,
    numVideosPerPrompt: 1,
    seeds: [1n],
  },
  ...{ latents: null, formats: ["mp4"], pair: "auto" },
  ...{ guidance: { kind: "linear" }, fit: "stretch", clips: [] },
};

interface Run {
  readonly events: number;
  readonly seconds: number;
  /** Of the seconds: what the metrics took. */
  readonly observedSeconds: number;
  /** Milliseconds of each scrape; [] without metrics. */
  readonly scrapesMs: readonly number[];
}

/** Prints events a second and milliseconds a scrape. */
export async function benchScale(): Promise<boolean> {
  const runs: Record<"off" | "on", Run[]> = { off: [], on: [] };
  for (let i = 0; i < ROUNDS; i++) {
    runs.off.push(await runAll(false));
    runs.on.push(await runAll(true));
  }
  const best = (which: Run[]) => Math.max(...which.map(({ events, seconds }) => events / seconds));
  const [off, on] = [best(runs.off), best(runs.on)];
  const scrapes = runs.on.flatMap((run) => run.scrapesMs).sort((a, b) => a - b);
  const at = (part: number) => scrapes[Math.floor(part * (scrapes.length - 1))]?.toFixed(2);
  const micros = Math.min(...runs.on.map((r) => (1e6 * r.observedSeconds) / r.events));
  console.log(
    `${NODES} nodes, ${JOBS} jobs, ${runs.on[0]?.events} events, best of ${ROUNDS} rounds`,
  );
  console.log(`without metrics  ${Math.round(off)} events/s`);
  console.log(
    `with metrics     ${Math.round(on)} events/s, of each ${micros.toFixed(1)} us for the metrics`,
  );
  console.log(`a scrape         p50 ${at(0.5)} ms, p95 ${at(0.95)} ms, worst ${at(1)} ms`);
  return true;
}

async function runAll(isWatched: boolean): Promise<Run> {
  const farm = emptyFarm();
  const registry = new Registry();
  const metrics = isWatched ? new FarmMetrics(registry, () => 0) : null;
  metrics?.started(farm);
  let events = 0;
  let observedMs = 0;
  let atMs = 0;
  const finished: Occurrence[] = [];
  const apply = (occurrence: Occurrence): void => {
    const event: FarmEvent = { ...occurrence, atMs };
    const effects = reduceFarm(farm, event);
    const beganMs = performance.now();
    metrics?.applied(farm, event, effects);
    observedMs += performance.now() - beganMs;
    events += 1;
    for (const effect of effects) react(effect, finished);
  };
  const step = (occurrence: Occurrence): void => {
    atMs += 1;
    apply(occurrence);
    const { grants, yields } = planFarm(farm, { ownerAcceleratorsMax: null }, atMs);
    for (const grant of grants) apply({ kind: "task-granted", ...grant });
    for (const taskId of yields) apply({ kind: "task-asked-to-yield", taskId });
  };
  const startMs = performance.now();
  for (let i = 0; i < NODES; i++) step({ kind: "node-joined", node: nodeOf(i) });
  for (let i = 0; i < JOBS; i++) step({ kind: "job-created", job: jobOf(i) });
  const scrapesMs: number[] = [];
  const scrapeEvery = Math.ceil((JOBS * 6) / SCRAPES);
  let pausedMs = 0;
  for (let i = 0, next = finished.shift(); next; i++, next = finished.shift()) {
    step(next);
    if (!metrics || i % scrapeEvery !== 0) continue;
    const beganMs = performance.now();
    await registry.metrics();
    scrapesMs.push(performance.now() - beganMs);
    pausedMs += performance.now() - beganMs;
  }
  const seconds = (performance.now() - startMs - pausedMs) / 1_000;
  return { events, seconds, observedSeconds: observedMs / 1_000, scrapesMs };
}

/** A node ends its work at once, and a clip is published at once. */
function react(effect: FarmEffect, finished: Occurrence[]): void {
  if (effect.kind === "publish") {
    const { jobId, clipIndex, run } = effect;
    finished.push({ kind: "clip-published", jobId, clipIndex, run });
  }
  if (effect.kind !== "assign") return;
  const { taskId, epoch, work } = effect.assignment;
  const blob = work.stage === "mux" ? null : { key: `v1/${taskId}`, sha256: "", size: 1 };
  const result = {
    blob,
    outputs: [],
    seconds: 1,
    secondsPerStep: work.stage === "denoise" ? 1 : 0,
  };
  finished.push({ kind: "task-finished", taskId, nodeId: effect.nodeId, epoch, result });
}

function nodeOf(index: number) {
  return {
    nodeId: `node-${index}`,
    bootId: `boot-${index}`,
    model,
    ...{ provider: "cuda", planHash: "equal", busAddress: "a:1", busToken: "t" },
    ...{ hasFfmpeg: true, memoryBytes: 80 * 2 ** 30, prefers: "any" as const },
  };
}

function jobOf(index: number) {
  return {
    jobId: `j${index}`,
    ...{ parameters, images: [{ key: "x", sha256: "", size: 1 }], requestId: "" },
    ...{ modelDigest: model.digest, modelName: model.name, branchLatents: null, stepsTotal: 25 },
    traceparent: null,
    ...JOB_OPTIONS_DEFAULT,
  };
}
