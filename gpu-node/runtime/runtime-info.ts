/** @file What a runtime is told when it starts, and what it says once the checkpoint is open. */
import type { ModelInfo } from "../../shared/farm/work.js";
import type { ComputeType } from "../../shared/tensor/tensor.js";
import type { CheckpointConfigs } from "../model/configs/components-fit.js";
import type { DtypeChoice } from "./provider.js";
import type { SessionSettings } from "./session.js";

export interface RuntimeSettings extends SessionSettings {
  /** A diffusers folder. */
  readonly checkpointDir: string;
  /** Which files of it: "auto" takes those without a variant, else the fp16 ones. Default: auto. */
  readonly variant?: "auto" | "fp32" | "fp16";
  /** What the UNet, the decoder and the image encoder compute in. Default: auto. */
  readonly dtype?: DtypeChoice;
  /**
   * Keeps open the sessions of one stage only: when another one begins, those of the last are closed,
   * and loaded again when it is their turn. Less memory, the same bytes. Default: false.
   */
  readonly offload?: boolean;
  /**
   * Frames that the UNet's feed-forward networks compute at a time, as diffusers'
   * `enable_forward_chunking`: less memory, the same bytes on a processor. Default: as the provider
   * likes it.
   */
  readonly forwardChunkSize?: number | null;
  /**
   * Bytes that this process may use. A graph that takes more is refused before it is loaded; where
   * several together take more, those of other stages are closed first. Default: not looked at.
   */
  readonly memoryBytes?: number | null;
}

export interface RuntimeInfo {
  readonly model: ModelInfo;
  readonly configs: CheckpointConfigs;
  /** What was chosen. */
  readonly dtype: ComputeType;
  /** The published checkpoint whose structure the one that is open has, in words; null: its own. */
  readonly structure: string | null;
  /** Hex sha256 of the graphs as they are built here. */
  readonly graphs: string;
  /** Version of onnxruntime. */
  readonly ortVersion: string;
}
