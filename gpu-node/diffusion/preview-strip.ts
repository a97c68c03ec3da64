/** @file What a clip will look like, as far as the step that was made can tell: some frames in a row. */
import type { Tensor } from "../../shared/tensor/tensor.js";
import { type RgbPicture, rgbPicture } from "./rgb-picture.js";

/** Frames side by side, at most; the first and the last are among them. */
const FRAMES_MAX = 8;
/** Pixels across one frame, at most. */
const FRAME_WIDTH_MAX = 128;
/** Previews of a clip, about. */
const PREVIEWS_PER_CLIP = 8;

export interface MadeStep {
  /** [F, C, h, w] before and after it. */
  readonly before: Tensor;
  readonly after: Tensor;
  readonly sigma: number;
  readonly sigmaNext: number;
}

/** Whether a step is one of the few that are shown. */
export function isPreviewStep(stepsDone: number, stepCount: number): boolean {
  const stride = Math.max(1, Math.round(stepCount / PREVIEWS_PER_CLIP));
  return stepsDone % stride === 0 || stepsDone === stepCount;
}

/**
 * The step's predicted original in the colours of `fitColourMap`, a pixel a cell.
 *
 * An Euler step goes from x towards the predicted original x0: x' = x + (x - x0) / sigma · (sigma' -
 * sigma), so x0 = x - sigma · (x' - x) / (sigma' - sigma), whatever the model predicts.
 *
 * @param map [C + 1, 3]
 * @source diffusers schedulers/scheduling_euler_discrete.py, step (pred_original_sample)
 */
export function previewStrip(step: MadeStep, map: Tensor): RgbPicture {
  const { before, after, sigma, sigmaNext } = step;
  const [frames, channels, h, w] = before.shape as [number, number, number, number];
  const stride = Math.ceil(w / FRAME_WIDTH_MAX);
  const [width, height] = [Math.floor(w / stride), Math.max(1, Math.floor(h / stride))];
  const shown = Math.min(FRAMES_MAX, frames);
  const data = new Uint8Array(shown * width * height * 3);
  const gain = sigma / (sigmaNext - sigma);
  for (let i = 0; i < shown * width * height; i++) {
    const x = i % (shown * width);
    const column = Math.floor(x / width);
    const frame = shown === 1 ? 0 : Math.round((column * (frames - 1)) / (shown - 1));
    const cell = Math.floor(i / (shown * width)) * stride * w + (x % width) * stride;
    for (let k = 0; k < 3; k++) {
      let colour = map.data[channels * 3 + k]!;
      for (let c = 0; c < channels; c++) {
        const at = (frame * channels + c) * h * w + cell;
        const original = before.data[at]! - gain * (after.data[at]! - before.data[at]!);
        colour += map.data[c * 3 + k]! * original;
      }
      data[i * 3 + k] = Math.max(0, Math.min(255, Math.round((colour + 1) * 127.5)));
    }
  }
  return rgbPicture(shown * width, height, data);
}
