import { describe, expect, test } from "vitest";
import { FarmError } from "../../shared/core/errors.js";
import { asEngineFailure, engineFailureCode } from "./engine-failure.js";

const inNode = (words: string) =>
  `Non-zero status code returned while running Conv node. Name:'conv_in' Status Message: ${words}`;

type Case = [name: string, words: string, code: ReturnType<typeof engineFailureCode>];

const cases: Case[] = [
  [
    "an arena that cannot grow",
    inNode(
      "BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 9",
    ),
    "out-of-memory",
  ],
  [
    "an arena with a limit",
    inNode("Available memory of 100 is smaller than requested bytes of 200"),
    "out-of-memory",
  ],
  ["the C++ allocator", inNode("std::bad_alloc"), "out-of-memory"],
  ["a mapping of a file", "mmap: Cannot allocate memory", "out-of-memory"],
  ["a buffer of JavaScript", "Array buffer allocation failed", "out-of-memory"],
  ["CUDA's memory", "CUDA failure 2: out of memory ; GPU=0 ; hostname=a", "out-of-memory"],
  ["CUDA's memory by name", "CUDA error cudaErrorMemoryAllocation", "out-of-memory"],
  ["cuDNN's memory", "CUDNN failure 4: CUDNN_STATUS_ALLOC_FAILED ; GPU=0", "out-of-memory"],
  ["cuBLAS's memory", "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0", "out-of-memory"],
  ["DirectML's memory", "Exception(1) tid(4d0) 8007000E Not enough memory", "out-of-memory"],
  ["the short word", "OOM when allocating a tensor", "out-of-memory"],

  ["an illegal address", "CUDA failure 700: an illegal memory access ; GPU=0", "device-lost"],
  ["an unknown error of CUDA", "CUDA failure 999: unknown error ; GPU=1", "device-lost"],
  ["an uncorrectable bit", "CUDA error cudaErrorECCUncorrectable:214", "device-lost"],
  ["no device", "CUDA failure 100: no CUDA-capable device is detected", "device-lost"],
  ["cuDNN", "CUDNN failure 4: CUDNN_STATUS_INTERNAL_ERROR ; GPU=0", "device-lost"],
  ["cuDNN, older words", "CUDNN error executing cudnnConvolutionForward(h)", "device-lost"],
  ["cuBLAS", "CUBLAS failure 13: CUBLAS_STATUS_EXECUTION_FAILED", "device-lost"],
  ["a removed device", "The device was removed while it worked", "device-lost"],
  ["a lost device", "WebGPU: device lost", "device-lost"],
  ["a suspended device", "887A0005 The GPU device instance has been suspended.", "device-lost"],
  ["a hung device", "DXGI_ERROR_DEVICE_HUNG", "device-lost"],

  ["a graph cuDNN refuses", "CUDNN failure 3: CUDNN_STATUS_BAD_PARAM ; GPU=0", "runtime-failed"],
  ["a call CUDA refuses", "CUDA failure 1: invalid argument ; GPU=0", "runtime-failed"],
  ["a missing file", "model.safetensors: No such file or directory", "runtime-failed"],
  ["a wrong graph", "Node (conv_in) has input size 3 not in range [4, 4]", "runtime-failed"],
  ["a room that only sounds so", "Name:'bedroom_zoom' is unknown", "runtime-failed"],
  ["a device setting", "device_id 7 is no device", "runtime-failed"],
];

test.each(cases)("%s", (_name, words, code) => {
  expect(engineFailureCode(words)).toBe(code);
});

describe("what the engine threw", () => {
  test("keeps its words and gets a code", () => {
    const thrown = new Error("std::bad_alloc");
    const error = asEngineFailure(thrown);
    expect(error).toMatchObject({ code: "out-of-memory", detail: "std::bad_alloc" });
    expect(error.cause).toBe(thrown);
  });

  test("stays what it is where it has a code", () => {
    const error = new FarmError("numerical", "out of memory");
    expect(asEngineFailure(error)).toBe(error);
  });
});
