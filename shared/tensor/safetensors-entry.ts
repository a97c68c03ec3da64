/** @file One tensor of a safetensors header: its form, and what must hold for all of them together. */
import { quoteName } from "../core/strict-json.js";

/** Bytes of one value, by the type's name in a header. */
export const SAFETENSORS_DTYPE_BYTES = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  F8_E8M0: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  I64: 8,
  U64: 8,
  F64: 8,
  C64: 8,
} as const;

export type SafetensorsDtype = keyof typeof SAFETENSORS_DTYPE_BYTES;

/** Where one tensor lies in a file. */
export interface SafetensorsEntry {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  /** Row-major extents, outermost first; [] for a scalar. An extent of 0 means no bytes. */
  readonly shape: readonly number[];
  /** First byte, counted from the beginning of the file. */
  readonly begin: number;
  /** One past the last byte, counted from the beginning of the file. */
  readonly end: number;
}

/** PyTorch's own limit on the axes of a tensor. */
const RANK_MAX = 64;

/**
 * One value of the header object as an entry.
 *
 * @param dataBegin where the data section begins; the header counts from there
 * @returns a sentence that says what is wrong when it is no entry
 */
export function readEntry(
  name: string,
  value: unknown,
  dataBegin: number,
): SafetensorsEntry | string {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return "not an object";
  const fields = new Map<string, unknown>(Object.entries(value));
  for (const key of fields.keys()) {
    if (!FIELDS.has(key)) return `unknown field ${quoteName(key)}`;
  }

  const dtype = fields.get("dtype");
  if (!isDtype(dtype)) return `dtype ${show(dtype)} is unknown`;
  const shape = fields.get("shape");
  if (!Array.isArray(shape) || shape.length > RANK_MAX || !shape.every(isCount)) {
    return `shape ${show(shape)} is not a list of at most ${RANK_MAX} counts`;
  }
  const offsets = fields.get("data_offsets");
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
    return `data_offsets ${show(offsets)} are not two byte counts`;
  }

  const [begin, end] = offsets as [number, number];
  const expected = byteLengthOf(dtype, shape);
  if (expected === null) return `shape ${show(shape)} overflows`;
  if (end - begin !== expected) {
    return `${dtype} ${show(shape)} takes ${expected} bytes, data_offsets hold ${end - begin}`;
  }
  return { name, dtype, shape, begin: dataBegin + begin, end: dataBegin + end };
}

/**
 * Whether the tensors cover the data section exactly: no overlap, no hole, nothing behind the end.
 *
 * @param sorted by their beginning
 * @returns a sentence for each problem
 */
export function layoutProblems(
  sorted: readonly SafetensorsEntry[],
  dataBegin: number,
  fileSize: number,
): string[] {
  const problems: string[] = [];
  let covered = dataBegin;
  let previous = "the header";
  for (const { name, begin, end } of sorted) {
    const shown = `tensor ${quoteName(name)}`;
    if (end > fileSize) {
      problems.push(`${shown}: ends at byte ${end}, the file at ${fileSize}: truncated?`);
    } else if (begin < covered) {
      problems.push(
        `${shown}: begins at byte ${begin}, inside ${previous} which ends at ${covered}`,
      );
    } else if (begin > covered) {
      problems.push(`${shown}: begins at byte ${begin}, a hole after ${previous} at ${covered}`);
    }
    covered = Math.max(covered, end);
    previous = shown;
  }
  if (covered < fileSize) {
    problems.push(`${fileSize - covered} bytes after ${previous} belong to no tensor`);
  }
  return problems;
}

/** Bytes of a tensor, or null when they cannot be counted exactly. */
export function byteLengthOf(dtype: SafetensorsDtype, shape: readonly number[]): number | null {
  // An extent of 0 must not hide an overflow before it, as in [2^40, 2^40, 0].
  let bytes: number = SAFETENSORS_DTYPE_BYTES[dtype];
  for (const extent of shape) {
    if (extent === 0) continue;
    bytes *= extent;
    if (!Number.isSafeInteger(bytes)) return null;
  }
  return shape.includes(0) ? 0 : bytes;
}

const FIELDS = new Set(["dtype", "shape", "data_offsets"]);

function isDtype(value: unknown): value is SafetensorsDtype {
  return typeof value === "string" && Object.hasOwn(SAFETENSORS_DTYPE_BYTES, value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** A value from a file, fit for a message. */
function show(value: unknown): string {
  const text = value === undefined ? "missing" : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
