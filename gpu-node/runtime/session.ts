/** @file Opens an onnxruntime session for a built graph and runs it on tensors. */
import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { FarmError } from "../../shared/core/errors.js";
import { elementCount, type Tensor } from "../../shared/tensor/tensor.js";
import type { BuiltGraph, Port } from "../model/graph.js";
import { asEngineFailure } from "./engine-failure.js";
import type { Provider } from "./provider.js";

// onnxruntime's own builds tell its maker about every session, and keep a device id and a database
// in the user's folders for it. A farm tells nobody, unless whoever runs it says so. The engine
// looks at this when its first session is opened.
// @source onnxruntime, core/platform/posix/telemetry.cc (1.30: ORT_DISABLE_TELEMETRY)
process.env["ORT_DISABLE_TELEMETRY"] ??= "1";

export interface SessionSettings {
  /** The execution provider. */
  readonly provider: Provider;
  /** Threads of one run, at least 1; all sessions of a machine together: at most its cores. */
  readonly intraOpThreads: number;
}

/** Keep a session for as long as its graph is needed: opening and closing leaks memory. */
export interface Session {
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /**
   * One run. It blocks this process's event loop until it is done and cannot be cancelled.
   *
   * @param inputs exactly the graph's inputs, by name
   * @returns the graph's outputs, by name
   * @throws FarmError "graph-shape-mismatch" for a missing or unknown name or a wrong shape,
   *   "runtime-failed", "out-of-memory" or "device-lost" when the engine fails, "numerical" when an
   *   output is not finite
   */
  run(inputs: Readonly<Record<string, Tensor>>): Promise<Record<string, Tensor>>;
  /** Frees the engine's memory; no run may follow. */
  close(): Promise<void>;
}

/**
 * @param folder the real folder (no symlinks) that holds the files the graph's weights lie in
 * @throws FarmError "runtime-failed" when the engine refuses the graph or cannot read a file,
 *   "out-of-memory" or "device-lost"
 */
export async function openSession(
  graph: BuiltGraph,
  folder: string,
  settings: SessionSettings,
): Promise<Session> {
  const options = engineOptions(folder, settings);
  const engine = await InferenceSession.create(graph.bytes, options).catch((error: unknown) => {
    throw asEngineFailure(error);
  });
  return {
    inputs: graph.inputs,
    outputs: graph.outputs,
    run: (inputs) => run(engine, graph, inputs),
    close: () => engine.release(),
  };
}

/** What the engine is told of every session; a profiler adds to it. */
export function engineOptions(
  folder: string,
  settings: SessionSettings,
): InferenceSession.SessionOptions {
  return {
    executionProviders: [settings.provider],
    executionMode: "sequential",
    graphOptimizationLevel: "all",
    intraOpNumThreads: settings.intraOpThreads,
    interOpNumThreads: 1,
    // With a pattern the second run takes one block for everything beside what the first one took,
    // and keeps both: nearly twice the memory, and no faster.
    enableMemPattern: false,
    logSeverityLevel: 3,
    extra: {
      session: {
        model_external_initializers_file_folder_path: folder,
        // Several processes share a machine: a spinning pool of one starves the others.
        intra_op: { allow_spinning: "0" },
      },
    },
  };
}

async function run(
  engine: InferenceSession,
  graph: BuiltGraph,
  inputs: Readonly<Record<string, Tensor>>,
): Promise<Record<string, Tensor>> {
  checkInputs(graph.inputs, inputs);
  const feeds = Object.fromEntries(
    graph.inputs.map(({ name, shape }) => [
      name,
      new OrtTensor("float32", inputs[name]!.data, shape),
    ]),
  );
  const results = await engine.run(feeds).catch((error: unknown) => {
    throw asEngineFailure(error);
  });
  return Object.fromEntries(
    graph.outputs.map(({ name, shape }) => {
      const data = results[name]!.data as Float32Array;
      return [name, { shape, data: finite(name, data) }];
    }),
  );
}

/** Every wrong input at once: a mistake of the caller, found before the engine's own vaguer words. */
function checkInputs(ports: readonly Port[], inputs: Readonly<Record<string, Tensor>>): void {
  const known = new Set(ports.map((port) => port.name));
  const problems = Object.keys(inputs)
    .filter((name) => !known.has(name))
    .map((name) => `${name} is not one of ${[...known].join(", ")}`);
  for (const { name, shape } of ports) {
    const given = inputs[name];
    if (given === undefined) {
      problems.push(`${name} is missing`);
    } else if (given.shape.join() !== shape.join()) {
      problems.push(`${name} must be [${shape.join(", ")}], not [${given.shape.join(", ")}]`);
    } else if (given.data.length !== elementCount(shape)) {
      problems.push(`${name} must hold ${elementCount(shape)} values, not ${given.data.length}`);
    }
  }
  if (problems.length > 0) throw new FarmError("graph-shape-mismatch", problems.join("; "));
}

function finite(name: string, data: Float32Array): Float32Array {
  // A plain loop: 15 times as fast as findIndex with a callback.
  for (let i = 0; i < data.length; i++) {
    if (Number.isFinite(data[i])) continue;
    throw new FarmError("numerical", `${name}: value ${i} of ${data.length} is ${data[i]}`);
  }
  return data;
}
