/**
 * @file float16 and bfloat16, as the 16-bit patterns in which tensors of them are stored.
 *
 * Widening is exact. Narrowing rounds to nearest, ties to even, overflows to infinity and keeps
 * subnormals, as PyTorch's `.half()` and `.bfloat16()` do.
 *
 * @source IEEE 754-2019, binary16; bfloat16 is the upper half of binary32
 */

/** float16 bits to their values. */
export function float16ToFloat32(bits: Uint16Array): Float32Array<ArrayBuffer> {
  const table = float16Table();
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = table[bits[i]!]!;
  return new Float32Array(words.buffer);
}

/** Values to the nearest float16; 65520 and more in size become infinity. */
export function float32ToFloat16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const words = wordsOf(values);
  const bits = new Uint16Array(values.length);
  for (let i = 0; i < words.length; i++) bits[i] = narrowToFloat16(words[i]!);
  return bits;
}

/** Every value to the nearest float16, in place. */
export function roundToFloat16(values: Float32Array): void {
  const table = float16Table();
  const words = wordsOf(values);
  for (let i = 0; i < words.length; i++) words[i] = table[narrowToFloat16(words[i]!)]!;
}

/** bfloat16 bits to their values. */
export function bfloat16ToFloat32(bits: Uint16Array): Float32Array<ArrayBuffer> {
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i]! << 16;
  return new Float32Array(words.buffer);
}

/** Values to the nearest bfloat16. */
export function float32ToBfloat16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const words = wordsOf(values);
  const bits = new Uint16Array(values.length);
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    const isNan = (word & 0x7fff_ffff) > FLOAT32_INFINITY;
    bits[i] = isNan ? 0x7fc0 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return bits;
}

const FLOAT32_INFINITY = 0x7f80_0000;
/** 65520 as float32: halfway between the largest float16 and the next power of two. */
const FLOAT16_OVERFLOW = 0x477f_f000;
/** 2^-14 as float32, the smallest normal float16. */
const FLOAT16_NORMAL_MIN = 0x3880_0000;
/** The exponent biases of float32 and float16 differ by 112. */
const BIAS_DIFFERENCE = 112 << 23;

const scratchFloat = new Float32Array(1);
const scratchWord = new Uint32Array(scratchFloat.buffer);

function narrowToFloat16(word: number): number {
  const sign = (word >>> 16) & 0x8000;
  const size = word & 0x7fff_ffff;
  if (size > FLOAT32_INFINITY) return sign | 0x7e00;
  if (size >= FLOAT16_OVERFLOW) return sign | 0x7c00;
  if (size >= FLOAT16_NORMAL_MIN) {
    const rounded = size - BIAS_DIFFERENCE + 0x0fff + ((size >>> 13) & 1);
    return sign | (rounded >>> 13);
  }
  // Between 0.5 and 1, float32 counts in steps of 2^-24, as subnormal float16 does: adding 0.5
  // rounds, and leaves the count of steps in the mantissa.
  scratchWord[0] = size;
  scratchFloat[0] = scratchFloat[0]! + 0.5;
  return sign | (scratchWord[0]! - 0x3f00_0000);
}

let table: Uint32Array | undefined;

/** The float32 bits of all 65,536 float16 patterns, made at the first use. */
function float16Table(): Uint32Array {
  if (table === undefined) {
    table = new Uint32Array(65_536);
    for (let bits = 0; bits < 65_536; bits++) table[bits] = widenFloat16(bits);
  }
  return table;
}

function widenFloat16(bits: number): number {
  const sign = (bits & 0x8000) << 16;
  const exponent = (bits >>> 10) & 0x1f;
  const mantissa = bits & 0x03ff;
  if (exponent === 0x1f) return sign | FLOAT32_INFINITY | (mantissa << 13);
  if (exponent > 0) return sign | (((exponent << 23) + BIAS_DIFFERENCE) | (mantissa << 13));
  scratchFloat[0] = mantissa * 2 ** -24;
  return sign | scratchWord[0]!;
}

function wordsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}
