/** @file Refuses a graph that the memory of a node cannot hold, before its weights are loaded. */
import { formatBytes } from "../../shared/core/bytes.js";
import { FarmError } from "../../shared/core/errors.js";
import { type GraphSize, largestFittingChunk, processBytes } from "../model/memory-plan.js";
import { describeGraph, type GraphSpec } from "./runtime.js";

export interface MemoryRequest {
  readonly graph: GraphSpec;
  readonly size: GraphSize;
  /** Bytes that the process may use. */
  readonly memoryBytes: number;
  /** The size of the same graph for fewer frames. */
  readonly withFrames: (frames: number) => GraphSize;
  /** The size of the same graph with feed-forward networks of so many frames at a time. */
  readonly withForwardChunk: (frames: number) => GraphSize;
}

/**
 * @throws FarmError "out-of-memory" when the graph takes more even as the only open one; it names both
 *   amounts and what would fit
 */
export function refuseOverMemory(request: MemoryRequest): void {
  const { graph, size, memoryBytes } = request;
  const needed = processBytes([size]);
  if (needed <= memoryBytes) return;
  throw new FarmError(
    "out-of-memory",
    `${describeGraph(graph)} takes ${formatBytes(needed)} and this node may use ` +
      `${formatBytes(memoryBytes)}; ${wayOut(request)}, or take a node with more memory`,
  );
}

function wayOut({ graph, memoryBytes, withFrames, withForwardChunk }: MemoryRequest): string {
  const isEnough = (size: GraphSize) => processBytes([size]) <= memoryBytes;
  const fits = (frames: number) => isEnough(withFrames(frames));
  switch (graph.module) {
    case "vae_decoder": {
      const chunk = largestFittingChunk(graph.frames, fits);
      return chunk === null
        ? "not even one frame fits: make the clip smaller (--height, --width)"
        : `decode ${chunk} at a time (--decode-chunk-size ${chunk})`;
    }
    case "unet": {
      const chunk = largestFittingChunk(graph.frames, (n) => isEnough(withForwardChunk(n)));
      // The clip stays as it is and so do its pixels.
      if (chunk !== null) {
        return `start it with --forward-chunk-size ${chunk} (feed-forward networks in parts)`;
      }
      const frames = largestFittingChunk(graph.frames, fits);
      return frames === null
        ? "not even one frame fits: make the clip smaller (--height, --width)"
        : `make the clip smaller (--height, --width) or of ${frames} frames (--num-frames)`;
    }
    case "vae_encoder":
      return "make the clip smaller (--height, --width)";
    default:
      return "it does not depend on the clip";
  }
}
