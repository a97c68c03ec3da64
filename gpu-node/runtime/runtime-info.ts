/** @file What a runtime is told when it starts, and what it says once the checkpoint is open. */
import type { ModelInfo } from "../../shared/farm/work.js";
import type { CheckpointConfigs } from "../model/configs/components-fit.js";
import type { SessionSettings } from "./session.js";

export interface RuntimeSettings extends SessionSettings {
  /** A diffusers folder. */
  readonly checkpointDir: string;
}

export interface RuntimeInfo {
  readonly model: ModelInfo;
  readonly configs: CheckpointConfigs;
  /** Version of onnxruntime. */
  readonly ortVersion: string;
}
