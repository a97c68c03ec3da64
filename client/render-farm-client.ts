/** @file The client that programs use: pictures in, clips out; every step of it on its own as well. */
import { randomUUID } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { RequestedParameters } from "../shared/adapters/grpc/parameters-codec.js";
import { FarmError, refuseViolations } from "../shared/core/errors.js";
import {
  type ClipPreview,
  JOB_OPTIONS_DEFAULT,
  type JobOptions,
  type JobView,
} from "../shared/farm/job.js";
import type { Seeds } from "../shared/farm/parameters.js";
import type { Entry } from "./entry.js";
import { FarmClient } from "./farm-client.js";

/** Where `renderfarm dev` listens, and where clients look when nothing else is said. */
export const DEFAULT_ADDRESS = "127.0.0.1:7433";

/** The path of a png, jpeg or webp file, or such a file's bytes. */
export type PictureFile = string | URL | Uint8Array;

/** What a job is made from; whatever is absent takes the farm's or the checkpoint's default. */
export interface JobRequest
  extends Omit<RequestedParameters, "seeds" | "latents">,
    Partial<JobOptions> {
  /** One picture or several, `numVideosPerPrompt` clips each. */
  readonly images: PictureFile | readonly PictureFile[];
  /** One for the whole batch, or one a clip. */
  readonly seeds?: number | bigint | readonly (number | bigint)[];
  /** A safetensors file of initial noise [clips, frames, C, h, w]. */
  readonly latents?: PictureFile;
  /** Digest of the checkpoint; absent where the farm serves only one. */
  readonly modelDigest?: string;
  /** The same id never makes a second job; absent: a new one. At most 36 ASCII characters. */
  readonly requestId?: string;
  /** W3C Trace Context of your own span: the job's becomes its child, where the farm traces. */
  readonly traceparent?: string;
  readonly signal?: AbortSignal;
}

export interface RenderRequest extends JobRequest {
  /** Hears of every change of the job. */
  readonly onProgress?: (job: JobView) => void;
  /** Shows what clips look like on their way; the job then asks for it. */
  readonly onPreview?: (preview: ClipPreview) => void;
}

/**
 * One connection to a farm. Every method throws FarmError and nothing else, and takes an AbortSignal;
 * an abort ends the waiting, never the job.
 */
export class RenderFarmClient extends FarmClient {
  /**
   * @param address host:port; the connection is made with the first call
   * @param entry the farm's roots and a key; null: a farm on this machine, which asks for nothing
   */
  constructor(address: string = DEFAULT_ADDRESS, entry: Entry | null = null) {
    super(address, entry);
  }

  /**
   * Uploads the inputs and creates a job; answers as soon as the farm has taken it.
   *
   * @throws FarmError "invalid-argument" with every mistake at once, "exhausted" when the farm is full
   */
  async submit(request: JobRequest): Promise<JobView> {
    const { images, seeds, latents, modelDigest = "", requestId, ...others } = request;
    const { traceparent, signal, ...rest } = others;
    const { onProgress: _p, onPreview, ...named } = rest as Partial<RenderRequest>;
    const given = onPreview ? { preview: true, ...named } : named;
    const { options, parameters } = splitRequest(given);
    const files = Array.isArray(images) ? images : [images];
    const uploaded = [];
    for (const file of files) uploaded.push(await this.upload(await bytesOf(file), signal));
    const noise =
      latents === undefined ? undefined : await this.upload(await bytesOf(latents), signal);
    return this.createJob(
      {
        images: uploaded,
        parameters: {
          ...parameters,
          ...(seeds === undefined ? {} : { seeds: readSeeds(seeds) }),
          ...(noise === undefined ? {} : { latents: noise }),
        },
        modelDigest,
        requestId: requestId ?? randomUUID(),
        options,
      },
      signal,
      traceparent,
    );
  }

  /**
   * Creates a job and waits for its end.
   *
   * @returns the job, whose every clip is finished
   * @throws FarmError the failure of the job's first failed clip; "cancelled" when the job was
   *   cancelled, or the waiting aborted
   */
  async render(request: RenderRequest): Promise<JobView> {
    const { jobId } = await this.submit(request);
    return this.waitFor(jobId, request);
  }

