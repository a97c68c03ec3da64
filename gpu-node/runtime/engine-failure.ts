/**
 * @file What a failure of the inference engine means for the farm, from the engine's own words: it
 * has no codes for these cases.
 */
import { asFarmError, FarmError, type FarmErrorCode } from "../../shared/core/errors.js";

type EngineFailureCode = Extract<FarmErrorCode, "out-of-memory" | "device-lost" | "runtime-failed">;

/**
 * The first row that matches counts. An allocation of the device fails with the words of a device
 * failure too ("CUDA failure 2: out of memory"), so memory comes first; then what a device says of a
 * graph that it cannot run, which is no fault of the device.
 *
 * @source onnxruntime core/framework/bfc_arena.cc, core/providers/cuda/cuda_call.cc,
 *   core/providers/dml; CUDA, cuDNN and cuBLAS status names; DXGI_ERROR_* of Windows
 */
const FAILURES: readonly (readonly [pattern: RegExp, code: EngineFailureCode])[] = [
  // The host, and every arena of onnxruntime.
  [/\bbad_alloc\b/, "out-of-memory"],
  [/failed to allocate/i, "out-of-memory"],
  [/available memory of \d+ is smaller than requested bytes/i, "out-of-memory"],
  [/\bout of (device |host |gpu )?memory\b/i, "out-of-memory"],
  [/\bOOM\b/, "out-of-memory"],
  [/\bcannot allocate memory\b/i, "out-of-memory"],
  [/array buffer allocation failed/i, "out-of-memory"],
  // CUDA, cuBLAS, cuDNN; DirectML.
  [/cudaErrorMemoryAllocation|_STATUS_ALLOC_FAILED/, "out-of-memory"],
  [/E_OUTOFMEMORY|\b8007000E\b/i, "out-of-memory"],

  [/(CUDNN|CUBLAS)_STATUS_(BAD_PARAM|INVALID_VALUE|NOT_SUPPORTED)/, "runtime-failed"],
  [/CUDA failure 1:|cudaErrorInvalidValue/, "runtime-failed"],

  [/\b(CUDA|CUDNN|CUBLAS|CUFFT|HIP|ROCM|MIOPEN)[ _](failure|error)\b/i, "device-lost"],
  [/\bcudaError[A-Z]/, "device-lost"],
  [/no CUDA-capable device/i, "device-lost"],
  [
    /\bdevice (is |was |instance )?(has been )?(removed|lost|hung|reset|suspended)\b/i,
    "device-lost",
  ],
  [/DXGI_ERROR_DEVICE_|\b887A000[567]\b/i, "device-lost"],
];

/** Pure. @param message what the engine said */
export function engineFailureCode(message: string): EngineFailureCode {
  return FAILURES.find(([pattern]) => pattern.test(message))?.[1] ?? "runtime-failed";
}

/** What the engine threw, with its code; a FarmError stays as it is. */
export function asEngineFailure(error: unknown): FarmError {
  if (error instanceof FarmError) return error;
  const { detail } = asFarmError(error);
  return new FarmError(engineFailureCode(detail), detail, { cause: error });
}
