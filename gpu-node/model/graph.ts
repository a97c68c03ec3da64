/** @file A recorded graph as data: what the builder makes and the encoding writes. */
import type { ComputeType } from "../../shared/tensor/tensor.js";
import type { GraphCosts } from "./graph-costs.js";

export type ElementType = "float32" | "float16" | "bfloat16" | "int64";

/** Operator sets: "" is ONNX's own, "com.microsoft" is onnxruntime's. */
export type Domain = "" | "com.microsoft";

/** A constant argument of a node, tagged with the ONNX type that the operator asks for. */
export type Attribute =
  | { readonly float: number }
  | { readonly int: number }
  | { readonly ints: readonly number[] }
  | { readonly string: string };

export type Attributes = Readonly<Record<string, Attribute>>;

/** One call of an operator; it has exactly one output, named like the node. */
export interface GraphNode {
  readonly name: string;
  readonly opType: string;
  readonly domain: Domain;
  /** Names of values; "" stands for an optional input left out. */
  readonly inputs: readonly string[];
  readonly attributes: Attributes;
}

/** A constant: its bytes inline, or a byte range of a file of the checkpoint. */
export interface Initializer {
  readonly name: string;
  readonly elementType: ElementType;
  readonly shape: readonly number[];
  readonly data: Uint8Array | FileRange;
}

export interface FileRange {
  /** File name inside the folder that the session is told of. */
  readonly file: string;
  readonly offset: number;
  readonly byteLength: number;
}

/** A float32 input or output of a graph. */
export interface Port {
  readonly name: string;
  readonly shape: readonly number[];
}

/** A finished graph, ready for an engine that is told where the checkpoint's files are. */
export interface BuiltGraph {
  /** An ONNX ModelProto; weights are external data. */
  readonly bytes: Uint8Array;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /** Values in all parameters of the checkpoint that the graph stands for. */
  readonly parameterCount: number;
  /** Bytes of the parameters that a run reads, in the type in which it computes with them. */
  readonly weightBytes: number;
  /** Bytes in the files of those of them that are stored in another type. */
  readonly convertedBytes: number;
  readonly nodeCount: number;
  /** Of one run. */
  readonly costs: GraphCosts;
}

/** What differs between the graphs of one model for several execution providers. */
export interface GraphVariant {
  /** "fused": one operator, which never holds a whole matrix of scores; "products": plain ones. */
  readonly attention: "fused" | "products";
  /**
   * A convolution behind a doubling. "phases": four small ones, 4/9 of the multiplications; "resize":
   * the doubled picture, as the reference has it.
   */
  readonly upsampling: "phases" | "resize";
  /**
   * Bytes of a feed-forward network's inner values that are computed at a time, so that a core's cache
   * holds them; absent: all at once.
   */
  readonly feedForwardBytes?: number;
  /** Frames that a feed-forward network computes at a time, at the most; absent: as many as it likes. */
  readonly forwardChunkSize?: number;
  /** What it computes in; inputs and outputs are float32 either way. */
  readonly dtype: ComputeType;
}

/** What the CPU provider runs fastest. */
export const CPU_VARIANT: GraphVariant = {
  attention: "fused",
  upsampling: "phases",
  feedForwardBytes: 2 ** 20,
  dtype: "float32",
};

export interface GraphRecord {
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /** In topological order. */
  readonly nodes: readonly GraphNode[];
  readonly initializers: readonly Initializer[];
}
