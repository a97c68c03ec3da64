/** @file Runs a graph under the engine's own profiler. */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import type { BuiltGraph } from "../../gpu-node/model/graph.js";
import { engineOptions, type SessionSettings } from "../../gpu-node/runtime/session.js";
import { wave } from "../module-calls.js";
import { type Kernel, kernelsOf } from "./kernels.js";

/**
 * @param folder that the graph's weights lie in
 * @param runs each kernel counts with the fastest of these
 */
export async function runProfiler(
  graph: BuiltGraph,
  folder: string,
  settings: SessionSettings,
  runs: number,
): Promise<Kernel[]> {
  const out = await mkdtemp(join(tmpdir(), "renderfarm-profile-"));
  try {
    const engine = await InferenceSession.create(graph.bytes, {
      ...engineOptions(folder, settings),
      enableProfiling: true,
      profileFilePrefix: join(out, "profile"),
    });
    const feeds = Object.fromEntries(
      graph.inputs.map(({ name, shape }) => [
        name,
        new Tensor("float32", wave(...shape).data, shape),
      ]),
    );
    for (let i = 0; i < runs; i++) await engine.run(feeds);
    engine.endProfiling();
    await engine.release();
    const [file] = await readdir(out);
    return kernelsOf(await readFile(join(out, file!), "utf8"));
  } finally {
    await rm(out, { recursive: true, force: true });
  }
}
