/** @file A prepared request on a farm: sent, watched to its end, its files fetched. */
import type { FarmClient } from "../client/farm-client.js";
import { FarmError } from "../shared/core/errors.js";
import type { JobOptions, JobView } from "../shared/farm/job.js";
import { JobFailure } from "./failures.js";
import { readPicture } from "./input-files.js";
import type { OutputPlan } from "./output-plan.js";
import type { PreparedRequest } from "./prepare-request.js";
import type { Progress } from "./progress.js";
import { printResult } from "./report.js";
import { type WrittenFile, writeOutputs } from "./write-outputs.js";

/**
 * Uploads the inputs and creates the job.
 *
 * @param place which checkpoint ("" where the farm serves only one), under which id it makes one job
 *   however often it is sent, and when it runs
 */
export async function sendJob(
  client: FarmClient,
  request: PreparedRequest,
  place: {
    readonly modelDigest: string;
    readonly requestId: string;
    readonly options: JobOptions;
  },
): Promise<JobView> {
  const images = [];
  for (const path of request.picturePaths)
    images.push(await client.upload(await readPicture(path)));
  const latents = request.latents && (await client.upload(request.latents));
  const parameters = { ...request.parameters, latents };
  const job = { images, parameters, ...place };
  // As OpenTelemetry's tools hand a trace to the programs that they start.
  return client.createJob(job, undefined, process.env["TRACEPARENT"] || undefined);
}

export interface FinishedJob {
  readonly job: JobView;
  /** Of the clips that succeeded. */
  readonly files: readonly WrittenFile[];
  /** What a user hears of the others; null when there are none. */
  readonly failure: JobFailure | null;
}

/**
 * Waits for the end of a job, showing its progress, and fetches the files of the clips that succeeded.
 *
 * @throws FarmError "cancelled" when the job or the wait was cancelled, its failure when no clip of it
 *   succeeded
 */
export async function finishJob(
  client: FarmClient,
  jobId: string,
  outputs: OutputPlan,
  { progress, signal }: { readonly progress: Progress; readonly signal: AbortSignal },
): Promise<FinishedJob> {
  const job = await watchToEnd(client, jobId, progress, signal);
  if (job.state === "cancelled") throw new FarmError("cancelled", `job ${jobId} was cancelled`);
  const failure = job.state === "succeeded" ? null : failureOf(job);
  if (failure && job.clips.every((clip) => clip.state !== "succeeded")) throw failure;
  return { job, files: await writeOutputs(client, job, outputs, { signal }), failure };
}

/**
 * Prints the files on stdout.
 *
 * @param images paths as the user wrote them
 * @throws JobFailure naming the clips that failed; the others are there
 */
export function reportJob(
  { job, files, failure }: FinishedJob,
  images: readonly string[],
  isJson: boolean,
): void {
  printResult(job, files, images, isJson);
  if (failure) throw failure;
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

/** What a user hears of a job that failed or expired: every reason once, with the clips that it ended. */
export function failureOf(job: JobView): JobFailure {
  const clipsByReason = new Map<string, number[]>();
  for (const { error, index } of job.clips) {
    if (!error) continue;
    clipsByReason.set(error.detail, [...(clipsByReason.get(error.detail) ?? []), index + 1]);
  }
  const lines = [...clipsByReason].map(([reason, clips]) => `${listClips(clips)}: ${reason}`);
  const codes = new Set(job.clips.flatMap(({ error }) => (error ? [error.code] : [])));
  const code = codes.size === 1 ? [...codes][0]! : "runtime-failed";
  const succeeded = job.clips.filter((clip) => clip.state === "succeeded").length;
  const rest = succeeded === 0 ? "" : `; ${succeeded} of ${job.clips.length} clips are written`;
  return new JobFailure(code, `job ${job.jobId} ${job.state}; ${lines.join("; ")}${rest}`);
}

/** "clip 3", "clips 1, 4-7". */
function listClips(clips: readonly number[]): string {
  const runs: [first: number, last: number][] = [];
  for (const clip of clips) {
    const run = runs.at(-1);
    if (run && run[1] === clip - 1) run[1] = clip;
    else runs.push([clip, clip]);
  }
  const texts = runs.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`));
  return `${clips.length === 1 ? "clip" : "clips"} ${texts.join(", ")}`;
}
