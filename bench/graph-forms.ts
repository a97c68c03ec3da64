/**
 * @file Which of several equal graphs is the fastest: the measurements behind gpu-node/model/layers.ts.
 *
 * usage, after `npm run build`: node dist/bench/graph-forms.js
 * One thread; best of 15 runs, since anything else on the machine only adds time.
 */
import type { Attributes } from "../gpu-node/model/graph.js";
import { GraphBuilder, type Value } from "../gpu-node/model/graph-builder.js";
import {
  conv,
  fusedMatMul,
  gemmTransB,
  matMul,
  multiHeadAttention,
} from "../gpu-node/model/ops-linear.js";
import { add, mul, sub } from "../gpu-node/model/ops-math.js";
import { batchNormalization, instanceNormalization, softmax } from "../gpu-node/model/ops-norm.js";
import { concat, reshape, resizeNearest, slice, transpose } from "../gpu-node/model/ops-shape.js";
import { doubleAndConvolve } from "../gpu-node/model/upsampling.js";
import { openSession } from "../gpu-node/runtime/session.js";
import { elementCount } from "../shared/tensor/tensor.js";

const RUNS = 15;
const GROUPS = 32;

type Shape = readonly number[];

/** One way to compute something; `weight` makes constants. */
type Form = (inputs: Value[], weight: (shape: Shape) => Value) => Value;

interface Contest {
  readonly name: string;
  readonly inputs: readonly Shape[];
  /** The first is the one in use. */
  readonly forms: Readonly<Record<string, Form>>;
}

for (const contest of [
  ...[
    [14, 64, 16, 16],
    [14, 128, 8, 8],
    [5, 64, 64, 64],
  ].map(groupNorms),
  ...[
    [3584, 64, 256],
    [896, 128, 128],
    [4608, 320, 320],
  ].map(linears),
  ...[
    [14, 256, 2, 32],
    [8, 576, 5, 64],
  ].map(temporalAttentions),
  ...[
    [14, 256, 2, 32],
    [4, 1024, 5, 64],
  ].map(spatialAttentions),
  ...[
    [14, 64, 16, 16],
    [8, 320, 18, 32],
  ].map(temporalConvolutions),
  ...[
    [14, 128, 8, 8],
    [5, 64, 32, 32],
  ].map(upsamplings),
]) {
  await hold(contest);
}

async function hold(contest: Contest): Promise<void> {
  console.log(contest.name);
  for (const [name, form] of Object.entries(contest.forms)) {
    const { ms, nodeCount } = await measure(contest.inputs, form);
    console.log(`  ${ms.toFixed(2).padStart(8)} ms  ${name} (${nodeCount} nodes)`);
  }
}

async function measure(shapes: readonly Shape[], form: Form) {
  const g = new GraphBuilder("bench");
  const inputs = shapes.map((shape, i) => g.input(`x${i}`, shape));
  const result = form(inputs, (shape) => g.floats(shape, noise(elementCount(shape), 0.1)));
  const count = elementCount(result.shape);
  // One value is enough: what leaves the engine is copied, and the copy is not what is measured.
  g.output("last", slice(reshape(result, [count]), 0, count - 1, count));
  const graph = g.build(0);
  const session = await openSession(graph, ".", { provider: "cpu", intraOpThreads: 1 });

  const feeds = Object.fromEntries(
    shapes.map((shape, i) => [`x${i}`, { shape, data: noise(elementCount(shape), 1) }]),
  );
  let ms = Number.POSITIVE_INFINITY;
  for (let run = 0; run < RUNS; run++) {
    const start = performance.now();
    await session.run(feeds);
    ms = Math.min(ms, performance.now() - start);
  }
  await session.close();
  return { ms, nodeCount: graph.nodeCount };
}

/** Values in -scale..scale, the same every time. */
function noise(count: number, scale: number): Float32Array {
  let state = 1;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state / 0x3fffffff - 1) * scale;
  });
}

