/** @file `renderfarm download`: the files of a job that has ended, or of a clip that is finished. */
import { formatBytes } from "../shared/core/bytes.js";
import { FarmError, refuseViolations, type Violation } from "../shared/core/errors.js";
import { type ClipView, isTerminal, type JobView } from "../shared/farm/job.js";
import { type ConnectionFlags, connect, withWayOut } from "./connection.js";
import { withFilesElsewhere } from "./failures.js";
import { chooseFormats, readWhole } from "./flag-values.js";
import { placeOutputs } from "./output-place.js";
import { ProgressBar, showsBar } from "./progress-bar.js";
import { failureOf, reportJob } from "./render-job.js";
import { isQuiet, note } from "./voice.js";
import { checkJobId } from "./watch.js";
import { type Fetching, type WrittenFile, writeOutputs } from "./write-outputs.js";

export interface DownloadFlags extends ConnectionFlags {
  readonly out?: string;
  readonly clip?: string;
  readonly format?: string;
  readonly json?: boolean;
}

/**
 * Fetches files and waits for nothing.
 *
 * @throws FarmError "wrong-state" of a job that goes on, unless a finished clip of it is named
 */
export async function download(
  jobId: string,
  flags: DownloadFlags,
  signal: AbortSignal,
): Promise<void> {
  checkJobId(jobId);
  const clipNumber = flags.clip === undefined ? null : readWhole("--clip", flags.clip, 1, 10_000);
  const client = connect(flags);
  try {
    const job = await client.getJob(jobId, signal).catch((error: unknown) => {
      throw withWayOut(error);
    });
    const clips = clipNumber === null ? clipsOf(job) : [clipOf(job, clipNumber)];
    const violations: Violation[] = [];
    const { numFrames } = job.parameters;
    const formats = chooseFormats(flags.format, job.parameters.formats, violations);
    const shape = { formats, numFrames, clipCount: clips.length };
    const place = violations.length > 0 ? null : await placeOutputs(flags, shape, violations);
    refuseViolations(violations);
    // A clip is numbered alike, whether it is fetched alone or with the others.
    const plan = { ...place!, clipCount: job.clips.length };
    const fetch = (onProgress: NonNullable<Fetching["onProgress"]>) =>
      writeOutputs(client, { ...job, clips }, plan, { signal, formats, onProgress });
    const files = await watched(clips.length, fetch).catch((error: unknown) => {
      throw withFilesElsewhere(interruptedAt(error, signal), jobId);
    });
    const isWhole = clipNumber !== null || job.state === "succeeded";
    reportJob({ job, files, failure: isWhole ? null : failureOf(job) }, [], flags.json ?? false);
  } finally {
    client.close();
  }
}

/** Every finished clip of a job that has ended. */
function clipsOf(job: JobView): readonly ClipView[] {
  const { jobId, state } = job;
  const finished = job.clips.filter((clip) => clip.state === "succeeded");
  if (!isTerminal(state)) {
    const done = `${finished.length} of ${job.clips.length} clips are finished`;
    const way = `renderfarm watch ${jobId} --out PATH waits for it, --clip N fetches a finished clip`;
    throw new FarmError("wrong-state", `job ${jobId} is ${state}, ${done}; ${way}`);
  }
  if (finished.length > 0) return finished;
  if (state !== "cancelled") throw failureOf(job);
  throw new FarmError("cancelled", `job ${jobId} was cancelled and has no finished clip`);
}

function clipOf(job: JobView, clipNumber: number): ClipView {
  const clip = job.clips[clipNumber - 1];
  if (!clip) {
    const description = `the job has no clip ${clipNumber}; it has ${job.clips.length}`;
    refuseViolations([{ field: "--clip", description }]);
  }
  if (clip!.state === "succeeded") return clip!;
  const why = clip!.error ? `: ${clip!.error.detail}` : "";
  const detail = `clip ${clipNumber} of job ${job.jobId} is ${clip!.state}${why}; it has no files`;
  throw new FarmError("wrong-state", detail);
}

/** How far it is: a bar on a terminal, and one line at the end. */
async function watched(
  clipCount: number,
  fetch: (onProgress: NonNullable<Fetching["onProgress"]>) => Promise<WrittenFile[]>,
): Promise<WrittenFile[]> {
  const hasBar = !isQuiet() && showsBar(process.stderr, process.env);
  const bar = hasBar ? new ProgressBar(process.stderr) : null;
  let bytesCame = 0;
  try {
    return await fetch((clipsDone, bytes) => {
      bytesCame = bytes;
      const status = `clip ${Math.min(clipCount, Math.floor(clipsDone) + 1)}/${clipCount}`;
      bar?.update(clipsDone, clipCount, `${status}, ${formatBytes(bytes)}`);
    });
  } finally {
    bar?.stop();
    note(`${clipCount === 1 ? "1 clip" : `${clipCount} clips`}, ${formatBytes(bytesCame)}`);
  }
}

function interruptedAt(error: unknown, signal: AbortSignal): unknown {
  if (!signal.aborted) return error;
  const way = "whole files stay; the same command fetches the rest";
  return new FarmError("cancelled", `interrupted; ${way}`, { cause: error });
}
