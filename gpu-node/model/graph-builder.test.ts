import { describe, expect, test } from "vitest";
import {
  AttributeProto_AttributeType,
  ModelProto,
  TensorProto_DataLocation,
} from "../../proto/gen/onnx/onnx.js";
import type { Attribute } from "./graph.js";
import { GraphBuilder, type Value } from "./graph-builder.js";
import { conv, fusedMatMul, gemmTransB, matMul, multiHeadAttention } from "./ops-linear.js";
import { add, cast, mul, sigmoid } from "./ops-math.js";
import { batchNormalization, instanceNormalization, layerNormalization } from "./ops-norm.js";
import { concat, reshape, resizeNearest, slice, transpose } from "./ops-shape.js";

type Shape = readonly number[];

/** Builds on inputs of these shapes. */
function on(shapes: readonly Shape[], build: (...inputs: Value[]) => Value): Value {
  const g = new GraphBuilder("test");
  return build(...shapes.map((shape, i) => g.input(`x${i}`, shape)));
}

describe("shapes that an operator infers", () => {
  type Case = [name: string, inputs: Shape[], build: (...x: Value[]) => Value, result: Shape];
  const cases: Case[] = [
    [
      "Add of equal shapes",
      [
        [2, 3],
        [2, 3],
      ],
      (a, b) => add(a!, b!),
      [2, 3],
    ],
    [
      "Add with a missing and a single axis",
      [
        [4, 1, 3],
        [2, 1],
      ],
      (a, b) => add(a!, b!),
      [4, 2, 3],
    ],
    ["Reshape", [[2, 6]], (x) => reshape(x!, [3, 2, 2]), [3, 2, 2]],
    ["Transpose", [[2, 3, 5]], (x) => transpose(x!, [2, 0, 1]), [5, 2, 3]],
    [
      "Concat",
      [
        [2, 3, 4],
        [2, 5, 4],
      ],
      (a, b) => concat([a!, b!], 1),
      [2, 8, 4],
    ],
    ["Slice", [[2, 7]], (x) => slice(x!, 1, 2, 6), [2, 4]],
    ["Resize to twice", [[1, 2, 3, 4]], (x) => resizeNearest(x!, 6, 8), [1, 2, 6, 8]],
    ["Resize to an odd size", [[1, 2, 3, 4]], (x) => resizeNearest(x!, 5, 7), [1, 2, 5, 7]],
    [
      "Conv",
      [
        [1, 4, 9, 9],
        [8, 4, 3, 3],
      ],
      (x, w) => conv(x!, w!, null),
      [1, 8, 7, 7],
    ],
    [
      "Conv with stride and pads",
      [[1, 4, 9, 8], [8, 4, 3, 3], [8]],
      (x, w, b) => conv(x!, w!, b!, { strides: [2, 2], pads: [0, 0, 1, 1] }),
      [1, 8, 4, 4],
    ],
    ["Gemm", [[5, 4], [8, 4], [8]], (x, w, b) => gemmTransB(x!, w!, b!), [5, 8]],
    [
      "MatMul",
      [
        [2, 3, 5, 4],
        [2, 3, 4, 6],
      ],
      (a, b) => matMul(a!, b!),
      [2, 3, 5, 6],
    ],
    [
      "FusedMatMul with rows first",
      [
        [7, 9, 2, 4],
        [7, 9, 2, 4],
      ],
      (a, b) => fusedMatMul(a!, b!, { transB: true, transBatchA: true, transBatchB: true }),
      [9, 2, 7, 7],
    ],
    [
      "MultiHeadAttention",
      [
        [2, 5, 8],
        [2, 3, 8],
        [2, 3, 8],
      ],
      (q, k, v) => multiHeadAttention(q!, k!, v!, 4),
      [2, 5, 8],
    ],
  ];
  test.each(cases)("%s", (_name, inputs, build, result) => {
    expect(on(inputs, build).shape).toEqual(result);
  });
});