function groupNorms(shape: Shape): Contest {
  const [n, channels] = shape as [number, number];
  const size = elementCount(shape) / (n * GROUPS);
  const filled = (g: GraphBuilder, count: number, value: number): Value =>
    g.floats([count], new Float32Array(count).fill(value));
  const mean = (x: Value): Value =>
    raw("ReduceMean", [x, x.graph.ints([1])], [n * GROUPS, 1], { keepdims: { int: 1 } });
  /** One value a channel of a sample, from one a group or one a channel. */
  const spread = (x: Value, from: Shape, to: Shape): Value =>
    reshape(raw("Expand", [reshape(x, from), x.graph.ints(to)], to), [n * channels]);
  const perGroup = (x: Value): Value => spread(x, [n, GROUPS, 1], [n, GROUPS, channels / GROUPS]);
  const perChannel = (x: Value): Value => spread(x, [1, channels], [n, channels]);
  const flat = [1, n * channels, elementCount(shape) / (n * channels)];

  return {
    name: `GroupNorm [${shape}]`,
    inputs: [shape],
    forms: {
      "InstanceNormalization, then BatchNormalization as scale and shift": ([x], weight) => {
        const g = x!.graph;
        const [ones, zeros] = [filled(g, GROUPS, 1), filled(g, GROUPS, 0)];
        const normal = instanceNormalization(reshape(x!, [n, GROUPS, size]), ones, zeros, 1e-5);
        const statistics = { mean: filled(g, channels, 0), variance: filled(g, channels, 1) };
        const [scale, shift] = [weight([channels]), weight([channels])];
        return batchNormalization(reshape(normal, shape), scale, shift, statistics, 0);
      },
      "mean and E[(x - mean)^2] by ReduceMean, then BatchNormalization": ([x], weight) => {
        const rows = reshape(x!, [n * GROUPS, size]);
        const centred = sub(rows, mean(rows));
        const variance = perGroup(mean(mul(centred, centred)));
        const statistics = { mean: filled(x!.graph, n * channels, 0), variance };
        const [scale, shift] = [perChannel(weight([channels])), perChannel(weight([channels]))];
        return batchNormalization(reshape(centred, flat), scale, shift, statistics, 1e-5);
      },
      "mean and E[x^2] - mean^2 (loses precision), then BatchNormalization": ([x], weight) => {
        const rows = reshape(x!, [n * GROUPS, size]);
        const m = mean(rows);
        const variance = perGroup(sub(mean(mul(rows, rows)), mul(m, m)));
        const statistics = { mean: perGroup(m), variance };
        const [scale, shift] = [perChannel(weight([channels])), perChannel(weight([channels]))];
        return batchNormalization(reshape(x!, flat), scale, shift, statistics, 1e-5);
      },
      GroupNormalization: ([x], weight) =>
        raw("GroupNormalization", [x!, weight([channels]), weight([channels])], shape, {
          num_groups: { int: GROUPS },
        }),
    },
  };
}

function linears([rows, width, out]: Shape): Contest {
  return {
    name: `linear [${rows}, ${width}] -> ${out}`,
    inputs: [[rows!, width!]],
    forms: {
      "Gemm with transB": ([x], weight) => gemmTransB(x!, weight([out!, width!]), weight([out!])),
      "MatMul with the transposed weight, then Add": ([x], weight) =>
        add(matMul(x!, transpose(weight([out!, width!]), [1, 0])), weight([out!])),
    },
  };
}

