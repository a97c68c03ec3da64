/** @file A new job: its request checked against the farm as it is, its inputs looked at, then made. */
import { randomBytes } from "node:crypto";
import type { Logger } from "pino";
import type * as wire from "../../proto/gen/renderfarm/v1/job_service.js";
import { encodeDryRun } from "../../shared/adapters/grpc/dry-run-codec.js";
import {
  decodeCreateJob,
  encodeJob,
  type NewJobRequest,
} from "../../shared/adapters/grpc/job-codec.js";
import {
  type Bound,
  FarmError,
  gathered,
  refusal,
  refuseViolations,
  type Violation,
} from "../../shared/core/errors.js";
import { idFromBytes } from "../../shared/core/ids.js";
import { traceOfJob } from "../../shared/core/trace-context.js";
import type { JobOptions } from "../../shared/farm/job.js";
import { clipCountOf, type JobParameters, stepsMade } from "../../shared/farm/parameters.js";
import { type RawParameters, resolveParameters } from "../../shared/farm/validate-request.js";
import type { ModelInfo } from "../../shared/farm/work.js";
import type { BlobStore } from "../../shared/ports/blob-store.js";
import { type Caller, ownerSeenBy, senderOf } from "../access/caller.js";
import type { Quotas } from "../access/quotas.js";
import { planDryRun } from "../plan/dry-run.js";
import { OPEN_JOBS_MAX, OPEN_TASKS_MAX } from "../plan/limits.js";
import type { Node } from "../plan/node.js";
import { tasksPerClip } from "../plan/task-graph.js";
import type { FarmLoop } from "../shell/farm-loop.js";
import type { Janitor } from "../shell/janitor.js";
import { findBranch } from "./branch.js";
import type { CallContext } from "./call-context.js";
import { checkInputs } from "./check-inputs.js";
import { newInputKey } from "./inputs.js";
import { findJob, unknownJobs } from "./job-verbs.js";
import { loopSeenBy } from "./owned-loop.js";
import { refuseOtherRequest, requestDigest } from "./request-digest.js";
import { optionsOf, queuedJobsOf, scopedRequestId } from "./sender.js";

/** What a new job needs of the farm. */
export interface JobParts {
  readonly loop: FarmLoop;
  readonly blobs: BlobStore;
  readonly janitor: Janitor;
  /** Null on a farm without keys. */
  readonly quotas: Quotas | null;
  readonly log: Logger;
}

/** @throws FarmError "invalid-argument" with every violation, "exhausted", "unreachable", "not-found" */
export async function createJob(
  { loop, blobs, janitor, quotas, log }: JobParts,
  request: wire.CreateJobRequest,
  caller: Caller,
  { requestId: callId, traceparent }: CallContext,
): Promise<wire.CreateJobResponse> {
  const sender = senderOf(caller);
  if (sender !== null) quotas?.takeSubmit(sender);
  const violations: Violation[] = [];
  const decoded = decodeCreateJob(request, violations);
  const { images } = decoded;
  const options = optionsOf(decoded.options, request.options?.owner ?? "", sender);
  const requestId = scopedRequestId(decoded.requestId, sender);
  const seen = loopSeenBy(loop, ownerSeenBy(caller));
  const digest = requestId === "" ? "" : requestDigest(decoded);
  const accepted = (jobId: string) => {
    refuseOtherRequest(loop.farm.jobs.get(jobId), digest);
    return { job: encodeJob(findJob(loop, jobId)), dryRun: undefined };
  };
  const known = loop.farm.jobIdByRequestId.get(requestId);
  const isRepeated = violations.length === 0 && requestId !== "";
  if (isRepeated && known !== undefined) return accepted(known);
  if (sender !== null) quotas?.refuseFull(sender, queuedJobsOf(loop, sender));
  const runningJobsMax = sender === null ? null : (quotas?.runningJobsMax(sender) ?? null);
  violations.push(...lateness(options, loop.nowMs()), ...unknownJobs(seen, options.dependsOn));
  const { model, parameters } = checkWork(loop, decoded, violations);
  refuseFull(loop, clipCountOf(parameters, images.length) * tasksPerClip(parameters));
  const kept = options.branch
    ? findBranch(seen.farm, options.branch, { parameters, modelDigest: model.digest, images })
    : null;
  const stepsTotal = stepsMade(parameters, model);
  if (request.validateOnly) {
    const { digest: modelDigest } = model;
    const wanted = {
      ...{ modelDigest, parameters, stepsTotal, imageCount: images.length, options },
      runningJobsMax,
    };
    const dryRun = planDryRun(loop.farm, wanted, loop.nowMs());
    return { job: undefined, dryRun: encodeDryRun(dryRun, parameters) };
  }
  const jobId = idFromBytes(randomBytes(16));
  const inputs = [...images, ...(parameters.latents ? [parameters.latents] : [])];
  const branchKey = newInputKey(sender);
  const release = janitor.claim([branchKey, ...inputs.map(({ key }) => key)]);
  try {
    await checkInputs(blobs, { images, latents: parameters.latents }, ownerSeenBy(caller));
    // The other job may be swept or deleted while this one waits.
    const branchLatents = kept && (await blobs.put(branchKey, blobs.read(kept.blob)));
    await loop.dispatch({
      kind: "job-created",
      job: {
        ...{ jobId, parameters, images, requestId, branchLatents },
        requestDigest: digest,
        modelDigest: model.digest,
        modelName: model.name,
        stepsTotal,
        quotaBound: runningJobsMax !== null,
        traceparent,
        ...options,
      },
    });
  } finally {
    release();
  }
  // Another call with the same request id may have come first.
  const takenId = loop.farm.jobIdByRequestId.get(requestId) ?? jobId;
  const { traceId } = traceOfJob(jobId, traceparent);
  const ids = { job_id: jobId, trace_id: traceId, request_id: callId };
  if (takenId === jobId) log.info(ids, "job taken in");
  return accepted(takenId);
}

