/** @file Branching: a clip that shares the first steps of an earlier one. */
import { FarmError, type Violation } from "../../shared/core/errors.js";
import type { JobParameters } from "../../shared/farm/parameters.js";
import { clipCountOf, stepCount } from "../../shared/farm/parameters.js";
import type { BranchPoint, StepCheckpoint } from "../../shared/farm/work.js";
import type { BlobRef } from "../../shared/ports/blob-store.js";
import type { Job } from "../plan/job.js";
import { tasksOf } from "../plan/job-machine.js";
import type { JobsLoop } from "./owned-loop.js";

/** What has to be alike for latents of one clip to go on in the other. */
interface Wanted {
  readonly parameters: JobParameters;
  readonly modelDigest: string;
  readonly images: readonly BlobRef[];
}

/** Parameters that shape the latents or the schedule; everything else may differ. */
const ALIKE = ["height", "width", "numFrames"] as const;

/**
 * The latents that a branch begins with.
 *
 * @throws FarmError "invalid-argument" naming everything that does not fit, "not-found" without the clip
 */
export function findBranch(
  farm: JobsLoop["farm"],
  branch: BranchPoint,
  wanted: Wanted,
): StepCheckpoint {
  const job = farm.jobs.get(branch.jobId);
  const clip = job?.clips[branch.clipIndex];
  if (!job || !clip) {
    const detail = `there is no clip ${branch.clipIndex} of job '${branch.jobId}' to branch from`;
    const name = `jobs/${branch.jobId}/clips/${branch.clipIndex}`;
    throw new FarmError("not-found", detail, { thing: { kind: "clip", name } });
  }
  const kept = clip.swept ? [] : tasksOf(farm, clip).flatMap((task) => task.kept);
  const found = kept.find(({ step }) => step === branch.step);
  const violations = misfits(job, wanted);
  if (!found) {
    const steps = kept.map(({ step }) => step).join(", ");
    violations.push({
      field: "options.branch.step",
      description: `step ${branch.step} was not kept; kept are ${steps === "" ? "none" : steps}`,
    });
  }
  if (violations.length > 0 || !found) {
    const lines = violations.map((v) => `${v.field}: ${v.description}`).join("; ");
    throw new FarmError("invalid-argument", lines, { violations });
  }
  return found;
}

function misfits(job: Job, { parameters, modelDigest, images }: Wanted): Violation[] {
  const violations: Violation[] = [];
  const refuse = (field: string, description: string) => violations.push({ field, description });
  if (clipCountOf(parameters, images.length) !== 1) {
    refuse("options.branch", "wants a job of one picture and one clip");
  }
  if (modelDigest !== job.modelDigest) {
    refuse("model_digest", `has to be that of the clip branched from, ${job.modelDigest}`);
  }
  for (const name of ALIKE) {
    if (parameters[name] !== job.parameters[name]) {
      const field = `parameters.${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`;
      refuse(field, `has to be ${job.parameters[name]}, as of the clip branched from`);
    }
  }
  const schedule = (p: JobParameters) => p.sigmas?.join() ?? String(stepCount(p));
  if (schedule(parameters) !== schedule(job.parameters)) {
    refuse(
      "parameters.num_inference_steps",
      "the steps have to be those of the clip branched from",
    );
  }
  return violations;
}
