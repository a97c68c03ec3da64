/** @file How strongly each frame of a clip follows its picture. */
import { assertNever } from "../../shared/core/assert.js";
import type { ClipParameters } from "../../shared/farm/parameters.js";
import { linspaceF32 } from "./linspace.js";

/**
 * The guidance scale of every frame.
 *
 * linear and constant: evenly from the minimum to the maximum, which a constant guidance has equal; a
 * single frame gets the minimum. triangle: from the minimum to the maximum in the middle and back, so
 * that the last frame has the scale of the first. frames: as listed.
 *
 * @returns Float32Array [frames]
 * @source diffusers pipeline_stable_video_diffusion.py, __call__ (8. Prepare guidance scale); the
 *   triangle is ComfyUI's comfy_extras/nodes_video_model.py, VideoTriangleCFGGuidance (period 1)
 */
export function guidanceScales(
  parameters: Pick<
    ClipParameters,
    "minGuidanceScale" | "maxGuidanceScale" | "guidance" | "numFrames"
  >,
): Float32Array {
  const { minGuidanceScale: min, maxGuidanceScale: max, guidance, numFrames } = parameters;
  switch (guidance.kind) {
    case "linear":
    case "constant":
      return linspaceF32(min, max, numFrames);
    case "triangle":
      return linspaceF32(0, 1, numFrames).map((t) => {
        const height = 2 * Math.abs(t - Math.floor(t + 0.5)); // 0 at both ends, 1 in the middle
        return min + height * (max - min);
      });
    case "frames":
      return Float32Array.from(guidance.scales);
    default:
      return assertNever(guidance);
  }
}
