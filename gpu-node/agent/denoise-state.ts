/** @file States, events and effects of one denoise task; `denoise-machine.ts` is what moves them. */
import type { FarmErrorCode } from "../../shared/core/errors.js";
import type { GuidanceHalf, StepCheckpoint, TaskReport } from "../../shared/farm/work.js";
import type { BlobRef } from "../../shared/ports/blob-store.js";
import type { FrameHeader } from "../../shared/ports/tensor-bus.js";
import type { Saves } from "./denoise-saves.js";

/** What is settled before the first step. */
export interface DenoisePlan {
  /** At least 1. */
  readonly stepCount: number;
  /** Two halves a step; else the conditional one only. */
  readonly guided: boolean;
  /** Must be equal in both replicas. */
  readonly planHash: string;
  /** The half that this replica of a pair computes; null when it is alone from the start. */
  readonly ownHalf: GuidanceHalf | null;
  /** Where to begin, in both replicas; null: at the initial noise. */
  readonly resume: StepCheckpoint | null;
}

/** What a frame says that the machine decides by. */
export type FrameFacts = Pick<
  FrameHeader,
  "epoch" | "step" | "half" | "planHash" | "latentsDigest"
>;

/** What the shell is doing for the machine; one thing at a time. */
export type Doing =
  | { readonly kind: "nothing" }
  | { readonly kind: "half"; readonly half: GuidanceHalf }
  | { readonly kind: "apply" };

export type Partnership =
  /** This replica computes every half. From the start, or since "continue-alone". */
  | { readonly kind: "none" }
  | {
      readonly kind: "together";
      /**
       * Digest of the partner's latents after one step more than these: it came with a kept half, or,
       * after the last step, alone. At most one step ahead.
       */
      readonly aheadDigest: string | null;
      /** Why the partner is gone; not reported while its halves at hand still make a step. */
      readonly lostReason: string | null;
    }
  /** "pair-broken" was reported; set by a loss or a deadline, left by the coordinator's word. */
  | { readonly kind: "broken" };

/** Steps are being made. Set at the start. */
export interface Denoising {
  readonly kind: "denoising";
  readonly plan: DenoisePlan;
  /** Fencing number of the grant; only "continue-alone" raises it. */
  readonly epoch: number;
  /**
   * Steps made; also the index of the step that comes next. Once all are made, a replica of a pair
   * waits for the partner's word on the latents.
   */
  readonly step: number;
  /**
   * Digest of the latents after these steps, which go into the next one; null where no partner
   * compares them.
   */
  readonly digest: string | null;
  readonly doing: Doing;
  /** Halves of this step at hand. */
  readonly have: Readonly<Record<GuidanceHalf, boolean>>;
  readonly partnership: Partnership;
  /** The coordinator wants the task back at the next step; set by "yield". */
  readonly yieldAsked: boolean;
  readonly saves: Saves;
  readonly startMs: number;
  readonly stepStartMs: number;
  /** How long this replica's last half took; 0 before the first. */
  readonly halfMs: number;
  /** Duration of every step made here. */
  readonly stepsMs: readonly number[];
}

/** All steps are made and the latents are on their way to the store. Set by the last "applied". */
export interface Storing {
  readonly kind: "storing";
  readonly epoch: number;
  readonly startMs: number;
  readonly stepsMs: readonly number[];
}

/** The latents of `step` are on their way to the store, then the task goes back. Set by "yield". */
export interface Yielding {
  readonly kind: "yielding";
  readonly epoch: number;
  readonly step: number;
  /** What to give back with when the store does not take these latents. */
  readonly kept: StepCheckpoint | null;
}

/** Over. Set by "stored", "saved", "fault", "cancel", or a wait that took too long. */
export interface Ended {
  readonly kind: "ended";
  readonly epoch: number;
  /** What was reported; null after "cancel", which nobody wants to hear of. */
  readonly report: TaskReport | null;
}

export type DenoiseState = Denoising | Storing | Yielding | Ended;

export type DenoiseEvent =
  /** The half of the current step that was asked for is computed. */
  | { readonly kind: "half-done"; readonly half: GuidanceHalf; readonly nowMs: number }
  /** The step is made; `digest` is of the new latents, null where no partner compares them. */
  | { readonly kind: "applied"; readonly digest: string | null; readonly nowMs: number }
  /** The latents of the last step are in the store. */
  | { readonly kind: "stored"; readonly blob: BlobRef; readonly nowMs: number }
  /** The latents of a step on the way are in the store. */
  | { readonly kind: "saved"; readonly checkpoint: StepCheckpoint; readonly nowMs: number }
  /** The store did not take them. */
  | { readonly kind: "save-failed"; readonly step: number }
  /** A sound frame came from the partner. */
  | { readonly kind: "frame"; readonly frame: FrameFacts }
  /** The partner cannot be reached any more. */
  | { readonly kind: "lost"; readonly reason: string }
  /** The deadline that was set last has passed. */
  | { readonly kind: "deadline" }
  /** The coordinator chose this replica to go on without the partner. */
  | { readonly kind: "continue-alone"; readonly newEpoch: number }
  /**
   * The task is wanted back: at the next step boundary, or at once, which drops the step in hand.
   */
  | { readonly kind: "yield"; readonly atOnce: boolean }
  /** The coordinator, or this node, wants the task to end. */
  | { readonly kind: "cancel" }
  /** Something the shell was asked to do failed. */
  | {
      readonly kind: "fault";
      readonly code: FarmErrorCode;
      readonly detail: string;
      /** The blob that could not be read, before the first step; else absent. */
      readonly blobKey?: string | undefined;
    };

/** Why a frame was dropped; a counter each. */
export type DropReason =
  | "not-paired"
  | "epoch"
  | "plan-hash"
  | "half"
  | "step-passed"
  | "step-beyond"
  | "duplicate";

export type DenoiseEffect =
  /** Compute this half from the latents of this step, then say "half-done". */
  | { readonly kind: "run-half"; readonly step: number; readonly half: GuidanceHalf }
  /** Send the half just computed to the partner. */
  | {
      readonly kind: "send-half";
      readonly step: number;
      readonly half: GuidanceHalf;
      readonly epoch: number;
      readonly latentsDigest: string;
    }
  /** Tell the partner which latents the last step made; there is no half that could carry it. */
  | {
      readonly kind: "send-digest";
      readonly step: number;
      readonly half: GuidanceHalf;
      readonly epoch: number;
      readonly latentsDigest: string;
    }
  /** Keep the payload of the frame just taken in under this name. */
  | { readonly kind: "keep-half"; readonly step: number; readonly half: GuidanceHalf }
  /** Forget the frame just taken in, and count it. */
  | { readonly kind: "drop-frame"; readonly reason: DropReason }
  /** Make the step from the halves kept under its number, then say "applied". */
  | { readonly kind: "apply"; readonly step: number }
  /** Put the latents of the last step into the store, then say "stored". */
  | { readonly kind: "store"; readonly epoch: number }
  /**
   * Put the latents as they are now, those after `step` steps, into the store beside whatever else
   * goes on; then say "saved" or "save-failed".
   */
  | { readonly kind: "save"; readonly step: number; readonly epoch: number }
  /** Replaces the deadline that was set before. */
  | { readonly kind: "set-deadline"; readonly ms: number }
  | { readonly kind: "clear-deadline" }
  /** Close the channel to the partner. */
  | { readonly kind: "leave-pair" }
  | { readonly kind: "report"; readonly epoch: number; readonly report: TaskReport };
