/** @file A job and its clips as the coordinator keeps them; the tasks lie beside, by id. */
import type { JobOptions, JobState } from "../../shared/farm/job.js";
import type { JobParameters } from "../../shared/farm/parameters.js";
import type { Output, Stage } from "../../shared/farm/work.js";
import type { BlobRef } from "../../shared/ports/blob-store.js";
import type { TaskFailure } from "./task.js";

export interface Clip {
  readonly index: number;
  readonly imageIndex: number;
  readonly state: JobState;
  /** In the order condition, denoise, decode chunks, mux. */
  readonly taskIds: readonly string[];
  readonly outputs: readonly Output[];
  readonly failure: TaskFailure | null;
  /** 1, and one more each time something of it is done again; a manifest belongs to one run. */
  readonly run: number;
  /** What its tasks left in the store is gone, its finished files apart. */
  readonly swept: boolean;
  /** Results of this run that were made again, since they could not be read. */
  readonly remakes: number;
}

/** A job as CreateJob accepted it. */
export interface NewJob extends JobOptions {
  readonly jobId: string;
  readonly parameters: JobParameters;
  readonly images: readonly BlobRef[];
  readonly modelDigest: string;
  readonly modelName: string;
  /** Client's idempotency key, or "". */
  readonly requestId: string;
  /** Of what came with that id; "" without one. */
  readonly requestDigest: string;
  /** Denoising steps of each clip, as the checkpoint's scheduler makes them. */
  readonly stepsTotal: number;
  /** Copy of the latents that `branch` names, which this job owns; null without a branch. */
  readonly branchLatents: BlobRef | null;
  /** Its owner may have only so many jobs worked on at a time; absent: as many as come. */
  readonly quotaBound?: boolean;
  /** W3C Trace Context of the client's span under which the job's stands; null: under none. */
  readonly traceparent: string | null;
}

export interface Job extends NewJob {
  readonly state: JobState;
  /** By an operator's or its owner's word; nothing new of it starts. */
  readonly paused: boolean;
  /** Its time has come. */
  readonly due: boolean;
  /** It is one of the jobs that its owner may have worked on; always, where there is no bound. */
  readonly admitted: boolean;
  /** Those of `dependsOn` that have not succeeded yet. */
  readonly waitsFor: readonly string[];
  /** 1, and one more each time it was retried after its end. */
  readonly run: number;
  /**
   * Nodes on which its tasks failed since one of that stage was done; too many: the job is
   * quarantined, and its next run begins with none.
   */
  readonly failedOn: readonly { readonly stage: Stage; readonly nodeId: string }[];
  /** All of its clips are swept. */
  readonly swept: boolean;
  readonly clips: readonly Clip[];
  readonly createdAtMs: number;
  readonly startedAtMs: number | null;
  readonly endedAtMs: number | null;
}

/** Whether nothing new of a job may start, whatever its tasks are ready for. */
export function isHeld(job: Job): boolean {
  return !job.admitted || isHeldByItself(job);
}

/** Whether it would wait however many jobs its owner may have worked on. */
export function isHeldByItself(job: Job): boolean {
  return job.paused || !job.due || job.waitsFor.length > 0;
}
