/**
 * @file safetensors files: 8 bytes header length, a JSON header, then the tensors' bytes without gaps.
 *
 * The reader trusts nothing: whatever it accepts has the shape, type and place that its header says,
 * so that others may map byte ranges without looking again.
 *
 * @source https://github.com/huggingface/safetensors, README "Format" and src/tensor.rs
 */

import { assert } from "../core/assert.js";
import { FarmError, type Violation } from "../core/errors.js";
import { parseStrictJson, quoteName } from "../core/strict-json.js";
import { bfloat16ToFloat32, float16ToFloat32 } from "./float16.js";
import {
  byteLengthOf,
  layoutProblems,
  readEntry,
  SAFETENSORS_DTYPE_BYTES,
  type SafetensorsDtype,
  type SafetensorsEntry,
} from "./safetensors-entry.js";
import type { Tensor } from "./tensor.js";

export type { SafetensorsDtype, SafetensorsEntry };

export interface SafetensorsHeader {
  /** In the order of their bytes in the file. */
  readonly entries: readonly SafetensorsEntry[];
  /** The file's free text. */
  readonly metadata: ReadonlyMap<string, string>;
  /** Where the tensors' bytes begin, counted from the beginning of the file. */
  readonly dataBegin: number;
}

/** The reference's own limit on a header. */
const SAFETENSORS_HEADER_BYTES_MAX = 100_000_000;
/** The length field before the header. */
export const SAFETENSORS_PREFIX_BYTES = 8;
/** The root, a tensor, its shape. */
const HEADER_DEPTH_MAX = 3;
/** Problems listed in one error; a damaged file can have thousands. */
const PROBLEMS_MAX = 20;

/**
 * How many bytes from the beginning of a file its header takes, the length field included.
 *
 * @param prefix   the file's first 8 bytes, or more
 * @param fileSize bytes of the whole file
 * @throws FarmError "checkpoint-invalid" too short for a header, or a length beyond the file or 100 MB
 */
export function safetensorsHeaderEnd(
  prefix: Uint8Array,
  fileSize: number,
  fileName: string,
): number {
  if (fileSize < SAFETENSORS_PREFIX_BYTES + 2 || prefix.length < SAFETENSORS_PREFIX_BYTES) {
    throw invalid(fileName, [`${fileSize} bytes are too few for a safetensors file`]);
  }
  const view = new DataView(prefix.buffer, prefix.byteOffset, SAFETENSORS_PREFIX_BYTES);
  const length = view.getBigUint64(0, true);
  if (length > SAFETENSORS_HEADER_BYTES_MAX) {
    throw invalid(fileName, [
      `header length ${length} is above ${SAFETENSORS_HEADER_BYTES_MAX}; is it a safetensors file?`,
    ]);
  }
  const end = SAFETENSORS_PREFIX_BYTES + Number(length);
  if (end > fileSize) {
    throw invalid(fileName, [`header ends at byte ${end}, the file at ${fileSize}: truncated?`]);
  }
  return end;
}

/**
 * The header of a safetensors file, with every tensor's place checked against the file's size.
 *
 * @param head     the file's beginning, at least up to the header's end; the whole file is fine
 * @param fileSize bytes of the whole file
 * @param fileName used in messages only
 * @throws FarmError "checkpoint-invalid" with every problem found, each naming the file and the tensor
 */
