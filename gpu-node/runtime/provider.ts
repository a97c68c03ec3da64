/** @file What can run the graphs; apart, so that whoever reads settings loads no engine. */
import { FarmError } from "../../shared/core/errors.js";
import { COMPUTE_TYPES, type ComputeType } from "../../shared/tensor/tensor.js";
import { CPU_VARIANT, type GraphVariant } from "../model/graph.js";
import type { WeightDtype } from "../model/weights.js";

/**
 * Execution providers of onnxruntime that a node may run on. "cpu" and "webgpu" are in the package;
 * "cuda" and "tensorrt" want their libraries beside it, as the image gpu-node-cuda has them.
 */
export const PROVIDERS = ["cpu", "webgpu", "cuda", "tensorrt"] as const;
export type Provider = (typeof PROVIDERS)[number];

/** What a node may be told: "auto" takes the fastest that is present. */
export const PROVIDER_CHOICES = ["auto", ...PROVIDERS] as const;
export type ProviderChoice = (typeof PROVIDER_CHOICES)[number];

/**
 * Which forms of the graphs a provider runs right.
 *
 * Attention as one operator gives wrong numbers on onnxruntime 1.30's WebGPU provider from about 64
 * tokens on (SwiftShader; error 0.9 where the values are 2.9), so it gets two products there. What
 * else each provider has in one operator, and why it is left alone, is in docs/providers.md.
 */
const FORMS_OF_PROVIDER: Readonly<Record<Provider, Omit<GraphVariant, "dtype">>> = {
  cpu: CPU_VARIANT,
  webgpu: { attention: "products", upsampling: "phases" },
  cuda: { attention: "fused", upsampling: "resize" },
  tensorrt: { attention: "products", upsampling: "resize" },
};

/**
 * The graphs of a provider; with halves every layer is the reference's own, rounding and all.
 *
 * @param forwardChunkSize frames that a feed-forward network computes at a time; null: the provider's
 */
export function variantOf(
  provider: Provider,
  dtype: ComputeType,
  forwardChunkSize: number | null = null,
): GraphVariant {
  return {
    ...FORMS_OF_PROVIDER[provider],
    dtype,
    ...(dtype === "float16" ? { upsampling: "resize" } : {}),
    ...(forwardChunkSize === null ? {} : { forwardChunkSize }),
  };
}

/** What a node may be told: "auto" is float16 where provider and checkpoint are made for it. */
export const DTYPE_CHOICES = ["auto", ...COMPUTE_TYPES] as const;
export type DtypeChoice = (typeof DTYPE_CHOICES)[number];

/**
 * "auto" is float16 on cuda for a UNet that is stored in it, else float32, as it is everywhere where
 * float16 is slower (cpu) or not every device has it (webgpu).
 *
 * @param stored the types of the UNet's parameters
 * @throws FarmError "invalid-argument" for float16 on tensorrt, which the engine's package cannot be
 *   told to compute in
 */
export function chooseDtype(
  choice: DtypeChoice,
  provider: Provider,
  stored: readonly WeightDtype[],
): ComputeType {
  if (choice === "float16" && provider === "tensorrt") {
    const detail = "--dtype float16: tensorrt computes in float32 whatever the graph says";
    throw new FarmError("invalid-argument", `${detail}; take --provider cuda or --dtype float32`);
  }
  if (choice !== "auto") return choice;
  return provider === "cuda" && stored.every((dtype) => dtype === "F16") ? "float16" : "float32";
}
