/** @file The colours of previews: what the checkpoint's VAE makes of a chart, seen once. */
import { type Tensor, tensor } from "../../shared/tensor/tensor.js";
import { CHART_CELLS, colourChart, fitColourMap } from "../diffusion/colour-map.js";
import type { Runtime } from "../runtime/runtime.js";
import type { StageContext } from "./stage-context.js";

/** A runtime has one checkpoint as long as it lives. */
const fittedMaps = new WeakMap<Runtime, Promise<Tensor>>();

/**
 * The linear map from latents to colours of the checkpoint that the runtime has open. The first call
 * encodes and decodes one small chart; later ones run nothing.
 *
 * @returns [C + 1, 3], as `fitColourMap` gives it
 * @throws FarmError what the runtime throws; the next call then tries again
 */
export function previewColours(
  context: Pick<StageContext, "runtime" | "configs">,
): Promise<Tensor> {
  const { runtime } = context;
  const known = fittedMaps.get(runtime);
  if (known) return known;
  const fitted = fitToVae(context);
  fittedMaps.set(runtime, fitted);
  fitted.catch(() => fittedMaps.delete(runtime));
  return fitted;
}

async function fitToVae({
  runtime,
  configs: { vae },
}: Pick<StageContext, "runtime" | "configs">): Promise<Tensor> {
  const chart = colourChart(2 ** (vae.block_out_channels.length - 1));
  const [, height, width] = chart.shape as [number, number, number];
  const { mode } = await runtime.run(
    { module: "vae_encoder", height, width },
    { x: tensor([1, ...chart.shape], chart.data) },
  );
  const { shape, data } = mode!;
  const cells = { height: CHART_CELLS, width: CHART_CELLS };
  const { sample } = await runtime.run(
    { module: "vae_decoder", frames: 1, ...cells },
    { z: tensor([1, ...shape.slice(-3)], data) },
  );
  const latents = tensor(shape.slice(-3), data);
  return fitColourMap(latents, tensor(chart.shape, sample!.data), vae.scaling_factor);
}
