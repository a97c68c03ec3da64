/** @file A node on a real stream whose work is done at once, and jobs for it. */
import { randomBytes } from "node:crypto";
import type { FarmClient } from "../../client/farm-client.js";
import { NodeLink, type TaskOrder } from "../../gpu-node/agent/node-link.js";
import { systemClock } from "../../shared/adapters/clock/system-clock.js";
import { idFromBytes } from "../../shared/core/ids.js";
import { JOB_OPTIONS_DEFAULT } from "../../shared/farm/job.js";
import type { TaskResult } from "../../shared/farm/work.js";
import { SLEEPING_MODEL } from "../sleeping-node/sleeping-runtime.js";
import { monotonicMs } from "./monotonic.js";

/** Decode chunks of a clip; with its other stages 35 tasks. */
const CHUNKS = 32;
export const TASKS_OF_JOB = CHUNKS + 3;

/** Of one clip each. */
export async function submitJobs(client: FarmClient, count: number): Promise<void> {
  const image = await client.upload(Buffer.from("RIFF0000WEBP"));
  const parameters = {
    ...{ height: 64, width: 64, numFrames: CHUNKS, decodeChunkSize: 1, numInferenceSteps: 4 },
    ...{ sigmas: null, minGuidanceScale: 1, maxGuidanceScale: 3, fps: 7, motionBucketId: 127 },
    ...{ guidance: { kind: "linear" as const }, fit: "stretch" as const },
    ...{ noiseAugStrength: 0.02, numVideosPerPrompt: 1, seeds: [1n], latents: null },
    ...{ formats: ["gif"] as const, pair: "never" as const },
    clips: [],
  };
  const job = { images: [image], parameters, modelDigest: "", requestId: "" };
  for (let i = 0; i < count; i++) await client.createJob({ ...job, options: JOB_OPTIONS_DEFAULT });
}

/** A real stream to the coordinator, and work that is done at once. */
export class IdleNode {
  readonly welcomed: Promise<void>;
  readonly waitsMs: number[] = [];
  tasksDone = 0;
  readonly #link: NodeLink;
  /** Orders that came before the start. */
  #held: TaskOrder[] | null = [];
  #reportedMs: number | null = null;

  /** @param onDown hears that the stream was lost; it dials again */
  constructor(
    address: string,
    nodeId: string,
    onDown: (reason: string) => void = (reason) => {
      throw new Error(`${nodeId}: ${reason}`);
    },
  ) {
    let welcome = () => {};
    this.welcomed = new Promise((resolve) => {
      welcome = resolve;
    });
    this.#link = new NodeLink({
      addresses: [address],
      identity: {
        ...{ nodeId, bootId: idFromBytes(randomBytes(16)), model: SLEEPING_MODEL },
        ...{ provider: "cpu", planHash: "0".repeat(64) },
        ...{ busAddress: "127.0.0.1:1", busToken: "none", hasFfmpeg: true },
        ...{ memoryBytes: 16 * 2 ** 30, prefers: "any" as const },
      },
      clock: systemClock,
      random: Math.random,
      onUp: welcome,
      onOrder: (order) => this.#take(order),
      onDown,
    });
    this.#link.start();
  }

  go(): void {
    const held = this.#held ?? [];
    this.#held = null;
    for (const order of held) this.#take(order);
  }

  close(): void {
    this.#link.close();
  }

  #take(order: TaskOrder): void {
    if (order.kind !== "assign") return;
    if (this.#held) {
      this.#held.push(order);
      return;
    }
    const nowMs = monotonicMs();
    if (this.#reportedMs !== null) this.waitsMs.push(nowMs - this.#reportedMs);
    this.#reportedMs = nowMs;
    this.tasksDone += 1;
    const { taskId, epoch, work } = order.assignment;
    const blob = { key: "v1/nothing", sha256: "0".repeat(64), size: 1 };
    const result: TaskResult = {
      ...{ seconds: 0, secondsPerStep: 0 },
      blob: work.stage === "mux" ? null : blob,
      outputs: work.stage === "mux" ? [{ format: "gif", fileName: "clip.gif", blob }] : [],
    };
    this.#link.report(taskId, epoch, { kind: "finished", result });
  }
}
