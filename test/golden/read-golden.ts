/** @file Reference numbers for tests: float32 tensors and JSON lists under test/golden/data. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Tensor, tensor } from "../../shared/tensor/tensor.js";

const DATA = join(import.meta.dirname, "data");

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [begin: number, end: number];
}

/** The absolute path of a file under test/golden/data, for example "parts/image0.png". */
export function goldenPath(path: string): string {
  return join(DATA, path);
}

/** A JSON file under test/golden/data; the caller says what is in it. */
export function readGoldenJson<T>(path: string): T {
  return JSON.parse(readFileSync(goldenPath(path), "utf8")) as T;
}

/**
 * Every tensor of a safetensors file, by name.
 *
 * @param path under test/golden/data, or absolute
 * @throws Error when a tensor is not float32: reference numbers are
 */
export function readGolden(path: string): Map<string, Tensor> {
  const bytes = readFileSync(path.startsWith("/") ? path : goldenPath(path));
  const bodyStart = 8 + Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString("utf8", 8, bodyStart)) as Record<string, Entry>;
  const tensors = new Map<string, Tensor>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    if (entry.dtype !== "F32") throw new Error(`${path}: ${name} is ${entry.dtype}, not F32`);
    const [begin, end] = entry.data_offsets;
    const body = Uint8Array.from(bytes.subarray(bodyStart + begin, bodyStart + end)); // aligned
    tensors.set(name, tensor(entry.shape, new Float32Array(body.buffer)));
  }
  return tensors;
}

/** One tensor of a golden file; a name that is not there is an error of the test. */
export function goldenTensor(tensors: ReadonlyMap<string, Tensor>, name: string): Tensor {
  const found = tensors.get(name);
  if (found === undefined) throw new Error(`golden tensor ${name} does not exist`);
  return found;
}

/** The largest |actual - expected|; lengths that differ and NaN count as infinitely far apart. */
export function maxDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let max = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    if (!(difference <= max))
      max = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
  }
  return max;
}

/** `maxDifference` over the largest |expected|, the measure of the golden tolerances. */
export function maxRelativeDifference(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
): number {
  let largest = 0;
  for (let i = 0; i < expected.length; i++) largest = Math.max(largest, Math.abs(expected[i]!));
  return maxDifference(actual, expected) / (largest || 1);
}