describe("shapes that do not fit are named with operator and numbers", () => {
  type Case = [build: (...x: Value[]) => Value, inputs: Shape[], message: string];
  const cases: Case[] = [
    [
      (x, w) => conv(x!, w!, null),
      [
        [1, 4, 9, 9],
        [8, 6, 3, 3],
      ],
      "Conv: input channels 4 must match weight channels 6",
    ],
    [
      (x, w, b) => conv(x!, w!, b!),
      [[1, 4, 9, 9], [8, 4, 3, 3], [4]],
      "Conv: bias [4] must have one value for each of 8 channels",
    ],
    [
      (x, w) => conv(x!, w!, null),
      [
        [1, 4, 2, 9],
        [8, 4, 3, 3],
      ],
      "Conv: kernel 3x3 does not fit",
    ],
    [
      (x, w) => conv(x!, w!, null),
      [
        [4, 9, 9],
        [8, 4, 3, 3],
      ],
      "Conv: needs [N, C, H, W]",
    ],
    [
      (x, w) => gemmTransB(x!, w!, null),
      [
        [5, 4],
        [8, 3],
      ],
      "Gemm: input [5, 4] must be [rows, 3]",
    ],
    [(x, w, b) => gemmTransB(x!, w!, b!), [[5, 4], [8, 4], [5]], "Gemm: bias [5] must be [8]"],
    [
      (a, b) => matMul(a!, b!),
      [
        [2, 5, 4],
        [3, 4, 6],
      ],
      "MatMul: [2, 5, 4] and [3, 4, 6]",
    ],
    [
      (a, b) => add(a!, b!),
      [
        [2, 3],
        [2, 4],
      ],
      "Add: [2, 3] and [2, 4] do not broadcast",
    ],
    [(x) => reshape(x!, [4, 2]), [[2, 3]], "Reshape: [2, 3] has 6 values, [4, 2] needs 8"],
    [(x) => transpose(x!, [0, 0]), [[2, 3]], "Transpose: perm [0, 0] must order the axes"],
    [
      (a, b) => concat([a!, b!], 0),
      [
        [2, 3],
        [2, 4],
      ],
      "Concat: [2, 3] and [2, 4] differ beside axis 0",
    ],
    [(x) => slice(x!, 1, 2, 4), [[2, 3]], "Slice: 2..4 is not inside axis 1 of 3"],
    [(x) => slice(x!, 2, 0, 1), [[2, 3]], "Slice: axis 2 is not one of [2, 3]"],
    [(x) => resizeNearest(x!, 4, 4), [[2, 3]], "Resize: needs [N, C, h, w], not [2, 3]"],
    [
      (q, k, v) => multiHeadAttention(q!, k!, v!, 3),
      [
        [2, 5, 8],
        [2, 3, 8],
        [2, 3, 8],
      ],
      "MultiHeadAttention: width 8 must be a multiple of 3 heads",
    ],
    [
      (q, k, v) => multiHeadAttention(q!, k!, v!, 2),
      [
        [2, 5, 8],
        [2, 3, 8],
        [2, 4, 8],
      ],
      "MultiHeadAttention: q, k, v must fit each other",
    ],
    [
      (x, s, b) => layerNormalization(x!, s!, b!, 1e-5),
      [[2, 8], [8], [4]],
      "LayerNormalization: [2, 8] needs vectors of 8 values, not [4]",
    ],
    [
      (x, s, b) => instanceNormalization(x!, s!, b!, 1e-5),
      [[2, 8], [8], [8]],
      "InstanceNormalization: needs [N, C, ...], not [2, 8]",
    ],
    [
      (x, s) => batchNormalization(x!, s!, s!, { mean: s!, variance: s! }, 0),
      [[2, 8, 3], [4]],
      "BatchNormalization: [2, 8, 3] needs vectors of 8 values, not [4]",
    ],
  ];
  test.each(cases)("%#", (build, inputs, message) => {
    expect(() => on(inputs, build)).toThrow(`[graph-shape-mismatch] ${message}`);
  });

  test("the message says where, when a parameter of the checkpoint is involved", () => {
    const g = new GraphBuilder("test");
    const range = { file: "w.safetensors", offset: 0, byteLength: 4 * 8 * 6 };
    const weight = g.parameter("mid.conv1.weight", "float32", [8, 6, 1, 1], range, "mid.conv1");
    expect(() => conv(g.input("x", [1, 4, 9, 9]), weight, null)).toThrow(
      "Conv at mid.conv1: input",
    );
  });
});

describe("names", () => {
  test("a node is called after its parameter's module, its followers after it", () => {
    const g = new GraphBuilder("test");
    const range = { file: "w.safetensors", offset: 0, byteLength: 16 };
    const weight = g.parameter("mid.to_q.weight", "float32", [2, 2], range, "mid.to_q");
    const q = gemmTransB(g.input("x", [3, 2]), weight, null);
    const activated = mul(q, sigmoid(q));
    expect([q, activated].map((value) => value.name)).toEqual(["mid.to_q/Gemm", "mid.to_q/Mul"]);
    expect(mul(activated, q).name).toBe("mid.to_q/Mul#2");
  });

  test("a graph cannot mix values of two builders", () => {
    const a = new GraphBuilder("a").input("x", [1]);
    const b = new GraphBuilder("b").input("x", [1]);
    expect(() => add(a, b)).toThrow("inputs of one graph");
  });
});

