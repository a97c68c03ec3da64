/**
 * @file Records an ONNX graph, node by node, with every shape known and checked.
 *
 * The operators themselves are plain functions in `ops-*.ts`; layers with parameters are in
 * `layers.ts`. Nothing is computed here and no weight is read: parameters stay byte ranges of the
 * checkpoint's own files.
 */
import { assert } from "../../shared/core/assert.js";
import { FarmError } from "../../shared/core/errors.js";
import { float32ToFloat16 } from "../../shared/tensor/float16.js";
import { type ComputeType, elementCount } from "../../shared/tensor/tensor.js";
import {
  type Attributes,
  type BuiltGraph,
  CPU_VARIANT,
  type Domain,
  type ElementType,
  type FileRange,
  type GraphNode,
  type GraphVariant,
  type Initializer,
  type Port,
} from "./graph.js";
import { type CostedNode, costsOf } from "./graph-costs.js";
import { encodeModel } from "./graph-encoding.js";

/** A tensor that flows through one graph. */
export interface Value {
  readonly graph: GraphBuilder;
  /** Unique in its graph. */
  readonly name: string;
  /** Extent of each axis, outermost first. */
  readonly shape: readonly number[];
  readonly elementType: ElementType;
  /** The checkpoint's path of the module that made it, e.g. "down_blocks.0.downsamplers.0.conv". */
  readonly path: string;
  /** Whether it depends on no input of the graph, so that the engine can compute it once at load. */
  readonly constant: boolean;
}

/** What an operator function knows of the node it adds. */
export interface NodeCall {
  readonly opType: string;
  /** null stands for an optional input left out. */
  readonly inputs: readonly (Value | null)[];
  readonly shape: readonly number[];
  readonly attributes?: Attributes;
  readonly domain?: Domain;
  /** Default: that of the first input. */
  readonly elementType?: ElementType;
  /** Multiplications with an addition each, where they are what the operator is about. */
  readonly multiplications?: number;
}

const BYTES_OF: Readonly<Record<ElementType, number>> = {
  ...{ float32: 4, float16: 2, bfloat16: 2, int64: 8 },
};

export class GraphBuilder {
  /** What the operators and layers choose their forms by. */
  readonly variant: GraphVariant;
  readonly #name: string;
  readonly #names = new Set<string>();
  readonly #inputs: Port[] = [];
  readonly #outputs = new Map<string, Value>();
  readonly #nodes: GraphNode[] = [];
  /** Of every node, in the same order. */
  readonly #costs: CostedNode[] = [];
  readonly #initializers: Initializer[] = [];
  readonly #constants = new Map<string, Value>();

  /** @param name of the graph, for people who look at it in a viewer */
  constructor(name: string, variant: GraphVariant = CPU_VARIANT) {
    this.#name = name;
    this.variant = variant;
  }

  /** A float32 tensor that every run is given, whatever the graph computes in. */
  input(name: string, shape: readonly number[]): Value {
    this.#inputs.push({ name, shape });
    return this.#value(this.#unique(name), shape, "float32", "", false);
  }

  /** A small constant in the type that the graph computes in, kept inside the model's bytes. */
  floats(
    shape: readonly number[],
    values: readonly number[] | Float32Array,
    type: ComputeType = this.variant.dtype,
  ): Value {
    assert(values.length === elementCount(shape), `${elementCount(shape)} values for a constant`);
    const wide = Float32Array.from(values);
    const { buffer } = type === "float32" ? wide : float32ToFloat16(wide);
    return this.#inline(type, shape, new Uint8Array(buffer));
  }

  /** A small int64 vector, kept inside the model's bytes: shapes and sizes that operators read. */
  ints(values: readonly number[]): Value {
    const bytes = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
    return this.#inline("int64", [values.length], bytes);
  }

  /** A parameter of the checkpoint, left where it is. `path` is its module. */
  parameter(
    name: string,
    elementType: ElementType,
    shape: readonly number[],
    range: FileRange,
    path: string,
  ): Value {
    const unique = this.#unique(name);
    this.#initializers.push({ name: unique, elementType, shape, data: range });
    return this.#value(unique, shape, elementType, path, true);
  }