/**
 * What is to be made, and with which checkpoint.
 *
 * @throws FarmError "invalid-argument" with these violations and every further one, "unreachable"
 */
function checkWork(
  { farm }: FarmLoop,
  { images, parameters: raw, modelDigest }: NewJobRequest<RawParameters>,
  violations: Violation[],
): { model: ModelInfo; parameters: JobParameters } {
  const nodes = [...farm.nodes.values()];
  const model = gathered<ModelInfo | null>(violations, () => chooseModel(nodes, modelDigest), null);
  if (model === null) throw refusal(violations);
  const resolved = resolveParameters(raw, {
    model,
    imageCount: images.length,
    drawnSeed: randomBytes(6).readUIntBE(0, 6),
    hasFfmpeg: nodes.some((node) => node.info.hasFfmpeg),
    spell: (field) => (field === "images" ? field : `parameters.${field}`),
  });
  if (!("parameters" in resolved)) throw refusal([...violations, ...resolved.violations]);
  refuseViolations(violations);
  return { model, parameters: resolved.parameters };
}

/** A job that could only expire is not taken. */
function lateness({ deadlineMs, startAfterMs }: JobOptions, nowMs: number): Violation[] {
  if (deadlineMs === null || deadlineMs > Math.max(nowMs, startAfterMs ?? 0)) return [];
  const bound = deadlineMs <= nowMs ? "has passed" : "is not after start_after_time";
  const description = `${new Date(deadlineMs).toISOString()} ${bound}; leave it out, or name a later one`;
  return [{ field: "options.deadline_time", description }];
}

/** A job has to end first, and jobs take a while. */
const FARM_FULL: Bound = { subject: "farm", retryAfterMs: 10_000 };

/** @throws FarmError "exhausted" with what there is, and the most that the farm takes */
function refuseFull({ farm }: FarmLoop, taskCount: number): void {
  const { openJobCount, openTaskCount } = farm;
  if (openJobCount >= OPEN_JOBS_MAX) {
    const detail = `the farm has ${openJobCount} jobs that have not ended, the most it takes`;
    throw new FarmError("exhausted", `${detail}; try again later`, { bound: FARM_FULL });
  }
  if (openTaskCount + taskCount > OPEN_TASKS_MAX) {
    const detail =
      `the farm's jobs have ${openTaskCount} tasks and this one would add ${taskCount}; the farm ` +
      `takes ${OPEN_TASKS_MAX} (3 a clip, and one for each decode chunk)`;
    const way = "send fewer clips, or try again later";
    throw new FarmError("exhausted", `${detail}; ${way}`, { bound: FARM_FULL });
  }
}

/** The checkpoint asked for, or the only one that the connected nodes serve. */
function chooseModel(nodes: readonly Node[], digest: string): ModelInfo {
  const models = new Map(nodes.map(({ info }) => [info.model.digest, info.model]));
  if (models.size === 0) {
    throw new FarmError(
      "unreachable",
      "no node is connected, so no checkpoint is known; try again",
    );
  }
  const chosen = digest === "" && models.size === 1 ? [...models.values()][0] : models.get(digest);
  if (chosen) return chosen;
  const served = [...models.values()].map((m) => `${m.name} (${m.digest})`).join(", ");
  const description =
    digest === ""
      ? `the farm serves several checkpoints, choose one: ${served}`
      : `'${digest.slice(0, 64)}' is served by no connected node; served are ${served}`;
  const violations = [{ field: "model_digest", description }];
  throw new FarmError("invalid-argument", `model_digest: ${description}`, { violations });
}