  /** Waits for the end of a job; throws as `render` does. */
  async waitFor(
    jobId: string,
    {
      signal,
      onProgress,
      onPreview,
    }: Pick<RenderRequest, "signal" | "onProgress" | "onPreview"> = {},
  ): Promise<JobView> {
    let last: JobView | null = null;
    for await (const job of this.watchJob(jobId, signal, onPreview)) {
      onProgress?.(job);
      last = job;
    }
    if (last?.state === "succeeded") return last;
    const failed = last?.clips.find((clip) => clip.error !== null);
    if (!failed) throw new FarmError("cancelled", `job ${jobId} was cancelled`);
    const { code, detail } = failed.error!;
    throw new FarmError(code, `job ${jobId} ${last?.state}; clip ${failed.index}: ${detail}`);
  }

  /** Every job, the newest first, fetched page by page. */
  async *jobs(
    filter: {
      readonly states?: readonly JobView["state"][];
      /** "shot=12a,team": jobs with all of these labels. */
      readonly labelSelector?: string;
      readonly signal?: AbortSignal;
    } = {},
  ): AsyncGenerator<JobView> {
    const { states = [], labelSelector = "", signal } = filter;
    let token = "";
    do {
      const page = await this.listJobs({ token, states, labelSelector }, signal);
      yield* page.jobs;
      token = page.nextToken;
    } while (token !== "");
  }

  /**
   * Writes the finished files of a job into a folder, made if missing: "clip-001/clip.mp4" and so on.
   * Each is moved to its place when it is whole.
   *
   * @returns the paths, in the order of clips and formats
   */
  async save(job: JobView, folder: string, signal?: AbortSignal): Promise<string[]> {
    const paths: string[] = [];
    for (const clip of job.clips) {
      const place = join(folder, `clip-${String(clip.index + 1).padStart(3, "0")}`);
      await mkdir(place, { recursive: true });
      for (const output of await this.outputsOf(job.jobId, clip, signal)) {
        const path = join(place, output.fileName);
        const part = `${path}.part`;
        try {
          const bytes = this.download(job.jobId, clip.index, output, signal);
          await pipeline(Readable.from(bytes), createWriteStream(part));
          await rename(part, path);
        } finally {
          await rm(part, { force: true });
        }
        paths.push(path);
      }
    }
    return paths;
  }
}

/** When and in what order a job runs, apart from what it is made of. */
function splitRequest(given: Omit<JobRequest, "images" | "seeds" | "latents">): {
  readonly options: JobOptions;
  readonly parameters: RequestedParameters;
} {
  const { owner, priority, startAfterMs, deadlineMs, dependsOn, ...more } = given;
  const { branch, preview, labels, ...parameters } = more;
  const fallback = JOB_OPTIONS_DEFAULT;
  return {
    options: {
      owner: owner ?? fallback.owner,
      priority: priority ?? fallback.priority,
      startAfterMs: startAfterMs ?? fallback.startAfterMs,
      deadlineMs: deadlineMs ?? fallback.deadlineMs,
      dependsOn: dependsOn ?? fallback.dependsOn,
      branch: branch ?? fallback.branch,
      preview: preview ?? fallback.preview,
      labels: labels ?? fallback.labels,
    },
    parameters,
  };
}

function readSeeds(seeds: NonNullable<JobRequest["seeds"]>): Seeds {
  return [seeds].flat().map((seed) => {
    const isWhole = typeof seed === "bigint" || Number.isSafeInteger(seed);
    if (!isWhole || seed < 0) {
      const description = `${seed} is no whole number of at least 0`;
      refuseViolations([{ field: "seeds", description }]);
    }
    return BigInt(seed);
  });
}

async function bytesOf(file: PictureFile): Promise<Uint8Array> {
  if (file instanceof Uint8Array) return file;
  return readFile(file).catch((error: NodeJS.ErrnoException) => {
    const description = `'${String(file)}' cannot be read (${error.code})`;
    throw new FarmError("invalid-argument", description, {
      violations: [{ field: "images", description }],
    });
  });
}
