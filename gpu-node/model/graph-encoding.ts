/** @file Writes a recorded graph as the bytes of an ONNX ModelProto. */

import {
  type AttributeProto,
  AttributeProto_AttributeType,
  ModelProto,
  type NodeProto,
  type TensorProto,
  TensorProto_DataLocation,
  TensorProto_DataType,
  tensorProto_DataTypeToNumber,
  type ValueInfoProto,
} from "../../proto/gen/onnx/onnx.js";
import { assertNever } from "../../shared/core/assert.js";
import type { Attribute, ElementType, GraphNode, GraphRecord, Initializer, Port } from "./graph.js";

/** IR version 10 and operator set 21 belong to ONNX 1.16; every engine since 2024 reads them. */
const IR_VERSION = 10n;
const ONNX_OPSET = 21n;
const MICROSOFT_OPSET = 1n;

/** @returns ONNX's number for the type */
export function onnxDataType(type: ElementType): number {
  switch (type) {
    case "float32":
      return tensorProto_DataTypeToNumber(TensorProto_DataType.FLOAT);
    case "float16":
      return tensorProto_DataTypeToNumber(TensorProto_DataType.FLOAT16);
    case "bfloat16":
      return tensorProto_DataTypeToNumber(TensorProto_DataType.BFLOAT16);
    case "int64":
      return tensorProto_DataTypeToNumber(TensorProto_DataType.INT64);
    default:
      return assertNever(type);
  }
}

/**
 * @param name of the graph
 * @param renamed names of values that are written under another name: the graph's outputs
 * @returns the bytes of an ONNX ModelProto
 */
export function encodeModel(
  name: string,
  graph: GraphRecord,
  renamed: ReadonlyMap<string, string>,
): Uint8Array {
  const model = ModelProto.fromPartial({
    irVersion: IR_VERSION,
    producerName: "renderfarm",
    graph: {
      name,
      node: graph.nodes.map((node) => nodeProto(node, renamed)),
      initializer: graph.initializers.map(tensorProto),
      input: graph.inputs.map(valueInfoProto),
      output: graph.outputs.map(valueInfoProto),
    },
    opsetImport: [
      { domain: "", version: ONNX_OPSET },
      { domain: "com.microsoft", version: MICROSOFT_OPSET },
    ],
  });
  return ModelProto.encode(model).finish();
}

function nodeProto(node: GraphNode, renamed: ReadonlyMap<string, string>): NodeProto {
  const written = (value: string): string => renamed.get(value) ?? value;
  return {
    name: node.name,
    opType: node.opType,
    domain: node.domain,
    input: node.inputs.map(written),
    output: [written(node.name)],
    attribute: Object.entries(node.attributes).map(([name, value]) => attributeProto(name, value)),
  };
}

function attributeProto(name: string, value: Attribute): AttributeProto {
  const proto = { name, f: 0, i: 0n, s: Buffer.alloc(0), ints: [] as bigint[] };
  if ("float" in value) {
    return { ...proto, f: value.float, type: AttributeProto_AttributeType.FLOAT };
  }
  if ("int" in value) {
    return { ...proto, i: BigInt(value.int), type: AttributeProto_AttributeType.INT };
  }
  if ("ints" in value) {
    const ints = value.ints.map(BigInt);
    return { ...proto, ints, type: AttributeProto_AttributeType.INTS };
  }
  return { ...proto, s: Buffer.from(value.string), type: AttributeProto_AttributeType.STRING };
}

function tensorProto(tensor: Initializer): TensorProto {
  const proto = {
    name: tensor.name,
    dims: tensor.shape.map(BigInt),
    dataType: onnxDataType(tensor.elementType),
  };
  if (tensor.data instanceof Uint8Array) {
    return {
      ...proto,
      rawData: Buffer.from(tensor.data),
      externalData: [],
      dataLocation: TensorProto_DataLocation.DEFAULT,
    };
  }
  const { file, offset, byteLength } = tensor.data;
  return {
    ...proto,
    rawData: Buffer.alloc(0),
    externalData: [
      { key: "location", value: file },
      { key: "offset", value: String(offset) },
      { key: "length", value: String(byteLength) },
    ],
    dataLocation: TensorProto_DataLocation.EXTERNAL,
  };
}

function valueInfoProto(port: Port): ValueInfoProto {
  const dim = port.shape.map((extent) => ({ dimValue: BigInt(extent) }));
  return {
    name: port.name,
    type: { tensorType: { elemType: onnxDataType("float32"), shape: { dim } } },
  };
}
