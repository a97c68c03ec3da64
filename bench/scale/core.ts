/**
 * @file How much one coordinator's core carries: thousands of nodes and 200 jobs in one process,
 * without journal, network or work, with its metrics and without.
 */
import { performance } from "node:perf_hooks";
import type { Registry } from "prom-client";
import type { FarmEffect, FarmEvent } from "../../coordinator/plan/events.js";
import { reduceFarm } from "../../coordinator/plan/farm.js";
import { emptyFarm } from "../../coordinator/plan/farm-state.js";
import { planFarm } from "../../coordinator/plan/schedule.js";
import type { Occurrence } from "../../coordinator/shell/farm-loop.js";
import { FarmMetrics } from "../../coordinator/shell/metrics.js";
import { JOB_OPTIONS_DEFAULT } from "../../shared/farm/job.js";
import type { JobParameters } from "../../shared/farm/parameters.js";
import type { ModelInfo } from "../../shared/farm/work.js";
import { type Figure, noted } from "../farm/figures.js";

/** Up to the knee and beyond. */
const NODES = [1_000, 2_000, 5_000] as const;
const JOBS = 200;
const SCRAPES = 50;

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

export interface CoreRun {
  /** Once all nodes have joined. */
  readonly events: number;
  /** Of processor time: others use this machine, too. */
  readonly seconds: number;
  /** What the metrics took of them. */
  readonly observedSeconds: number;
  /** [] without metrics. */
  readonly scrapes: readonly Scrape[];
}

interface Scrape {
  readonly wallMs: number;
  readonly cpuMs: number;
}

export async function measureCore(): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const nodes of NODES) {
    const { events, seconds } = await runCore(nodes, null);
    figures.push(noted(`${nodes} nodes: events with scheduling, one core`, events / seconds, "/s"));
    figures.push(noted(`${nodes} nodes: clips, one core`, JOBS / seconds, "/s"));
  }
  return figures;
}

/**
 * So many nodes join, and so many jobs of one clip each are done at once.
 *
 * @param registry where the metrics go; null: nothing is measured
 */
export async function runCore(nodes: number, registry: Registry | null): Promise<CoreRun> {
  const farm = emptyFarm();
  const metrics = registry ? new FarmMetrics(registry, () => 0) : null;
  metrics?.started(farm);
  let events = 0;
  let observedMs = 0;
  let atMs = 0;
  const finished: Occurrence[] = [];
  const apply = (occurrence: Occurrence): void => {
    const event: FarmEvent = { ...occurrence, atMs };
    const effects = reduceFarm(farm, event);
    if (metrics) observedMs += cpuMsOf(() => metrics.applied(farm, event, effects));
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
  for (let i = 0; i < nodes; i++) step({ kind: "node-joined", node: nodeOf(i) });
  events = 0;
  observedMs = 0;
  const begun = process.cpuUsage();
  for (let i = 0; i < JOBS; i++) step({ kind: "job-created", job: jobOf(i) });
  const scrapes: Scrape[] = [];
  const scrapeEvery = Math.ceil((JOBS * 6) / SCRAPES);
  for (let i = 0, next = finished.shift(); next; i++, next = finished.shift()) {
    step(next);
    if (registry && i % scrapeEvery === 0) scrapes.push(await scrape(registry));
  }
  const { user, system } = process.cpuUsage(begun);
  const scrapedMs = scrapes.reduce((sum, { cpuMs }) => sum + cpuMs, 0);
  const seconds = (user + system) / 1e6 - scrapedMs / 1_000;
  return { events, seconds, observedSeconds: observedMs / 1_000, scrapes };
}

/** Milliseconds of processor time that some work takes. */
export function cpuMsOf(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
}

async function scrape(registry: Registry): Promise<Scrape> {
  const cpu = process.cpuUsage();
  const beganMs = performance.now();
  await registry.metrics();
  const wallMs = performance.now() - beganMs;
  const { user, system } = process.cpuUsage(cpu);
  return { wallMs, cpuMs: (user + system) / 1_000 };
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
    ...{
      parameters,
      images: [{ key: "x", sha256: "", size: 1 }],
      ...{ requestId: "", requestDigest: "" },
    },
    ...{ modelDigest: model.digest, modelName: model.name, branchLatents: null, stepsTotal: 25 },
    traceparent: null,
    ...JOB_OPTIONS_DEFAULT,
  };
}
