import { describe, expect, test } from "vitest";
import { ModelProto } from "../../proto/gen/onnx/onnx.js";
import { FarmError } from "../../shared/core/errors.js";
import { elementCount } from "../../shared/tensor/tensor.js";
import { GraphBuilder } from "./graph-builder.js";
import { add } from "./ops-math.js";
import { Weights } from "./parameters.js";
import type { WeightDtype, WeightEntry, WeightIndex } from "./weights.js";

function entry(name: string, shape: readonly number[], dtype: WeightDtype = "F32"): WeightEntry {
  const byteLength = elementCount(shape) * (dtype === "F32" ? 4 : 2);
  return { name, dtype, shape, file: "model.safetensors", offset: 100, byteLength };
}

function indexOf(...entries: readonly WeightEntry[]): WeightIndex {
  return new Map(entries.map((e) => [e.name, e]));
}

function scope(...entries: readonly WeightEntry[]): Weights {
  return Weights.root(new GraphBuilder("test"), "unet", indexOf(...entries));
}

describe("an account that balances", () => {
  test("gives the number of values, skipped ones included", () => {
    const w = scope(entry("norm.weight", [8]), entry("norm.bias", [8]), entry("ids", [5]));
    w.at("norm").take("weight", [8]);
    w.at("norm").skip("bias", [8], "the result does not depend on it");
    w.skipIfPresent("ids", "nobody reads it");
    w.skipIfPresent("other_ids", "nobody reads it");
    expect(w.finish()).toBe(21);
  });

  test("paths are those of the checkpoint", () => {
    expect(scope().at("down_blocks", 0).at("resnets", 1).path).toBe("down_blocks.0.resnets.1");
  });
});

describe("an account that does not balance names every parameter", () => {
  test("missing, misshapen and unused ones at once", () => {
    const w = scope(entry("conv.weight", [8, 4, 3, 3]), entry("extra.weight", [2]));
    w.at("conv").take("weight", [8, 6, 3, 3]);
    w.at("conv").take("bias", [8]);
    w.at("norm2").skip("weight", [4], "folded");

    const error = thrownBy(() => w.finish());
    expect(error.code).toBe("checkpoint-invalid");
    expect(error.violations.map((v) => `${v.field} ${v.description}`)).toEqual([
      "unet: conv.weight has the shape [8, 4, 3, 3]; config.json makes it [8, 6, 3, 3]",
      "unet: conv.bias is missing; config.json makes it [8]",
      "unet: norm2.weight is missing; config.json makes it [4]",
      "unet: extra.weight is not part of the model that config.json describes",
    ]);
  });

  test("and taking one twice is a bug", () => {
    const w = scope(entry("weight", [2]));
    w.take("weight", [2]);
    expect(() => w.take("weight", [2])).toThrow("each parameter to be taken once");
  });
});

describe("where the graph finds the values", () => {
  const cases: [dtype: WeightDtype, dataType: number, bytesPerValue: number, nodes: string[]][] = [
    ["F32", 1, 4, ["Add", "Add"]],
    ["F16", 10, 2, ["Cast", "Cast", "Add", "Add"]],
    ["BF16", 16, 2, ["Cast", "Cast", "Add", "Add"]],
  ];
  test.each(cases)("parts of a %s parameter are byte ranges", (dtype, dataType, bytes, nodes) => {
    const w = scope(entry("proj.weight", [6, 2], dtype));
    const [first, second] = w.at("proj").takeParts("weight", [6, 2], 2);
    expect(first).toMatchObject({ shape: [3, 2], elementType: "float32", path: "proj" });
    w.graph.output("y", add(add(w.graph.input("x", [3, 2]), first!), second!));

    const { node, initializer } = ModelProto.decode(w.graph.build(w.finish()).bytes).graph!;
    expect(node.map((n) => n.opType)).toEqual(nodes);
    expect(initializer.map((i) => [i.name, i.dataType])).toEqual([
      ["proj.weight[0/2]", dataType],
      ["proj.weight[1/2]", dataType],
    ]);
    expect(initializer.map((i) => i.externalData.map(({ value }) => value))).toEqual([
      ["model.safetensors", "100", `${6 * bytes}`],
      ["model.safetensors", `${100 + 6 * bytes}`, `${6 * bytes}`],
    ]);
  });

  test("the graph may read a parameter with another shape of as many values", () => {
    const w = scope(entry("conv.weight", [8, 4, 3, 1, 1]));
    expect(w.at("conv").take("weight", [8, 4, 3, 1, 1], [8, 4, 3, 1]).shape).toEqual([8, 4, 3, 1]);
    expect(w.finish()).toBe(96);
  });
});

function thrownBy(act: () => unknown): FarmError {
  try {
    act();
  } catch (error) {
    if (error instanceof FarmError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}
