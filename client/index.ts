/** @file `renderfarm`: a client of a farm for programs. */
export { FarmError, type FarmErrorCode, type Violation } from "../shared/core/errors.js";
export type {
  ClipPreview,
  ClipView,
  DryRunView,
  JobOptions,
  JobState,
  JobView,
  StageView,
} from "../shared/farm/job.js";
export type { ClipParameters, JobParameters, OutputFormat } from "../shared/farm/parameters.js";
export type { ModelInfo, Output } from "../shared/farm/work.js";
export type { OutputLink } from "./farm-client.js";
export type { FarmView, NodeView } from "./farm-view.js";
export {
  type JobRequest,
  type PictureFile,
  RenderFarmClient,
  type RenderRequest,
} from "./render-farm-client.js";
