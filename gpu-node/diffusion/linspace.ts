/** @file `torch.linspace` in float32, shared by the beta schedules and the guidance ramp. */

/**
 * `count` float32 values from `start` to `end`, walked from both ends towards the middle.
 *
 * torch multiplies and adds with one rounding (its AVX2 and AVX512 kernels use fused multiply-add);
 * a float32 product is exact in double precision, so the rounding on storing is that one rounding.
 *
 * @param count an integer, at least 1; 1 gives `start` alone
 * @source pytorch aten/src/ATen/native/cpu/RangeFactoriesKernel.cpp, linspace_kernel
 */
export function linspaceF32(start: number, end: number, count: number): Float32Array {
  const [first, last] = [Math.fround(start), Math.fround(end)];
  const values = new Float32Array(count);
  if (count === 1) return values.fill(first);
  const step = Math.fround(Math.fround(last - first) / (count - 1));
  const half = Math.floor(count / 2);
  for (let i = 0; i < count; i++) {
    values[i] = i < half ? first + step * i : last - step * (count - 1 - i);
  }
  return values;
}
