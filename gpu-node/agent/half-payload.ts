/** @file A half of a step as the bytes of a frame: in the type that the UNet computes in, so lossless. */
import { float16ToFloat32, float32ToFloat16 } from "../../shared/tensor/float16.js";
import { type ComputeType, floatsOf, type Tensor, tensor } from "../../shared/tensor/tensor.js";
import type { Frame } from "./denoise-parts.js";

/** What a frame carries that only tells a digest: a bus moves none without a payload. */
export const NO_HALF = tensor([1], new Float32Array(1));

/** @param half the UNet's answer, every value of which is one of `computed` */
export function encodeHalf(
  { data }: Tensor,
  computed: ComputeType,
): { readonly dtype: Frame["header"]["dtype"]; readonly payload: Uint8Array } {
  const values = computed === "float16" ? float32ToFloat16(data) : data;
  const payload = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return { dtype: computed === "float16" ? "F16" : "F32", payload };
}

/** @param frame one that was checked: as many bytes as its shape and type have */
export function decodeHalf({ header, payload }: Frame): Tensor {
  const { dtype, shape } = header;
  if (dtype === "F32") return tensor(shape, floatsOf(payload));
  const aligned = payload.byteOffset % 2 === 0 ? payload : payload.slice();
  const bits = new Uint16Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 2);
  return tensor(shape, float16ToFloat32(bits));
}
