/** @file A prepared request on a farm: sent, watched to its end, its files fetched. */
import { randomUUID } from "node:crypto";
import type { FarmClient } from "../client/farm-client.js";
import { FarmError } from "../shared/core/errors.js";
import type { JobOptions, JobView } from "../shared/farm/job.js";
import { JobFailure } from "./failures.js";
import { readPicture } from "./input-files.js";
import type { OutputPlan } from "./output-plan.js";
import type { PreparedRequest } from "./prepare-request.js";
import type { Progress } from "./progress.js";
import { type WrittenFile, writeOutputs } from "./write-outputs.js";

/**
 * Uploads the inputs and creates the job.
 *
 * @param place which checkpoint ("" where the farm serves only one), and when it runs
 */
export async function sendJob(
  client: FarmClient,
  request: PreparedRequest,
  place: { readonly modelDigest: string; readonly options: JobOptions },
): Promise<JobView> {
  const images = [];
  for (const path of request.picturePaths)
    images.push(await client.upload(await readPicture(path)));
  const latents = request.latents && (await client.upload(request.latents));
  const parameters = { ...request.parameters, latents };
  return client.createJob({ images, parameters, requestId: randomUUID(), ...place });
}

/**
 * Waits for the end of a job, showing its progress, and fetches its files.
 *
 * @throws FarmError the job's own failure, "cancelled" when it or the wait was cancelled
 */
export async function finishJob(
  client: FarmClient,
  jobId: string,
  outputs: OutputPlan,
  { progress, signal }: { readonly progress: Progress; readonly signal: AbortSignal },
): Promise<{ job: JobView; files: WrittenFile[] }> {
  const job = await watchToEnd(client, jobId, progress, signal);
  if (job.state === "cancelled") throw new FarmError("cancelled", `job ${jobId} was cancelled`);
  if (job.state === "failed") throw failureOf(job);
  return { job, files: await writeOutputs(client, job, outputs, signal) };
}

async function watchToEnd(
  client: FarmClient,
  jobId: string,
  progress: Progress,
  signal: AbortSignal,
): Promise<JobView> {
  let last: JobView | null = null;
  try {
    for await (const job of client.watchJob(jobId, signal, progress.preview)) {
      progress.update(job);
      last = job;
    }
  } finally {
    progress.stop();
  }
  if (last === null) throw new FarmError("runtime-failed", `nothing was heard of job ${jobId}`);
  return last;
}

/** What a user hears of a job that failed: every failed clip, once. */
function failureOf(job: JobView): JobFailure {
  const failed = job.clips.filter((clip) => clip.error !== null);
  const lines = failed.map((clip) => `clip ${clip.index + 1}: ${clip.error!.detail}`);
  const codes = new Set(failed.map((clip) => clip.error!.code));
  const code = codes.size === 1 ? [...codes][0]! : "runtime-failed";
  const detail = `job ${job.jobId} failed; ${lines.join("; ")}`;
  return new JobFailure(code, detail);
}