describe("the bytes", () => {
  test("read back as the graph that was recorded", () => {
    const g = new GraphBuilder("round trip");
    const x = g.input("x", [1, 2, 4, 4]);
    const range = { file: "model.safetensors", offset: 1234, byteLength: 2 * 2 * 2 * 9 };
    const stored = g.parameter("conv.weight", "float16", [2, 2, 3, 3], range, "conv");
    const convolved = conv(x, cast(stored, "float32"), g.floats([2], [0.5, -1]), {
      pads: [1, 1, 1, 1],
    });
    g.output("y", reshape(convolved, [32]));
    const built = g.build(36);

    expect(built).toMatchObject({
      inputs: [{ name: "x", shape: [1, 2, 4, 4] }],
      outputs: [{ name: "y", shape: [32] }],
      parameterCount: 36,
      nodeCount: 3,
    });
    const model = ModelProto.decode(built.bytes);
    expect(model.opsetImport.map(({ domain, version }) => [domain, version])).toEqual([
      ["", 21n],
      ["com.microsoft", 1n],
    ]);
    const { node, initializer, input, output } = model.graph!;
    expect(node.map((n) => [n.opType, n.input, n.output])).toEqual([
      ["Cast", ["conv.weight"], ["conv/Cast"]],
      ["Conv", ["x", "conv/Cast", "constant.0"], ["conv/Conv"]],
      ["Reshape", ["conv/Conv", "constant.1"], ["y"]],
    ]);
    expect(node[1]!.attribute.map(({ name, ints, type }) => [name, ints, type])).toEqual([
      ["kernel_shape", [3n, 3n], AttributeProto_AttributeType.INTS],
      ["strides", [1n, 1n], AttributeProto_AttributeType.INTS],
      ["pads", [1n, 1n, 1n, 1n], AttributeProto_AttributeType.INTS],
    ]);
    expect(initializer[0]).toMatchObject({
      name: "conv.weight",
      dims: [2n, 2n, 3n, 3n],
      dataType: 10,
      dataLocation: TensorProto_DataLocation.EXTERNAL,
      externalData: [
        { key: "location", value: "model.safetensors" },
        { key: "offset", value: "1234" },
        { key: "length", value: "72" },
      ],
    });
    expect(new Float32Array(Uint8Array.from(initializer[1]!.rawData).buffer)).toEqual(
      new Float32Array([0.5, -1]),
    );
    const shapes = [...input, ...output].map((port) =>
      port.type!.tensorType!.shape!.dim.map((d) => Number(d.dimValue)),
    );
    expect(shapes).toEqual([[1, 2, 4, 4], [32]]);
  });

  test.each<[string, Attribute, object]>([
    ["float", { float: 0.5 }, { f: 0.5, type: AttributeProto_AttributeType.FLOAT }],
    ["int", { int: -1 }, { i: -1n, type: AttributeProto_AttributeType.INT }],
    ["ints", { ints: [1, 2] }, { ints: [1n, 2n], type: AttributeProto_AttributeType.INTS }],
    ["string", { string: "floor" }, { type: AttributeProto_AttributeType.STRING }],
  ])("hold an attribute of type %s", (_type, attribute, written) => {
    const g = new GraphBuilder("test");
    const x = g.input("x", [1]);
    const node = { opType: "Any", inputs: [x], shape: [1], attributes: { a: attribute } };
    g.output("y", g.node(node));
    const [read] = ModelProto.decode(g.build(0).bytes).graph!.node[0]!.attribute;
    expect(read).toMatchObject({ name: "a", ...written });
  });

  test("hold only what an output needs, and each constant once", () => {
    const g = new GraphBuilder("test");
    const x = g.input("x", [2]);
    const two = (): Value => g.floats([1], [2]);
    mul(x, g.floats([1], [3]));
    g.output("y", mul(mul(x, two()), two()));
    const { node, initializer } = ModelProto.decode(g.build(0).bytes).graph!;
    expect(node).toHaveLength(2);
    expect(initializer).toHaveLength(1);
  });
});
