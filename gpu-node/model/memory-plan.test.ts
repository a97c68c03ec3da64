import { describe, expect, test } from "vitest";
import { Arena } from "./arena.js";
import { type GraphSize, largestFittingChunk, processBytes } from "./memory-plan.js";

const MIB = 2 ** 20;

const graph = (change: Partial<Omit<GraphSize, "costs">> & { arenaBytes?: number }): GraphSize => {
  const { arenaBytes = 0, ...size } = change;
  return { nodeCount: 0, weightBytes: 0, convertedBytes: 0, ...size, costs: { arenaBytes } };
};

describe("bytes of a process", () => {
  const ENGINE = 124.5 * MIB;
  const cases: [name: string, graphs: GraphSize[], bytes: number][] = [
    ["the engine, without a graph", [], ENGINE],
    ["1,000 nodes", [graph({ nodeCount: 1_000 })], ENGINE + 15_155_200],
    ["100 MB of weights", [graph({ weightBytes: 100e6 })], ENGINE + 109.5e6],
    ["stored in halves", [graph({ weightBytes: 100e6, convertedBytes: 50e6 })], ENGINE + 136.875e6],
    ["an arena of 1 GB", [graph({ arenaBytes: 1e9 })], ENGINE + 1_137e6],
    ["two graphs", [graph({ weightBytes: 100e6 }), graph({ arenaBytes: 1e9 })], ENGINE + 1_246.5e6],
  ];
  test.each(cases)("%s", (_, graphs, bytes) => {
    expect(Math.abs(processBytes(graphs) - bytes)).toBeLessThan(2);
  });
});

describe("the arena", () => {
  const touched = (...events: (readonly [name: string, mib?: number])[]) => {
    const arena = new Arena();
    for (const [name, mib] of events) {
      if (mib === undefined) arena.free(name);
      else arena.allocate(name, mib * MIB);
    }
    return arena.touchedBytes / MIB;
  };

  test("what is held at one time lies side by side", () => {
    expect(touched(["a", 4], ["b", 4], ["c", 2])).toBe(10);
  });

  test("what was given back is used again", () => {
    expect(touched(["a", 4], ["a"], ["b", 4], ["b"], ["c", 3])).toBe(4);
  });

  test("neighbours that are given back make room for something larger", () => {
    expect(touched(["a", 4], ["b", 2], ["c", 2], ["b"], ["c"], ["d", 4])).toBe(8);
  });

  test("a chunk less than twice as large is taken whole", () => {
    expect(touched(["a", 8], ["a"], ["b", 5], ["c", 3])).toBe(11);
  });
});

describe("the largest chunk that fits", () => {
  test.each([
    [25, 24, 24],
    [25, 7, 7],
    [25, 1, 1],
    [2, 1, 1],
    [25, 0, null],
    [1, 0, null],
  ])("of %i frames where %i fit", (frames, most, chunk) => {
    expect(largestFittingChunk(frames, (n) => n <= most)).toBe(chunk);
  });
});
