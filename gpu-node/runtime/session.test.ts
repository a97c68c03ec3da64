import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FarmError } from "../../shared/core/errors.js";
import { tensor } from "../../shared/tensor/tensor.js";
import { runGraph } from "../../test/golden/run-graph.js";
import type { BuiltGraph, ElementType } from "../model/graph.js";
import { GraphBuilder } from "../model/graph-builder.js";
import { add, cast, mul } from "../model/ops-math.js";
import { openSession, type Session } from "./session.js";

const SETTINGS = { provider: "cpu", intraOpThreads: 1 } as const;

/** y = a · a + b for two values each. */
function smallGraph(): BuiltGraph {
  const g = new GraphBuilder("test");
  const [a, b] = [g.input("a", [2]), g.input("b", [2])];
  g.output("y", add(mul(a, a), b));
  return g.build(0);
}

const vector = (...values: number[]) => tensor([values.length], Float32Array.from(values));

describe("a run", () => {
  let session: Session;
  beforeAll(async () => {
    session = await openSession(smallGraph(), tmpdir(), SETTINGS);
  });
  afterAll(() => session.close());

  test("gives the graph's outputs", async () => {
    expect(await session.run({ a: vector(2, 3), b: vector(1, -1) })).toEqual({ y: vector(5, 8) });
  });

  type Case = [name: string, inputs: Parameters<Session["run"]>[0], message: string];
  const wrong: Case[] = [
    ["a missing input", { a: vector(1, 2) }, "b is missing"],
    ["an unknown one", { a: vector(1, 2), b: vector(1, 2), c: vector(1) }, "c is not one of a, b"],
    ["another shape", { a: vector(1, 2), b: vector(1, 2, 3) }, "b must be [2], not [3]"],
    [
      "fewer values than the shape says",
      { a: vector(1, 2), b: { shape: [2], data: new Float32Array(1) } },
      "b must hold 2 values, not 1",
    ],
    ["several mistakes", { a: vector(1) }, "a must be [2], not [1]; b is missing"],
  ];
  test.each(wrong)("refuses %s before the engine sees it", async (_name, inputs, message) => {
    await expect(session.run(inputs)).rejects.toThrow(`[graph-shape-mismatch] ${message}`);
  });

  test.each([
    ["infinity", 1e30],
    ["NaN", Number.NaN],
  ])("that gives %s is an error", async (name, value) => {
    const overflow = session.run({ a: vector(1, value), b: vector(1, 1) });
    const shown = name === "NaN" ? "NaN" : "Infinity";
    await expect(overflow).rejects.toThrow(`[numerical] y: value 1 of 2 is ${shown}`);
  });
});

test("a result larger than any address space is out of memory, in the engine's real words", async () => {
  const g = new GraphBuilder("test");
  const n = 8_000_000; // n * n floats: 256 TB
  g.output("y", mul(g.input("a", [n, 1]), g.input("b", [1, n])));
  const session = await openSession(g.build(0), tmpdir(), SETTINGS);
  const values = new Float32Array(n);
  const run = session.run({ a: tensor([n, 1], values), b: tensor([1, n], values) });
  await expect(run).rejects.toThrow(/^\[out-of-memory\] .*256000000000000/);
  await session.close();
});

describe("weights in files", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "renderfarm-session-"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const one = [0x3f800000, 0x3c00, 0x3f80] as const; // 1 as float32, float16, bfloat16
  const cases: [type: ElementType, bytes: Uint8Array][] = [
    ["float32", new Uint8Array(Uint32Array.of(one[0], one[0] | 0x80000000).buffer)],
    ["float16", new Uint8Array(Uint16Array.of(one[1], one[1] | 0x8000).buffer)],
    ["bfloat16", new Uint8Array(Uint16Array.of(one[2], one[2] | 0x8000).buffer)],
  ];
  test.each(cases)("are read as %s from any offset", async (elementType, bytes) => {
    const file = `${elementType}.safetensors`;
    writeFileSync(join(folder, file), Buffer.concat([Buffer.from("odd"), bytes]));
    const range = { file, offset: 3, byteLength: bytes.length };
    const sum = await runGraph(
      [vector(10, 20)],
      ([x], g) => {
        const stored = g.parameter("w", elementType, [2], range, "w");
        return add(x!, elementType === "float32" ? stored : cast(stored, "float32"));
      },
      folder,
    );
    expect(sum).toEqual(vector(11, 19));
  });

  test("that are not there are the engine's error", async () => {
    const g = new GraphBuilder("test");
    const range = { file: "missing.safetensors", offset: 0, byteLength: 8 };
    const weight = g.parameter("w", "float32", [2], range, "w");
    g.output("y", add(g.input("x", [2]), weight));
    const error = await openSession(g.build(2), folder, SETTINGS).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(FarmError);
    expect((error as FarmError).code).toBe("runtime-failed");
  });
});
