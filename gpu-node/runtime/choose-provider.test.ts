import { describe, expect, test } from "vitest";
import { chooseProvider, type ProviderSurroundings } from "./choose-provider.js";
import type { ProviderChoice } from "./provider.js";
import { chooseDtype } from "./provider.js";

const bare: ProviderSurroundings = {
  platform: "linux",
  engineFiles: ["libonnxruntime.so.1"],
  devices: ["null"],
};
const libraries = [
  "libonnxruntime.so.1",
  "libonnxruntime_providers_cuda.so",
  "libonnxruntime_providers_tensorrt.so",
];
const nvidia = { ...bare, engineFiles: libraries, devices: ["nvidia0", "renderD128"] };

describe("the provider of", () => {
  test.each<[name: string, ProviderChoice, ProviderSurroundings, string]>([
    ["a processor alone", "auto", bare, "cpu"],
    ["a graphics card", "auto", { ...bare, devices: ["renderD128"] }, "webgpu"],
    ["a Mac", "auto", { ...bare, platform: "darwin" }, "webgpu"],
    ["an NVIDIA card with the libraries", "auto", nvidia, "cuda"],
    ["an NVIDIA card without them", "auto", { ...nvidia, engineFiles: [] }, "webgpu"],
    ["the libraries without a card", "auto", { ...bare, engineFiles: libraries }, "cpu"],
    ["whoever wants the processor", "cpu", nvidia, "cpu"],
    ["whoever wants WebGPU", "webgpu", bare, "webgpu"],
    ["whoever wants CUDA and has it", "cuda", nvidia, "cuda"],
    ["whoever wants TensorRT and has it", "tensorrt", nvidia, "tensorrt"],
  ])("%s", (_, choice, surroundings, provider) => {
    expect(chooseProvider(choice, surroundings)).toBe(provider);
  });
});

test.each<[ProviderChoice, ProviderSurroundings, RegExp]>([
  [
    "cuda",
    bare,
    /--provider cuda: the engine's library .* "sh deploy\/docker\/cuda-provider.sh" in .*, or/,
  ],
  ["tensorrt", bare, /--provider tensorrt: the engine's library/],
  ["cuda", { ...bare, engineFiles: libraries }, /shows no NVIDIA device .* --provider cpu/],
])("%s that is not there is refused", (choice, surroundings, words) => {
  expect(() => chooseProvider(choice, surroundings)).toThrow(words);
});

test.each([
  ["auto", "cpu", ["F16"], "float32"],
  ["auto", "webgpu", ["F16"], "float32"],
  ["auto", "cuda", ["F16"], "float16"],
  ["auto", "cuda", ["F32"], "float32"],
  ["auto", "tensorrt", ["F16"], "float32"],
  ["float16", "cpu", ["F32"], "float16"],
  ["float32", "cuda", ["F16"], "float32"],
] as const)("--dtype %s on %s, weights in %s: %s", (choice, provider, stored, dtype) => {
  expect(chooseDtype(choice, provider, stored)).toBe(dtype);
});

test("float16 is refused where the engine cannot be told to compute in it", () => {
  expect(() => chooseDtype("float16", "tensorrt", ["F16"])).toThrow(/take --provider cuda or/);
});
