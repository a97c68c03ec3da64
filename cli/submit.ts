/** @file `renderfarm submit`: a job for a farm that is up. */
import { createHash, randomUUID } from "node:crypto";
import { tmpdir } from "node:os";
import type { FarmView } from "../client/farm-view.js";
import { FarmError, refuseViolations, type Violation } from "../shared/core/errors.js";
import { REQUEST_ID_LENGTH_MAX, REQUEST_ID_PATTERN } from "../shared/farm/job.js";
import type { ModelInfo } from "../shared/farm/work.js";
import { type ConnectionFlags, connect, withWayOut } from "./connection.js";
import { detached } from "./detached.js";
import { printDryRun } from "./dry-run.js";
import { WaitTimeout, withFilesElsewhere } from "./failures.js";
import { type JobOptionFlags, readJobOptions } from "./job-options.js";
import { drawSeed, prepareRequest } from "./prepare-request.js";
import { showProgress } from "./progress.js";
import type { RenderFlags } from "./render-flags.js";
import { finishJob, reportJob, sendJob } from "./render-job.js";
import { type WaitFlags, waitLimit } from "./wait-limit.js";

/** Stands for a picture that is not sent: a dry run only counts them. */
const NO_PICTURE = { key: "v1/none", sha256: "0".repeat(64), size: 0 };

export interface SubmitFlags extends RenderFlags, ConnectionFlags, JobOptionFlags, WaitFlags {
  readonly model?: string;
  readonly detach?: boolean;
  readonly dryRun?: boolean;
  readonly requestId?: string;
}

/** @throws FarmError "unreachable" without a farm; with every mistake at once, before anything is sent */
export async function submit(
  images: readonly string[],
  flags: SubmitFlags,
  signal: AbortSignal,
): Promise<void> {
  const client = connect(flags);
  try {
    const violations: Violation[] = [];
    const farm = await client.getFarm().catch((error: unknown) => {
      throw withWayOut(error);
    });
    const model = chooseModel(farm, flags.model, violations);
    // Whether the farm can write mp4 is its own to say, when it is asked.
    const requestId = readRequestId(flags.requestId, violations);
    const drawnSeed = requestId === undefined ? drawSeed() : seedOf(requestId);
    const surroundings = { model, hasFfmpeg: true, drawnSeed };
    // What writes nothing needs no place; that of another command is not asked for.
    const out = flags.detach || flags.dryRun ? (flags.out ?? tmpdir()) : flags.out;
    const given = out === undefined ? flags : { ...flags, out };
    const options = readJobOptions(flags, Date.now(), violations);
    const limit = waitLimit(flags, violations);
    const request = await prepareRequest(images, given, surroundings, violations);
    refuseViolations(violations);

    if (flags.dryRun) {
      const place = { modelDigest: model!.digest, requestId: "", options };
      const images = request!.picturePaths.map(() => NO_PICTURE);
      printDryRun(
        await client.dryRun({ images, parameters: request!.parameters, ...place }),
        flags,
      );
      return;
    }
    const place = { modelDigest: model!.digest, requestId: requestId ?? randomUUID(), options };
    const { jobId } = await sendJob(client, request!, place);
    if (flags.detach) {
      process.stdout.write(`${jobId}\n`);
      return;
    }
    const progress = showProgress(process.stderr, process.env);
    const finished = await finishJob(client, jobId, request!.outputs, {
      progress,
      signal: AbortSignal.any([signal, limit]),
    }).catch((error: unknown) => {
      if (signal.aborted) throw new FarmError("cancelled", detached(jobId, flags));
      if (limit.aborted) throw new WaitTimeout("deadline", detached(jobId, flags));
      throw withFilesElsewhere(error, jobId);
    });
    reportJob(finished, request!.picturePaths, flags.json ?? false);
  } finally {
    client.close();
  }
}

/** @param violations gets an id that is none */
function readRequestId(text: string | undefined, violations: Violation[]): string | undefined {
  if (text === undefined || REQUEST_ID_PATTERN.test(text)) return text;
  const description = `'${text.slice(0, 60)}' is not 1 to ${REQUEST_ID_LENGTH_MAX} printable ASCII characters without spaces`;
  violations.push({ field: "--request-id", description });
  return undefined;
}

/** The same command under the same id is the same request, also where it names no seed. */
function seedOf(requestId: string): number {
  return createHash("sha256").update(requestId).digest().readUIntBE(0, 6);
}

/** The checkpoint asked for by name or digest, or the only one. */
function chooseModel(
  { models }: FarmView,
  wanted: string | undefined,
  violations: Violation[],
): ModelInfo | null {
  if (models.length === 0) {
    throw new FarmError("unreachable", "the farm has no node that is connected; try again later");
  }
  const fitting = models.filter(
    ({ name, digest }) => wanted === undefined || name === wanted || digest.startsWith(wanted),
  );
  if (fitting.length === 1) return fitting[0]!;
  const served = models.map(({ name, digest }) => `${name} (${digest.slice(0, 12)})`).join(", ");
  const description =
    wanted === undefined
      ? `is missing, the farm serves ${served}; choose one`
      : `'${wanted}' names ${fitting.length} of the farm's checkpoints: ${served}; name one, or its digest`;
  violations.push({ field: "--model", description });
  return null;
}
