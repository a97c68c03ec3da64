/**
 * @file `renderfarm/engine`: Stable Video Diffusion in this process, without a farm; the parameters
 * are those of diffusers' StableVideoDiffusionPipeline.
 */

export type { RgbPicture } from "../gpu-node/diffusion/rgb-picture.js";
export { FarmError, type FarmErrorCode, type Violation } from "../shared/core/errors.js";
export type { ModelInfo } from "../shared/farm/work.js";
export type { Tensor } from "../shared/tensor/tensor.js";
export type {
  CallOptions,
  CallResult,
  FramesOf,
  OutputType,
  PictureSource,
  StepEnd,
} from "./call-options.js";
export { exportToVideo } from "./export-to-video.js";
export { type PretrainedOptions, StableVideoDiffusion } from "./stable-video-diffusion.js";
