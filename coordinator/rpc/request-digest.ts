/**
 * @file Whether a request is the one that came before under the same id.
 *
 * @source AIP-155: the answer to a repeated id is the first one's, and another body under it a mistake
 */
import { createHash } from "node:crypto";
import type { NewJobRequest } from "../../shared/adapters/grpc/job-codec.js";
import { refuseField } from "../../shared/adapters/grpc/wire-checks.js";
import { stringifyJson } from "../../shared/core/json-text.js";
import type { RawParameters } from "../../shared/farm/validate-request.js";
import type { Job } from "../plan/job.js";

/**
 * What a job is made from, in 64 hex digits: pictures and latents by their bytes, wherever they were
 * uploaded to, the parameters as they were sent, and the checkpoint. When and in what order it runs is
 * left out: whoever says "in two hours" again says another time.
 */
export function requestDigest(request: NewJobRequest<RawParameters>): string {
  const { images, parameters, modelDigest } = request;
  const what = { images, parameters, modelDigest };
  const text = stringifyJson(what).replace(/"key": "[^"]*",?/g, "");
  return createHash("sha256").update(text).digest("hex");
}

/** @throws FarmError "invalid-argument" when the id was another request's; its job's id is named */
export function refuseOtherRequest(job: Job | undefined, digest: string): void {
  // Jobs of earlier versions have none.
  if (!job || job.requestDigest === "" || job.requestDigest === digest) return;
  const what = `made job ${job.jobId} of other pictures, parameters or another checkpoint`;
  refuseField("request_id", `${what}; take a new id for a new job`);
}
