/** @file Port: what runs the model's graphs for the stages. */
import type { Tensor } from "../../shared/tensor/tensor.js";
import type { FeatureUse } from "../model/unet-spatio-temporal-condition.js";

/** A graph of the checkpoint at one size. Heights and widths are those of the graph's own input. */
export type GraphSpec =
  /** One half of one step; latent cells. */
  | {
      readonly module: "unet";
      readonly frames: number;
      readonly height: number;
      readonly width: number;
      /** Absent: it runs whole and keeps none. */
      readonly features?: FeatureUse;
    }
  /** One chunk of frames; latent cells. */
  | {
      readonly module: "vae_decoder";
      readonly frames: number;
      readonly height: number;
      readonly width: number;
    }
  /** The picture; pixels. */
  | { readonly module: "vae_encoder"; readonly height: number; readonly width: number }
  /** The picture at the encoder's own size. */
  | { readonly module: "image_encoder" };

/** What a graph is part of. Sessions of one stage are needed together, those of two never. */
export type ModelStage = "condition" | "denoise" | "decode";

export const STAGE_OF_MODULE = {
  image_encoder: "condition",
  vae_encoder: "condition",
  unet: "denoise",
  vae_decoder: "decode",
} as const satisfies Record<GraphSpec["module"], ModelStage>;

export interface Runtime {
  /**
   * Runs a graph once. Runs wait for each other, in the order of the calls; one that has begun
   * cannot be stopped.
   *
   * @param inputs the graph's inputs by name
   * @returns the graph's outputs by name
   * @throws FarmError "runtime-failed", "out-of-memory", "device-lost", "numerical" when an output is
   *   not finite, "graph-shape-mismatch" when inputs do not fit the graph
   */
  run(graph: GraphSpec, inputs: Readonly<Record<string, Tensor>>): Promise<Record<string, Tensor>>;
  /** Frees everything; no run may follow. */
  close(): Promise<void>;
}

/** A graph in words and numbers, equal for equal specs: "unet 25x72x128", "image_encoder". */
export function describeGraph(graph: GraphSpec): string {
  switch (graph.module) {
    case "unet": {
      const size = `${graph.module} ${graph.frames}x${graph.height}x${graph.width}`;
      return graph.features === undefined ? size : `${size}, to ${graph.features} features`;
    }
    case "vae_decoder":
      return `${graph.module} ${graph.frames}x${graph.height}x${graph.width}`;
    case "vae_encoder":
      return `${graph.module} ${graph.height}x${graph.width}`;
    default:
      return graph.module;
  }
}
