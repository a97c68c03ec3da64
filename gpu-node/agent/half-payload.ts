/** @file A half of a step as a frame: its bytes in the type that the UNet computes in, so lossless. */
import type { TaskAssignment } from "../../shared/farm/work.js";
import { float16ToFloat32, float32ToFloat16 } from "../../shared/tensor/float16.js";
import { type ComputeType, floatsOf, type Tensor, tensor } from "../../shared/tensor/tensor.js";
import type { Frame } from "./denoise-parts.js";
import type { DenoiseEffect } from "./denoise-state.js";
import { sha256 } from "./sha256.js";

/** What goes to the partner: a half, or the digest of the last latents. */
export type SentFrame = Extract<DenoiseEffect, { kind: "send-half" | "send-digest" }>;

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

/** @param of what the partner compares with its own, and the task's span; null: it is not traced */
export function encodeFrame(
  { jobId, clipId, attempt }: TaskAssignment,
  { step, half, epoch, latentsDigest }: SentFrame,
  made: Tensor,
  of: {
    readonly dtype: ComputeType;
    readonly planHash: string;
    readonly traceparent: string | null;
  },
): Frame {
  const { planHash, traceparent } = of;
  const { dtype, payload } = encodeHalf(made, of.dtype);
  const header = {
    ...{ jobId, clipId, epoch, attempt, step, half, dtype, shape: made.shape },
    ...{ sha256: sha256(payload), planHash, latentsDigest },
    ...(traceparent === null ? {} : { traceparent }),
  };
  return { header, payload };
}

/** @param frame one that was checked: as many bytes as its shape and type have */
export function decodeHalf({ header, payload }: Frame): Tensor {
  const { dtype, shape } = header;
  if (dtype === "F32") return tensor(shape, floatsOf(payload));
  const aligned = payload.byteOffset % 2 === 0 ? payload : payload.slice();
  const bits = new Uint16Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 2);
  return tensor(shape, float16ToFloat32(bits));
}
