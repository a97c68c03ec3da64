/**
 * @file The finished files of a job, each fetched beside `--out` and moved there when it is whole:
 * whoever looks at `--out` sees a finished file or none, and a pipe gets a whole file or nothing. What
 * is there already is not fetched again, so the same command goes on where one was interrupted.
 */
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, mkdtemp, rename, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { FarmClient } from "../client/farm-client.js";
import { FarmError } from "../shared/core/errors.js";
import type { ClipView, JobView } from "../shared/farm/job.js";
import type { OutputFormat } from "../shared/farm/parameters.js";
import type { Output } from "../shared/farm/work.js";
import { OutputFailure } from "./failures.js";
import { nearestFolder, STAGING_PREFIX } from "./output-place.js";
import { type OutputPlan, outputPath } from "./output-plan.js";
import { joinParts, renameInSidecar, sha256Of } from "./staged-files.js";

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

export interface Fetching {
  readonly signal: AbortSignal;
  /** Only files of these formats; absent: all. */
  readonly formats?: readonly OutputFormat[];
  /** Hears how many clips are there, with a part for one under way, and how many bytes came for them. */
  readonly onProgress?: (clipsDone: number, bytes: number) => void;
}

/**
 * Fetches and places every output of a job; clips that failed have none.
 *
 * @returns the files at their places; none for stdout, which has got the bytes
 * @throws FarmError "cancelled" after an abort, "blob-corrupt", "unreachable"; OutputFailure when a file
 *   cannot be written; files that were whole by then stay
 */
export async function writeOutputs(
  client: FarmClient,
  job: JobView,
  plan: OutputPlan,
  fetching: Fetching,
): Promise<WrittenFile[]> {
  let staging: string | null = null;
  try {
    staging = await mkdtemp(join(await stagingPlace(plan), STAGING_PREFIX));
    const written = await new Fetcher(client, { job, plan, staging, fetching }).fetchAll();
    return plan.kind === "stdout" ? [] : written;
  } catch (error) {
    if (error instanceof FarmError || !(error instanceof Error && "syscall" in error)) throw error;
    throw new OutputFailure(error.message, { cause: error });
  } finally {
    if (staging !== null) await rm(staging, { recursive: true, force: true });
  }
}

/** In the same file system as the files' final place, so that moving them is one step. */
async function stagingPlace(plan: OutputPlan): Promise<string> {
  if (plan.kind === "stdout") return tmpdir();
  return nearestFolder(plan.kind === "file" ? dirname(plan.path) : plan.path);
}

interface FetcherParts {
  readonly job: JobView;
  readonly plan: OutputPlan;
  /** An empty folder. */
  readonly staging: string;
  readonly fetching: Fetching;
}

class Fetcher {
  readonly #client: FarmClient;
  readonly #parts: FetcherParts;
  readonly #written: WrittenFile[] = [];
  /** Safetensors of the clips, which all become one file. */
  readonly #tensorPaths: string[] = [];
  #bytes = 0;

  constructor(client: FarmClient, parts: FetcherParts) {
    this.#client = client;
    this.#parts = parts;
  }

  async fetchAll(): Promise<WrittenFile[]> {
    const { job, plan, staging } = this.#parts;
    for (const [i, clip] of job.clips.entries()) await this.#fetchClip(clip, i);
    if (this.#tensorPaths.length > 0) {
      const path = outputPath(plan, 0, { format: "safetensors", fileName: "clip.safetensors" });
      const stagedPath = join(staging, "clips.safetensors");
      const whole = await joinParts(this.#tensorPaths, stagedPath);
      const clipIndexes = job.clips
        .filter((clip) => clip.outputCount > 0)
        .map(({ index }) => index);
      await this.#place(stagedPath, { format: "safetensors", path, ...whole, clipIndexes });
    }
    return this.#written;
  }

  /** @param done clips before it */
  async #fetchClip(clip: ClipView, done: number): Promise<void> {
    const { job, fetching } = this.#parts;
    const outputs = (await this.#client.outputsOf(job.jobId, clip)).filter((o) =>
      this.#isWanted(o),
    );
    const total = outputs.reduce((sum, { blob }) => sum + blob.size, 0);
    let here = 0;
    for (const output of outputs) {
      await this.#fetchOne(clip.index, output, (bytes) => {
        here += bytes;
        this.#bytes += bytes;
        fetching.onProgress?.(done + here / total, this.#bytes);
      });
    }
  }

  #isWanted({ format, fileName }: Output): boolean {
    const { plan, fetching } = this.#parts;
    const isAlone = plan.kind !== "stdout" || !fileName.endsWith(".json");
    return isAlone && (fetching.formats?.includes(format) ?? true);
  }

  async #fetchOne(
    clipIndex: number,
    output: Output,
    onBytes: (count: number) => void,
  ): Promise<void> {
    const { plan, staging } = this.#parts;
    const { format, fileName, blob } = output;
    const path = outputPath(plan, clipIndex, output);
    const file = { format, path, sha256: blob.sha256, size: blob.size, clipIndexes: [clipIndex] };
    const isOneOfMany = format === "safetensors";
    if (plan.kind !== "stdout" && !isOneOfMany && (await isThere(file))) {
      onBytes(blob.size);
      this.#written.push(file);
      return;
    }
    const stagedPath = join(staging, `${clipIndex}-${fileName}`);
    const pieces = counted(this.#download(clipIndex, output), onBytes);
    await pipeline(Readable.from(pieces), createWriteStream(stagedPath, { flags: "wx" }));
    if (isOneOfMany) {
      this.#tensorPaths.push(stagedPath);
      return;
    }
    const video = outputPath(plan, clipIndex, { format, fileName: "clip.mp4" });
    const isSidecar = fileName.endsWith(".json");
    const changed = isSidecar ? await renameInSidecar(stagedPath, basename(video)) : {};
    await this.#place(stagedPath, { ...file, ...changed });
  }

  #download(clipIndex: number, output: Output): AsyncIterable<Uint8Array> {
    const { job, fetching } = this.#parts;
    return this.#client.download(job.jobId, clipIndex, output, fetching.signal);
  }

  async #place(stagedPath: string, file: WrittenFile): Promise<void> {
    if (this.#parts.plan.kind === "stdout") await sendToStdout(stagedPath);
    else {
      await mkdir(dirname(file.path), { recursive: true });
      await rename(stagedPath, file.path);
    }
    this.#written.push(file);
  }
}

/** Whether an earlier command has put the very same bytes there. */
async function isThere({ path, size, sha256 }: WrittenFile): Promise<boolean> {
  const stats = await stat(path).catch(() => null);
  if (!stats?.isFile() || stats.size !== size) return false;
  return (await sha256Of(path)) === sha256;
}

async function* counted(
  pieces: AsyncIterable<Uint8Array>,
  onBytes: (count: number) => void,
): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) {
    onBytes(piece.length);
    yield piece;
  }
}

/** Whoever reads it may have had enough before its end. */
async function sendToStdout(path: string): Promise<void> {
  await pipeline(createReadStream(path), process.stdout, { end: false }).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
    },
  );
}
