/** @file Every graph of the small checkpoints on a device beside the processor's results. */
import { openInProcessRuntime } from "../../gpu-node/runtime/in-process-runtime.js";
import type { Provider } from "../../gpu-node/runtime/provider.js";
import type { Runtime } from "../../gpu-node/runtime/runtime.js";
import { COMPUTE_TYPES, type ComputeType } from "../../shared/tensor/tensor.js";
import { type Call, moduleCalls } from "../module-calls.js";
import { SUBJECTS } from "../subjects.js";
import { THREADS } from "./work.js";

/** Of the largest value: products with 10 bits of mantissa, and halves through some hundred layers. */
const DIFFERENCE_MAX: Readonly<Record<ComputeType, number>> = { float32: 5e-3, float16: 2e-2 };
/** Frames decoded at a time. */
const CHUNK = 2;

/** @returns whether every graph keeps within what its type allows */
export async function compareModules(provider: Provider): Promise<boolean> {
  process.stdout.write(
    "| checkpoint | graph | type | largest difference from cpu | limit |\n" +
      "| --- | --- | --- | --- | --- |\n",
  );
  const kept: boolean[] = [];
  for (const { name, checkpoint: checkpointDir, ...size } of SUBJECTS) {
    const settings = { checkpointDir, intraOpThreads: THREADS };
    const cpu = await openInProcessRuntime({ ...settings, provider: "cpu", dtype: "float32" });
    const calls: readonly Call[] = Object.values(
      moduleCalls(cpu.info.configs, { ...size, chunk: CHUNK }),
    );
    for (const dtype of COMPUTE_TYPES) {
      const device = await openInProcessRuntime({ ...settings, provider, dtype });
      const limit = DIFFERENCE_MAX[dtype];
      for (const call of calls) {
        const most = await largestDifference(call, device, cpu);
        kept.push(most <= limit);
        const row = [name, call[0].module, dtype, most.toExponential(1)].join(" | ");
        process.stdout.write(`| ${row} | ${limit} ${most <= limit ? "ok" : "MISSED"} |\n`);
      }
      await device.close();
    }
    await cpu.close();
  }
  return kept.every(Boolean);
}

/** Of the largest value that is expected. */
async function largestDifference(
  [graph, inputs]: Call,
  device: Runtime,
  cpu: Runtime,
): Promise<number> {
  const expected = await cpu.run(graph, inputs);
  const actual = await device.run(graph, inputs);
  return Math.max(
    ...Object.entries(expected).map(([name, { data }]) => {
      const values = actual[name]!.data;
      const largest = data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const apart = data.reduce((most, v, i) => Math.max(most, Math.abs(v - values[i]!)), 0);
      return apart / largest;
    }),
  );
}
