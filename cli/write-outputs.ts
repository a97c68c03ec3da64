/**
 * @file The finished files of a job, fetched beside `--out` and moved there when all are whole:
 * whoever looks at `--out` sees a finished file or none, and a pipe gets a whole file or nothing.
 */
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { FarmClient } from "../client/farm-client.js";
import { FarmError } from "../shared/core/errors.js";
import type { JobView } from "../shared/farm/job.js";
import type { OutputFormat } from "../shared/farm/parameters.js";
import { joinClips } from "./clips-safetensors.js";
import { OutputFailure } from "./failures.js";
import { nearestFolder, STAGING_PREFIX } from "./output-place.js";
import { type OutputPlan, outputPath } from "./output-plan.js";

/** A file at its final place. */
export interface WrittenFile {
  readonly format: OutputFormat;
  /** As `--out` names it: relative where that is. */
  readonly path: string;
  /** Hex. */
  readonly sha256: string;
  /** Bytes. */
  readonly size: number;
  /** Clips whose frames it holds; all of them for a safetensors file. */
  readonly clipIndexes: readonly number[];
}

interface StagedFile extends WrittenFile {
  readonly stagedPath: string;
}

/**
 * Fetches and places every output of a job that has ended; clips that failed have none.
 *
 * @returns the files at their places; none for stdout, which has got the bytes
 * @throws FarmError "cancelled" after an abort, "blob-corrupt", "unreachable"; OutputFailure when a file
 *   cannot be written; nothing is left then
 */
export async function writeOutputs(
  client: FarmClient,
  job: JobView,
  plan: OutputPlan,
  signal: AbortSignal,
): Promise<WrittenFile[]> {
  return fetchAndPlace(client, job, plan, signal).catch((error: unknown) => {
    if (error instanceof FarmError || !(error instanceof Error && "syscall" in error)) throw error;
    throw new OutputFailure(error.message, { cause: error });
  });
}

async function fetchAndPlace(
  client: FarmClient,
  job: JobView,
  plan: OutputPlan,
  signal: AbortSignal,
): Promise<WrittenFile[]> {
  const staging = await mkdtemp(join(await stagingPlace(plan), STAGING_PREFIX));
  try {
    const staged = await fetchAll(client, job, plan, { staging, signal });
    if (plan.kind === "stdout") {
      for (const { stagedPath } of staged) await sendToStdout(stagedPath);
      return [];
    }
    for (const { stagedPath, path } of staged) {
      await mkdir(dirname(path), { recursive: true });
      await rename(stagedPath, path);
    }
    return staged.map(({ stagedPath: _, ...written }) => written);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

/** In the same file system as the files' final place, so that moving them is one step. */
async function stagingPlace(plan: OutputPlan): Promise<string> {
  if (plan.kind === "stdout") return tmpdir();
  return nearestFolder(plan.kind === "file" ? dirname(plan.path) : plan.path);
}

/** Whoever reads it may have had enough before its end. */
async function sendToStdout(path: string): Promise<void> {
  await pipeline(createReadStream(path), process.stdout, { end: false }).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
    },
  );
}

async function fetchAll(
  client: FarmClient,
  job: JobView,
  plan: OutputPlan,
  { staging, signal }: { staging: string; signal: AbortSignal },
): Promise<StagedFile[]> {
  const files: StagedFile[] = [];
  const clipPaths: string[] = [];
  for (const clip of job.clips) {
    for (const output of await client.outputsOf(job.jobId, clip)) {
      if (plan.kind === "stdout" && output.fileName.endsWith(".json")) continue;
      const stagedPath = join(staging, `${clip.index}-${output.fileName}`);
      const bytes = client.download(job.jobId, clip.index, output, signal);
      await pipeline(Readable.from(bytes), createWriteStream(stagedPath, { flags: "wx" }));
      if (output.format === "safetensors") {
        clipPaths.push(stagedPath);
        continue;
      }
      const path = outputPath(plan, clip.index, output);
      const { format, blob } = output;
      const written = { format, path, sha256: blob.sha256, size: blob.size };
      if (output.fileName.endsWith(".json")) {
        const video = outputPath(plan, clip.index, { format, fileName: "clip.mp4" });
        Object.assign(written, await renameInSidecar(stagedPath, basename(video)));
      }
      files.push({ ...written, clipIndexes: [clip.index], stagedPath });
    }
  }
  if (clipPaths.length > 0) files.push(await joinStaged(job, plan, clipPaths, staging));
  return files;
}

/** The farm calls every mp4 "clip.mp4"; the text file beside it names the file that users see. */
async function renameInSidecar(stagedPath: string, video: string) {
  const text = (await readFile(stagedPath, "utf8")).replace(
    '"file": "clip.mp4"',
    () => `"file": ${JSON.stringify(video)}`,
  );
  await writeFile(stagedPath, text);
  return {
    sha256: createHash("sha256").update(text).digest("hex"),
    size: Buffer.byteLength(text),
  };
}

async function joinStaged(
  job: JobView,
  plan: OutputPlan,
  clipPaths: readonly string[],
  staging: string,
): Promise<StagedFile> {
  const stagedPath = join(staging, "clips.safetensors");
  await joinClips(clipPaths, stagedPath);
  const hash = createHash("sha256");
  await pipeline(createReadStream(stagedPath), hash);
  return {
    format: "safetensors",
    path: outputPath(plan, 0, { format: "safetensors", fileName: "clip.safetensors" }),
    sha256: hash.digest("hex"),
    size: (await stat(stagedPath)).size,
    clipIndexes: job.clips.filter((clip) => clip.outputCount > 0).map((clip) => clip.index),
    stagedPath,
  };
}