function temporalAttentions([frames, places, heads, d]: Shape): Contest {
  const tokens = [frames! * places!, heads! * d!];
  const split = (x: Value): Value => reshape(x, [frames!, places!, heads!, d!]);
  const moved = (x: Value): Value => transpose(split(x), [1, 2, 0, 3]);
  const back = (x: Value): Value => reshape(transpose(x, [2, 0, 1, 3]), tokens);
  const alpha = 1 / Math.sqrt(d!);
  const strided = { transBatchA: true, transBatchB: true };
  return {
    name: `attention among ${frames} frames, ${places} places, ${heads} heads of ${d}`,
    inputs: [tokens, tokens, tokens],
    forms: {
      "FusedMatMul by strides, one transpose": ([q, k, v]) => {
        const scores = fusedMatMul(split(q!), split(k!), { alpha, transB: true, ...strided });
        return back(fusedMatMul(softmax(scores), split(v!), { transBatchB: true }));
      },
      "four transposes": ([q, k, v]) => {
        const scores = fusedMatMul(moved(q!), moved(k!), { alpha, transB: true });
        return back(matMul(softmax(scores), moved(v!)));
      },
      "MultiHeadAttention on transposed tokens": ([q, k, v]) => {
        const placesFirst = (x: Value): Value =>
          transpose(reshape(x, [frames!, places!, tokens[1]!]), [1, 0, 2]);
        const [a, b, c] = [placesFirst(q!), placesFirst(k!), placesFirst(v!)];
        return transpose(multiHeadAttention(a, b, c, heads!), [1, 0, 2]);
      },
    },
  };
}

function spatialAttentions([frames, places, heads, d]: Shape): Contest {
  const shape = [frames!, places!, heads! * d!];
  const moved = (x: Value): Value =>
    transpose(reshape(x, [frames!, places!, heads!, d!]), [0, 2, 1, 3]);
  return {
    name: `attention among ${places} places of ${frames} frames, ${heads} heads of ${d}`,
    inputs: [shape, shape, shape],
    forms: {
      MultiHeadAttention: ([q, k, v]) => multiHeadAttention(q!, k!, v!, heads!),
      "two products around a softmax": ([q, k, v]) => {
        const alpha = 1 / Math.sqrt(d!);
        const scores = fusedMatMul(moved(q!), moved(k!), { alpha, transB: true });
        return reshape(transpose(matMul(softmax(scores), moved(v!)), [0, 2, 1, 3]), shape);
      },
    },
  };
}

function temporalConvolutions([frames, channels, height, width]: Shape): Contest {
  const [f, c, places] = [frames!, channels!, height! * width!];
  return {
    name: `(3, 1, 1) convolution of [${f}, ${c}, ${places}], transposes included`,
    inputs: [[f, c, places]],
    forms: {
      "Conv with kernel (3, 1) on [1, C, F, H*W]": ([x], weight) => {
        const frameRows = reshape(transpose(x!, [1, 0, 2]), [1, c, f, places]);
        const result = conv(frameRows, weight([c, c, 3, 1]), weight([c]), { pads: [1, 0, 1, 0] });
        return transpose(reshape(result, [c, f, places]), [1, 0, 2]);
      },
      "Conv with kernel 1 on three frames as channels": ([x], weight) => {
        const zeros = x!.graph.floats([1, c, places], new Float32Array(c * places));
        const before = concat([zeros, slice(x!, 0, 0, f - 1)], 0);
        const after = concat([slice(x!, 0, 1, f), zeros], 0);
        const three = reshape(concat([before, x!, after], 1), [f, 3 * c, height!, width!]);
        return conv(three, weight([c, 3 * c, 1, 1]), weight([c]));
      },
    },
  };
}

function upsamplings(shape: Shape): Contest {
  const [, c, height, width] = shape as [number, number, number, number];
  return {
    name: `twice the size of [${shape}], then a 3x3 convolution`,
    inputs: [shape],
    forms: {
      "four convolutions with kernel 2, interleaved": ([x], weight) =>
        doubleAndConvolve(x!, weight([c, c, 3, 3]), weight([c])),
      "Resize, then Conv": ([x], weight) => {
        const pads = [1, 1, 1, 1] as const;
        const doubled = resizeNearest(x!, 2 * height, 2 * width);
        return conv(doubled, weight([c, c, 3, 3]), weight([c]), { pads });
      },
    },
  };
}

/** An operator that no model uses. */
function raw(
  opType: string,
  inputs: readonly [Value, ...Value[]],
  shape: Shape,
  attributes: Attributes = {},
): Value {
  return inputs[0].graph.node({ opType, inputs, shape, attributes });
}
