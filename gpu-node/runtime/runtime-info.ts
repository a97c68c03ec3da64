/** @file What a runtime is told when it starts, and what it says once the checkpoint is open. */
import type { ModelInfo } from "../../shared/farm/work.js";
import type { CheckpointConfigs } from "../model/configs/components-fit.js";
import type { SessionSettings } from "./session.js";

export interface RuntimeSettings extends SessionSettings {
  /** A diffusers folder. */
  readonly checkpointDir: string;
  /** Which files of it: "auto" takes those without a variant, else the fp16 ones. Default: auto. */
  readonly variant?: "auto" | "fp32" | "fp16";
}

export interface RuntimeInfo {
  readonly model: ModelInfo;
  readonly configs: CheckpointConfigs;
  /** Version of onnxruntime. */
  readonly ortVersion: string;
}
