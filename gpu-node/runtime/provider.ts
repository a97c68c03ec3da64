/** @file What can run the graphs; apart, so that whoever reads settings loads no engine. */

/**
 * Execution providers of onnxruntime that a node may run on; "cuda" wants its libraries beside the
 * package, as the image gpu-node-cuda has them.
 */
export const PROVIDERS = ["cpu", "cuda"] as const;
export type Provider = (typeof PROVIDERS)[number];
