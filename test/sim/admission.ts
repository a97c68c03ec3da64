/** @file What the coordinator does between a request and its job. Mirrors `createJob` of the job service. */
import type { NewJob } from "../../coordinator/plan/job.js";
import { findBranch } from "../../coordinator/rpc/branch.js";
import type { FarmError } from "../../shared/core/errors.js";
import type { StepCheckpoint } from "../../shared/farm/work.js";
import type { BlobRef } from "../../shared/ports/blob-store.js";
import type { SimCoordinator, SimLoop } from "./coordinator.js";
import type { World } from "./world.js";

export interface AdmissionEvents {
  /** Its inputs are there, and those of its branch are its own; to be journalled in this turn. */
  readonly onAdmitted: (job: NewJob) => void;
  /** An input is not there, or not what it was. */
  readonly onInputLost: (ref: BlobRef) => void;
  /** There is nothing to branch from, or nothing any more. */
  readonly onNoBranch: () => void;
}

/** @param branchKey where a copy of the latents branched from is to lie */
export function admit(
  world: World,
  coordinator: SimCoordinator,
  loop: SimLoop,
  job: NewJob,
  branchKey: string,
  events: AdmissionEvents,
): void {
  const kept = job.branch ? branchOf(loop, job) : null;
  if (job.branch && !kept) {
    events.onNoBranch();
    return;
  }
  const release = coordinator.janitor.claim([branchKey, ...job.images.map(({ key }) => key)]);
  if (!release) return;
  const { store } = world;
  /** What comes back to a process that is gone is lost. */
  const back = <T>(answer: (error: FarmError | null, value: T | undefined) => void) => {
    const { process } = coordinator;
    const { generation } = process;
    return (error: FarmError | null, value: T | undefined) => {
      if (process.generation === generation) process.guard(() => answer(error, value))();
    };
  };
  const checkFrom = (index: number): void => {
    const image = job.images[index];
    if (!image) {
      copyBranch();
      return;
    }
    store.get(
      "coordinator",
      image,
      back((error) => {
        if (!error) {
          checkFrom(index + 1);
          return;
        }
        release();
        if (error.code !== "unreachable") events.onInputLost(image);
      }),
    );
  };
  const finish = (branchLatents: BlobRef | null) => {
    events.onAdmitted({ ...job, branchLatents });
    release();
  };
  const copyBranch = () => {
    if (!kept) {
      finish(null);
      return;
    }
    const copied = back<BlobRef>((error, blob) => {
      if (error) release();
      else finish(blob!);
    });
    store.get(
      "coordinator",
      kept.blob,
      back((error, content) => {
        if (!error) {
          store.put("coordinator", branchKey, content!, copied);
          return;
        }
        release();
        if (error.code !== "unreachable") events.onNoBranch();
      }),
    );
  };
  checkFrom(0);
}

/** Null where the job service would refuse. */
function branchOf({ farm }: SimLoop, { branch, ...wanted }: NewJob): StepCheckpoint | null {
  try {
    return findBranch(farm, branch!, wanted);
  } catch {
    return null;
  }
}
