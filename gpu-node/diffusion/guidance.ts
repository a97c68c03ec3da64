/** @file How strongly each frame of a clip follows its picture. */
import { linspaceF32 } from "./linspace.js";

/**
 * The guidance scale of every frame, rising (or falling) evenly from the first to the last.
 *
 * @param min scale of the first frame, finite
 * @param max scale of the last frame, finite; may be below `min`
 * @param frames number of frames, an integer, at least 1; a single frame gets `min`
 * @returns Float32Array [frames]
 * @source diffusers pipeline_stable_video_diffusion.py, __call__ (8. Prepare guidance scale)
 */
export function guidanceRamp(min: number, max: number, frames: number): Float32Array {
  return linspaceF32(min, max, frames);
}
