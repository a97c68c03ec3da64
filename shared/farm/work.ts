/** @file Tasks as the coordinator grants them and nodes carry them out; the wire forms are in proto/. */
import type { FarmErrorCode } from "../core/errors.js";
import type { BlobRef } from "../ports/blob-store.js";
import type { ClipParameters, NoisePlan, OutputFormat, StepRule } from "./parameters.js";

export type Stage = "condition" | "denoise" | "decode" | "mux";

export const NODE_PREFERENCES = ["any", "denoise", "decode"] as const;
/** The work that a node takes first when several kinds wait; it does everything all the same. */
export type NodePreference = (typeof NODE_PREFERENCES)[number];

/** What a request has to know of a checkpoint, from its config files. */
export interface ModelInfo {
  /** Hex sha256 over every file used: equal digests, equal weights. */
  readonly digest: string;
  /** Folder name, for people. */
  readonly name: string;
  /** unet.num_frames. */
  readonly numFrames: number;
  /** unet.sample_size in latent cells; null where the config has none. */
  readonly sampleSize: number | null;
  /** Pixels per latent cell. */
  readonly vaeScaleFactor: number;
  readonly latentChannels: number;
  readonly numTrainTimesteps: number;
  /** How many steps its scheduler makes of those asked for. */
  readonly stepRule: StepRule;
}

/** Picture -> CLIP embedding, image latents and initial noise, in one blob. */
export interface ConditionWork {
  readonly stage: "condition";
  readonly parameters: ClipParameters;
  readonly noise: NoisePlan;
  readonly image: BlobRef;
  /** Whether the denoising will want the colours of previews. */
  readonly preview: boolean;
}

export type GuidanceHalf = "uncond" | "cond";

/** The other replica of a pair and how to reach its tensor bus. */
export interface Partner {
  readonly nodeId: string;
  /** host:port. */
  readonly busAddress: string;
  /** Secret of that bus, made anew at each start of the node. */
  readonly busToken: string;
}

/** Latents on their way, in the store: from here any node can go on. */
export interface StepCheckpoint {
  /** Steps made; the index of the step that comes next. */
  readonly step: number;
  /** safetensors "latents" [F, C, h, w]. */
  readonly blob: BlobRef;
}

/** A step of an earlier clip from which a clip goes on with other parameters. */
export interface BranchPoint {
  readonly jobId: string;
  readonly clipIndex: number;
  /** Steps shared with that clip. */
  readonly step: number;
}

/** Noise -> latents by Euler steps. */
export interface DenoiseWork {
  readonly stage: "denoise";
  readonly parameters: ClipParameters;
  readonly conditioning: BlobRef;
  /** Where to begin; null: at the initial noise. */
  readonly resume: StepCheckpoint | null;
  /** Null: this node computes both halves. */
  readonly pair: { readonly half: GuidanceHalf; readonly partner: Partner } | null;
  /** Whether to send a preview every few steps. */
  readonly preview: boolean;
}

/** Frames [firstFrame, firstFrame + frameCount) of finished latents -> pictures. */
export interface DecodeWork {
  readonly stage: "decode";
  readonly parameters: ClipParameters;
  readonly latents: BlobRef;
  readonly firstFrame: number;
  readonly frameCount: number;
  /** float32 frames instead of 8-bit ones, for a safetensors output. */
  readonly keepFloat: boolean;
}

/** All chunks of one clip, in frame order -> files. */
export interface MuxWork {
  readonly stage: "mux";
  readonly parameters: ClipParameters;
  readonly chunks: readonly BlobRef[];
  readonly latents: BlobRef;
  readonly formats: readonly OutputFormat[];
  readonly noise: NoisePlan;
  readonly modelDigest: string;
  readonly modelName: string;
  /** The earlier clip whose steps this one shares. */
  readonly branch: BranchPoint | null;
}

export type Work = ConditionWork | DenoiseWork | DecodeWork | MuxWork;

export interface TaskAssignment {
  readonly taskId: string;
  readonly jobId: string;
  /** "<job>-<clip index>": safe in keys and subjects. */
  readonly clipId: string;
  /** Fencing number: grows with every grant of the task; anything carrying an older one is void. */
  readonly epoch: number;
  /** From 1. */
  readonly attempt: number;
  readonly work: Work;
  /** W3C Trace Context of the job's span, under which the task's stands. */
  readonly traceparent: string;
}

/** One finished file of a clip. */
export interface Output {
  readonly format: OutputFormat;
  /** Relative to the clip: "clip.mp4", "frame-001.png", "clip.json" (the sidecar of an mp4). */
  readonly fileName: string;
  readonly blob: BlobRef;
}

export interface TaskResult {
  /** condition: conditioning; denoise: latents; decode: one chunk; mux: null. */
  readonly blob: BlobRef | null;
  /** mux: the finished files, else []. */
  readonly outputs: readonly Output[];
  /** Seconds from the start of the work to the end of its storing. */
  readonly seconds: number;
  /** denoise: median seconds of one step, else 0. */
  readonly secondsPerStep: number;
}

/** What a node's time in one grant of a denoise task went into, up to its last step; in seconds. */
export interface DenoiseTime {
  /** Steps made in this grant. */
  readonly steps: number;
  /** Computing halves. */
  readonly computeSeconds: number;
  /** From its own half to the partner's; 0 alone. */
  readonly exchangeSeconds: number;
  /** Guidance and Euler step. */
  readonly combineSeconds: number;
  /** Putting latents on their way into the store, beside the computing. */
  readonly saveSeconds: number;
}

/** What a node says of a task it was granted. */
export type TaskReport =
  | {
      readonly kind: "progress";
      readonly stepsDone: number;
      readonly secondsPerStep: number;
      /** Absent: the node does not say. */
      readonly spent?: DenoiseTime;
    }
  | { readonly kind: "finished"; readonly result: TaskResult }
  | {
      readonly kind: "failed";
      readonly code: FarmErrorCode;
      readonly detail: string;
      /** The blob that is missing or not what it should be, where that is the failure; else absent. */
      readonly blobKey?: string | undefined;
    }
  /** Latents of a step are in the store; work goes on. */
  | { readonly kind: "checkpointed"; readonly checkpoint: StepCheckpoint }
  /** All is computed and the result is on its way to the store: the accelerator is free. */
  | { readonly kind: "ending" }
  /** Stopped at a step boundary as asked; null: before the first step. */
  | { readonly kind: "yielded"; readonly checkpoint: StepCheckpoint | null }
  /** The partner is lost; this replica holds the latents of `step` and waits for a new epoch. */
  | { readonly kind: "pair-broken"; readonly step: number; readonly reason: string };
