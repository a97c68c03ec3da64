/** @file `renderfarm run`: a farm on this machine for one job. */
import { randomUUID } from "node:crypto";
import { FarmClient } from "../client/farm-client.js";
import { refuseViolations, type Violation } from "../shared/core/errors.js";
import { JOB_OPTIONS_DEFAULT } from "../shared/farm/job.js";
import { checkGraphs, defaultsOf, openForRequest } from "./check-checkpoint.js";
import { type CheckedFarm, checkFarmFlags, type FarmFlags, hasFfmpegHere } from "./farm-flags.js";
import { startLocalFarm } from "./local-farm.js";
import { drawSeed, type PreparedRequest, prepareRequest } from "./prepare-request.js";
import { showProgress } from "./progress.js";
import type { RenderFlags } from "./render-flags.js";
import { finishJob, reportJob, sendJob } from "./render-job.js";

/** @throws FarmError with every mistake at once, before anything is started */
export async function run(
  images: readonly string[],
  flags: RenderFlags & FarmFlags,
  signal: AbortSignal,
): Promise<void> {
  const { farm, request } = await checkRun(images, flags);
  const progress = showProgress(process.stderr, process.env);
  const nodes = farm.nodeCount === 1 ? "1 node" : `${farm.nodeCount} nodes`;
  progress.note(`starting ${nodes} on this machine with ${farm.checkpoint}`);

  const listen = "127.0.0.1:0";
  const started = await startLocalFarm({ ...farm, listen, onNote: progress.note, signal });
  const client = new FarmClient(started.address);
  const farmEnd = new AbortController();
  try {
    const work = async () => {
      const { jobId } = await sendJob(client, request, {
        modelDigest: "",
        requestId: randomUUID(),
        options: JOB_OPTIONS_DEFAULT,
      });
      const either = AbortSignal.any([signal, farmEnd.signal]);
      return finishJob(client, jobId, request.outputs, { progress, signal: either });
    };
    const finished = await Promise.race([work(), started.broken]);
    reportJob(finished, request.picturePaths, flags.json ?? false);
  } finally {
    farmEnd.abort();
    client.close();
    // Nobody waits for what the nodes still do.
    await started.stop();
  }
}

async function checkRun(
  images: readonly string[],
  flags: RenderFlags & FarmFlags,
): Promise<{ farm: CheckedFarm; request: PreparedRequest }> {
  const violations: Violation[] = [];
  const farm = checkFarmFlags(flags, violations);
  const { checkpoint, variant } = farm;
  const opened = checkpoint === "" ? null : await openForRequest(checkpoint, variant, violations);
  const surroundings = {
    model: opened?.model ?? null,
    hasFfmpeg: await hasFfmpegHere(violations),
    drawnSeed: drawSeed(),
  };
  const request = await prepareRequest(images, flags, surroundings, violations);
  const onProcessor = farm.provider === "cpu";
  if (opened) {
    const parameters = request?.parameters ?? defaultsOf(opened.model);
    checkGraphs(opened, parameters, violations, { onProcessor });
  }
  refuseViolations(violations);
  return { farm, request: request! };
}
