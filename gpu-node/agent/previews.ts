/** @file Previews of one denoise task: made beside the steps, one at a time, and lost without harm. */
import type { DenoiseWork } from "../../shared/farm/work.js";
import type { Tensor } from "../../shared/tensor/tensor.js";
import { isPreviewStep, previewStrip } from "../diffusion/preview-strip.js";
import type { DenoiseReplica } from "../stages/denoise-maths.js";
import { encodePreview } from "../stages/media/preview-webp.js";
import type { ConditioningBlob } from "../stages/tensor-blobs.js";

/** Hears of a preview. */
type Show = (epoch: number, step: number, image: Uint8Array) => void;

/**
 * Previews of a task whose job asks for them; null for any other, and for one half of a pair, whose
 * other half shows the same.
 */
export function previewsOf(
  { preview, pair }: Pick<DenoiseWork, "preview" | "pair">,
  { colourMap }: Pick<ConditioningBlob, "colourMap">,
  show: Show,
): Previews | null {
  return preview && colourMap && pair?.half !== "uncond" ? new Previews(colourMap, show) : null;
}

export class Previews {
  readonly #colourMap: Tensor;
  readonly #show: Show;
  #isEncoding = false;

  constructor(colourMap: Tensor, show: Show) {
    this.#colourMap = colourMap;
    this.#show = show;
  }

  /**
   * Shows the step just made, if it is one of those that are shown. Only its few pixels are computed
   * here; the file is made on another thread, and a step that comes meanwhile is not shown.
   *
   * @param before the latents before it
   */
  stepMade(replica: DenoiseReplica, before: Tensor, epoch: number): void {
    const { step, stepCount, table, latents } = replica;
    if (this.#isEncoding || !isPreviewStep(step, stepCount)) return;
    const [sigma, sigmaNext] = [table.sigmas[step - 1]!, table.sigmas[step]!];
    const strip = previewStrip({ before, after: latents, sigma, sigmaNext }, this.#colourMap);
    this.#isEncoding = true;
    encodePreview(strip)
      .then(
        (image) => {
          if (image) this.#show(epoch, step, image);
        },
        () => {}, // a clip without a picture of itself on the way is as good
      )
      .finally(() => {
        this.#isEncoding = false;
      });
  }
}
