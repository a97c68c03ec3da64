/** @file What can run the graphs; apart, so that whoever reads settings loads no engine. */
import { CPU_VARIANT, type GraphVariant } from "../model/graph.js";

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
 * Which form of the graphs a provider runs right.
 *
 * Attention as one operator gives wrong numbers on onnxruntime 1.30's WebGPU provider from about 64
 * tokens on (SwiftShader; error 0.9 where the values are 2.9), so it gets two products there.
 */
export const VARIANT_OF_PROVIDER: Readonly<Record<Provider, GraphVariant>> = {
  cpu: CPU_VARIANT,
  webgpu: { attention: "products" },
  cuda: { attention: "fused" },
  tensorrt: { attention: "products" },
};