  /** Adds a node. Only the operator functions of `ops-*.ts` call this: they check the shapes. */
  node(call: NodeCall): Value {
    const given = call.inputs.filter((input) => input !== null);
    for (const input of given) assert(input.graph === this, `inputs of one graph: ${input.name}`);
    const path = pathOf(call.inputs);
    const name = this.#unique(path === "" ? call.opType : `${path}/${call.opType}`);
    this.#nodes.push({
      name,
      opType: call.opType,
      domain: call.domain ?? "",
      inputs: call.inputs.map((input) => input?.name ?? ""),
      attributes: call.attributes ?? {},
    });
    const constant = given.every((input) => input.constant);
    const elementType = call.elementType ?? given[0]!.elementType;
    const value = this.#value(name, call.shape, elementType, path, constant);
    this.#costs.push({
      ...{ name, constant, opType: call.opType, inputs: this.#nodes.at(-1)!.inputs },
      bytes: bytesOf(value),
      multiplications: call.multiplications ?? 0,
    });
    return value;
  }

  /** Makes a float32 `value` a result of the graph, under `name`. */
  output(name: string, value: Value): void {
    assert(value.graph === this, "an output of this graph");
    assert(value.elementType === "float32", `a float32 output, not ${value.elementType}`);
    this.#outputs.set(this.#unique(name), value);
  }

  /**
   * The finished graph: all inputs, and of nodes and constants those that an output needs.
   *
   * @param parameterCount values in all parameters that the graph stands for
   */
  build(parameterCount: number): BuiltGraph {
    assert(this.#outputs.size > 0, "a graph with an output");
    const needed = this.#needed();
    const nodes = this.#nodes.filter(({ name }) => needed.has(name));
    const initializers = this.#initializers.filter(({ name }) => needed.has(name));
    const outputs = [...this.#outputs].map(([name, { shape }]) => ({ name, shape }));
    // A value becomes an output by taking the output's name, which spares a copying node.
    const renamed = new Map([...this.#outputs].map(([name, value]) => [value.name, name]));
    const bytes = encodeModel(
      this.#name,
      { inputs: this.#inputs, outputs, nodes, initializers },
      renamed,
    );
    return {
      bytes,
      inputs: this.#inputs,
      outputs,
      parameterCount,
      ...weightsOf(initializers, this.variant.dtype),
      nodeCount: nodes.length,
      costs: costsOf(
        new Map(this.#inputs.map(({ name, shape }) => [name, 4 * elementCount(shape)])),
        this.#costs.filter(({ name }) => needed.has(name)),
        [...this.#outputs.values()].map(({ name }) => name),
      ),
    };
  }

  /** Names of all values that the outputs are computed from. */
  #needed(): ReadonlySet<string> {
    const needed = new Set([...this.#outputs.values()].map((value) => value.name));
    // Nodes are in topological order: from the end, every reader comes before what it reads.
    for (const node of this.#nodes.toReversed()) {
      if (needed.has(node.name)) for (const input of node.inputs) needed.add(input);
    }
    return needed;
  }

  #inline(elementType: ElementType, shape: readonly number[], bytes: Uint8Array): Value {
    const key = `${elementType}[${shape.join(",")}]${Buffer.from(bytes).toString("base64")}`;
    const known = this.#constants.get(key);
    if (known !== undefined) return known;
    const name = this.#unique(`constant.${this.#constants.size}`);
    this.#initializers.push({ name, elementType, shape, data: bytes });
    const value = this.#value(name, shape, elementType, "", true);
    this.#constants.set(key, value);
    return value;
  }

  #value(
    name: string,
    shape: readonly number[],
    elementType: ElementType,
    path: string,
    constant: boolean,
  ): Value {
    assert(
      shape.every((n) => Number.isInteger(n) && n >= 0),
      `extents of ${name}: [${shape}]`,
    );
    return { graph: this, name, shape, elementType, path, constant };
  }

  #unique(wanted: string): string {
    let name = wanted;
    for (let n = 2; this.#names.has(name); n++) name = `${wanted}#${n}`;
    this.#names.add(name);
    return name;
  }
}

/** Parameters are brought to the graph's type at load, whatever they are stored in. */
function weightsOf(initializers: readonly Initializer[], dtype: ComputeType) {
  let [weightBytes, convertedBytes] = [0, 0];
  for (const { elementType, shape, data } of initializers) {
    if (data instanceof Uint8Array) continue;
    weightBytes += BYTES_OF[dtype] * elementCount(shape);
    if (elementType !== dtype) convertedBytes += data.byteLength;
  }
  return { weightBytes, convertedBytes };
}

function bytesOf({ elementType, shape }: Value): number {
  return BYTES_OF[elementType] * elementCount(shape);
}

/** The module a node belongs to: that of its first parameter, else that of its first input. */
function pathOf(inputs: readonly (Value | null)[]): string {
  const owner = inputs.find((input) => input?.constant && input.path !== "");
  return owner?.path ?? inputs.find((input) => input !== null)?.path ?? "";
}

/** The error of an operator whose inputs do not fit each other: operator, node and numbers. */
export function shapeMismatch(
  opType: string,
  inputs: readonly (Value | null)[],
  detail: string,
): FarmError {
  const path = pathOf(inputs);
  const where = path === "" ? opType : `${opType} at ${path}`;
  return new FarmError("graph-shape-mismatch", `${where}: ${detail}`);
}

/** "[1, 4, 8]", for messages. */
export function showShape(shape: readonly number[]): string {
  return `[${shape.join(", ")}]`;
}
