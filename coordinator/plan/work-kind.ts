/** @file What kind of work a task is, as far as its duration and its memory go. */
import { planChunks } from "../../shared/farm/parameters.js";
import type { Job } from "./job.js";
import type { WorkKind } from "./learned.js";
import type { Task } from "./task.js";

/** @param on the provider that does it, and under which plan */
export function workKindOf(
  { modelDigest, parameters }: Pick<Job, "modelDigest" | "parameters">,
  { stage, chunkIndex }: Pick<Task, "stage" | "chunkIndex">,
  on: { readonly provider: string; readonly plan?: "single" | "pair" },
): WorkKind {
  const chunks = planChunks(parameters.numFrames, parameters.decodeChunkSize);
  const chunkFrames = stage === "decode" ? (chunks[chunkIndex]?.frameCount ?? 0) : 0;
  const { provider, plan = "single" } = on;
  return { modelDigest, provider, stage, parameters, chunkFrames, plan };
}