export function decodeSafetensorsHeader(
  head: Uint8Array,
  fileSize: number,
  fileName: string,
): SafetensorsHeader {
  const dataBegin = safetensorsHeaderEnd(head, fileSize, fileName);
  if (head.length < dataBegin) {
    throw invalid(fileName, [`header of ${dataBegin} bytes, only ${head.length} could be read`]);
  }
  const root = parseHeader(head.subarray(SAFETENSORS_PREFIX_BYTES, dataBegin), fileName);

  const problems: string[] = [];
  const entries: SafetensorsEntry[] = [];
  const metadata = new Map<string, string>();
  for (const [name, value] of Object.entries(root)) {
    if (name === "__metadata__") {
      if (!readMetadata(value, metadata)) problems.push("__metadata__ must map names to strings");
      continue;
    }
    const entry = readEntry(name, value, dataBegin);
    if (typeof entry !== "string") entries.push(entry);
    else problems.push(`tensor ${quoteName(name)}: ${entry}`);
    if (problems.length > PROBLEMS_MAX) break;
  }
  if (problems.length > 0) throw invalid(fileName, problems);

  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  const misplaced = layoutProblems(entries, dataBegin, fileSize);
  if (misplaced.length > 0) throw invalid(fileName, misplaced);
  return { entries, metadata, dataBegin };
}

/**
 * Every tensor of a whole file in memory, widened to float32.
 *
 * @throws FarmError "checkpoint-invalid" as the header's reader, or a tensor that is not F32, F16 or BF16
 */
export function decodeTensors(file: Uint8Array, fileName = "safetensors"): Map<string, Tensor> {
  const { entries } = decodeSafetensorsHeader(file, file.length, fileName);
  const tensors = new Map<string, Tensor>();
  const problems: string[] = [];
  for (const entry of entries) {
    // A copy, because its offset must suit the type; Buffer's slice() would not make one.
    const bytes = new Uint8Array(file.subarray(entry.begin, entry.end));
    const data = toFloat32(entry.dtype, bytes);
    if (data !== null) tensors.set(entry.name, { shape: entry.shape, data });
    else problems.push(`tensor ${quoteName(entry.name)}: ${entry.dtype} is not F32, F16 or BF16`);
  }
  if (problems.length > 0) throw invalid(fileName, problems);
  return tensors;
}

/**
 * The values of floating-point bytes as float32.
 *
 * @param bytes little-endian, at an offset that suits the type (a fresh copy does)
 * @returns null when the type is not F32, F16 or BF16
 */
export function toFloat32(
  dtype: SafetensorsDtype,
  bytes: Uint8Array<ArrayBuffer>,
): Float32Array<ArrayBuffer> | null {
  const { buffer, byteOffset, length } = bytes;
  if (dtype === "F32") return new Float32Array(buffer, byteOffset, length / 4);
  if (dtype === "F16") return float16ToFloat32(new Uint16Array(buffer, byteOffset, length / 2));
  if (dtype === "BF16") return bfloat16ToFloat32(new Uint16Array(buffer, byteOffset, length / 2));
  return null;
}

/** A tensor to be written. */
export interface SafetensorsSpec {
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
}

/** A tensor to be written, with its values in little-endian row-major order. */
export interface SafetensorsTensor extends SafetensorsSpec {
  readonly bytes: Uint8Array;
}

/**
 * The header of a file to be written, so that its data can follow piece by piece.
 *
 * Wide types come first, then names in order: every tensor is aligned to its own type, and equal
 * content gives equal bytes.
 *
 * @param tensors  each name once
 * @param metadata free text
 * @returns the header's bytes, and the tensors in the order in which their bytes must follow
 */
