import { describe, expect, test } from "vitest";
import type { FarmError } from "../../shared/core/errors.js";
import { type GraphSize, processBytes } from "../model/memory-plan.js";
import { refuseOverMemory } from "./memory-guard.js";
import type { GraphSpec } from "./runtime.js";

const UNET = { module: "unet", frames: 8, height: 8, width: 8 } as const;

/** A graph whose arena takes so many GB. */
const size = (gigabytes: number): GraphSize => ({
  ...{ nodeCount: 0, weightBytes: 0, convertedBytes: 0 },
  costs: { arenaBytes: gigabytes * 1e9 },
});

interface Sizes {
  /** GB of the arena with so many frames, and with feed-forward chunks of so many. */
  readonly withFrames?: (frames: number) => number;
  readonly withForwardChunk?: (frames: number) => number;
}

/** What is said where the graph takes 8 GB of arena and the node has room for so many. */
function refusal(graph: GraphSpec, room: number, sizes: Sizes = {}): string {
  const { withFrames = () => 8, withForwardChunk = () => 8 } = sizes;
  try {
    refuseOverMemory({
      ...{ graph, size: size(8), memoryBytes: processBytes([size(room)]) },
      withFrames: (frames) => size(withFrames(frames)),
      withForwardChunk: (frames) => size(withForwardChunk(frames)),
    });
    return "nothing";
  } catch (error) {
    return (error as FarmError).detail.split("; ")[1] ?? "";
  }
}

describe("a graph that takes more memory than the node may use", () => {
  const more = ", or take a node with more memory";
  const frames = (n: number) => n;

  test("is let through where it fits", () => {
    expect(refusal(UNET, 8)).toBe("nothing");
  });

  test("has the largest feed-forward chunk that fits as its way out: the clip stays as it is", () => {
    const withForwardChunk = (n: number) => 5 + n / 4;
    expect(refusal(UNET, 6, { withFrames: frames, withForwardChunk })).toBe(
      `start it with --forward-chunk-size 4 (feed-forward networks in parts)${more}`,
    );
  });

  test("else fewer frames, else a smaller clip", () => {
    expect(refusal(UNET, 3, { withFrames: frames })).toBe(
      `make the clip smaller (--height, --width) or of 3 frames (--num-frames)${more}`,
    );
    expect(refusal(UNET, 3)).toBe(
      `not even one frame fits: make the clip smaller (--height, --width)${more}`,
    );
  });

  test("of a decoder has the largest chunk of frames that fits", () => {
    expect(refusal({ ...UNET, module: "vae_decoder" }, 3, { withFrames: frames })).toBe(
      `decode 3 at a time (--decode-chunk-size 3)${more}`,
    );
  });
});
