/** @file The CUDA provider beside the CPU's numbers, where its libraries and a device are. */
import { describe, expect, onTestFinished, test } from "vitest";
import { startChildRuntime } from "../../gpu-node/runtime/child-runtime.js";
import { chooseProvider, providerSurroundings } from "../../gpu-node/runtime/choose-provider.js";
import { asFarmError } from "../../shared/core/errors.js";
import { maxRelativeDifference } from "../golden/read-golden.js";
import { CHECKPOINT } from "./farm-harness.js";
import { CALLS, FLOAT16_TOLERANCE } from "./module-calls.js";

/** Products with 10 bits of mantissa, unless NVIDIA_TF32_OVERRIDE=0 is set. */
const FLOAT32_TOLERANCE = 5e-3;
const PATIENCE_MS = 600_000;

/** Why this machine cannot, or null. */
function whyNot(): string | null {
  try {
    chooseProvider("cuda", providerSurroundings());
    return null;
  } catch (error) {
    return asFarmError(error).detail;
  }
}

const reason = whyNot();
if (reason !== null) process.stderr.write(`tests of the cuda provider are left out: ${reason}\n`);

describe.runIf(reason === null)("the cuda provider, beside the cpu", () => {
  test.each([
    ["float32", FLOAT32_TOLERANCE],
    ["float16", FLOAT16_TOLERANCE],
  ] as const)(
    "in %s",
    async (dtype, tolerance) => {
      const settings = { checkpointDir: CHECKPOINT, intraOpThreads: 1 };
      const cpu = await startChildRuntime({ ...settings, provider: "cpu" });
      onTestFinished(() => cpu.close());
      const cuda = await startChildRuntime({ ...settings, provider: "cuda", dtype });
      onTestFinished(() => cuda.close());
      for (const { graph, inputs } of CALLS) {
        const [expected, actual] = await Promise.all([cpu, cuda].map((r) => r.run(graph, inputs)));
        for (const [name, { data }] of Object.entries(expected!)) {
          expect(maxRelativeDifference(actual![name]!.data, data)).toBeLessThan(tolerance);
        }
      }
    },
    PATIENCE_MS,
  );
});