export function encodeSafetensorsHeader(
  tensors: Iterable<readonly [name: string, spec: SafetensorsSpec]>,
  metadata: Readonly<Record<string, string>> = {},
): { header: Uint8Array; entries: SafetensorsEntry[]; byteLength: number } {
  const sorted = [...tensors].sort(([a, { dtype: x }], [b, { dtype: y }]) => {
    const wider = SAFETENSORS_DTYPE_BYTES[y] - SAFETENSORS_DTYPE_BYTES[x];
    return wider !== 0 ? wider : a < b ? -1 : 1;
  });
  const names = new Set(sorted.map(([name]) => name));
  assert(names.size === sorted.length, "each tensor name once");
  assert(!names.has("__metadata__") && !names.has("__proto__"), "no reserved tensor name");

  const fields: string[] = [];
  if (Object.keys(metadata).length > 0) fields.push(`"__metadata__":${JSON.stringify(metadata)}`);
  const placed: SafetensorsEntry[] = [];
  let end = 0;
  for (const [name, { dtype, shape }] of sorted) {
    const begin = end;
    const bytes = byteLengthOf(dtype, shape);
    assert(bytes !== null, `a shape that fits a file, not [${shape.join(", ")}] of ${name}`);
    end = begin + bytes;
    placed.push({ name, dtype, shape, begin, end });
    const value = { dtype, shape, data_offsets: [begin, end] };
    fields.push(`${JSON.stringify(name)}:${JSON.stringify(value)}`);
  }

  const text = new TextEncoder().encode(`{${fields.join(",")}}`);
  const dataBegin = SAFETENSORS_PREFIX_BYTES + Math.ceil(text.length / 8) * 8;
  const header = new Uint8Array(dataBegin).fill(0x20); // the format pads with spaces
  new DataView(header.buffer).setBigUint64(0, BigInt(dataBegin - SAFETENSORS_PREFIX_BYTES), true);
  header.set(text, SAFETENSORS_PREFIX_BYTES);
  const entries = placed.map((e) => ({ ...e, begin: dataBegin + e.begin, end: dataBegin + e.end }));
  return { header, entries, byteLength: dataBegin + end };
}

/**
 * A file as its header and the tensors' bytes in file order: write one after the other.
 *
 * @returns byteLength of the whole file; `parts` are the very arrays passed in, not copies
 */
export function encodeSafetensors(
  tensors: Iterable<readonly [name: string, tensor: SafetensorsTensor]>,
  metadata: Readonly<Record<string, string>> = {},
): { header: Uint8Array; parts: Uint8Array[]; byteLength: number } {
  const byName = new Map<string, SafetensorsTensor>();
  const specs = [...tensors];
  for (const [name, tensor] of specs) byName.set(name, tensor);
  const { header, entries, byteLength } = encodeSafetensorsHeader(specs, metadata);
  const parts = entries.map(({ name, begin, end }) => {
    const { bytes } = byName.get(name)!;
    assert(bytes.length === end - begin, `${end - begin} bytes for ${name}, not ${bytes.length}`);
    return bytes;
  });
  return { header, parts, byteLength };
}

/** A whole file as one array; for files small enough to be held twice. */
export function encodeSafetensorsFile(
  tensors: Iterable<readonly [name: string, tensor: SafetensorsTensor]>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const { header, parts, byteLength } = encodeSafetensors(tensors, metadata);
  const file = new Uint8Array(byteLength);
  let at = 0;
  for (const part of [header, ...parts]) {
    file.set(part, at);
    at += part.length;
  }
  return file;
}

/** A float32 tensor in the form that is written; shares its memory. */
export function toSafetensorsTensor({ shape, data }: Tensor): SafetensorsTensor {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { dtype: "F32", shape, bytes };
}

function parseHeader(bytes: Uint8Array, fileName: string): object {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    if (!text.startsWith("{")) throw new SyntaxError("does not begin with {");
    return parseStrictJson(text, { depthMax: HEADER_DEPTH_MAX }) as object;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw invalid(fileName, [`header is not valid JSON: ${reason}`], cause);
  }
}

function readMetadata(value: unknown, into: Map<string, string>): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string") return false;
    into.set(key, text);
  }
  return true;
}

function invalid(fileName: string, problems: readonly string[], cause?: unknown): FarmError {
  const listed = problems.slice(0, PROBLEMS_MAX);
  if (problems.length > PROBLEMS_MAX) listed.push("and more");
  const violations: Violation[] = listed.map((description) => ({ field: fileName, description }));
  return new FarmError("checkpoint-invalid", `${fileName}: ${listed.join("; ")}`, {
    violations,
    ...(cause === undefined ? {} : { cause }),
  });
}
