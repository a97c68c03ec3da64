/**
 * @file `npm run bench -- memory [--checkpoint NAME]`: the peak of a fresh runtime child for each
 * stage beside what the planner says before anything is loaded.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openCheckpoint } from "../../gpu-node/checkpoint/open-checkpoint.js";
import { planMemory } from "../../gpu-node/model/memory-plan.js";
import { type ChildRuntime, startChildRuntime } from "../../gpu-node/runtime/child-runtime.js";
import { formatBytes } from "../../shared/core/bytes.js";
import { mediumSubject } from "../diffusers/python-environment.js";
import { type Call, moduleCalls } from "../module-calls.js";
import { root, SUBJECTS, type Subject } from "../subjects.js";

/** What the planner may be off by. */
const TOLERANCE = 0.15;
/** The second run of a graph may take more than the first one did. */
const RUNS = 2;

type Part = "condition" | "denoise" | "decode" | "together" | "together, --offload";

interface Row {
  readonly checkpoint: string;
  readonly part: Part;
  /** Null: not foreseen. What closed sessions leave behind is the engine's own. */
  readonly predicted: number | null;
  readonly measured: number;
  /** predicted / measured − 1. */
  readonly error: number | null;
}

/** @returns whether every prediction was within the tolerance */
export async function benchMemory(args: readonly string[]): Promise<boolean> {
  const { values } = parseArgs({ args: [...args], options: { checkpoint: { type: "string" } } });
  const subjects = [...SUBJECTS, await mediumSubject()];
  const rows: Row[] = [];
  process.stdout.write("| checkpoint | stage | predicted | measured | error |\n");
  process.stdout.write("| --- | --- | --- | --- | --- |\n");
  for (const subject of subjects) {
    if (values.checkpoint && values.checkpoint !== subject.name) continue;
    for (const row of await measure(subject)) {
      rows.push(row);
      const { checkpoint, part, predicted, measured, error } = row;
      const foreseen = predicted === null ? "" : formatBytes(predicted);
      const off = error === null ? "" : `${(100 * error).toFixed(0)} %`;
      const cells = [checkpoint, part, foreseen, formatBytes(measured), off];
      process.stdout.write(`| ${cells.join(" | ")} |\n`);
    }
  }
  const folder = join(root, "out", "bench");
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "memory.json"), `${JSON.stringify(rows, null, 2)}\n`);
  return rows.every(({ error }) => error === null || Math.abs(error) <= TOLERANCE);
}

async function measure(subject: Subject): Promise<Row[]> {
  const { configs, components } = await openCheckpoint(subject.checkpoint);
  const { unet, vae, image_encoder } = components;
  const weights = { unet: unet.weights, vae: vae.weights, image_encoder: image_encoder.weights };
  const plan = planMemory(configs, weights, { ...subject, decodeChunk: subject.frames });
  const {
    image_encoder: encoder,
    vae_encoder,
    unet: half,
    vae_decoder,
  } = moduleCalls(configs, subject);
  const calls = { condition: [encoder, vae_encoder], denoise: [half], decode: [vae_decoder] };
  const all = [...calls.condition, ...calls.denoise, ...calls.decode];
  const rows: Row[] = [];
  const add = async (part: Part, predicted: number | null, run: readonly Call[]) => {
    const measured = await peakOf(subject, run, predicted === null);
    const error = predicted === null ? null : predicted / measured - 1;
    rows.push({ checkpoint: subject.name, part, predicted, measured, error });
  };
  for (const part of ["condition", "denoise", "decode"] as const) {
    await add(part, plan[part], calls[part]);
  }
  await add("together", plan.together, all);
  await add("together, --offload", null, all);
  return rows;
}

async function peakOf(
  { checkpoint: checkpointDir }: Subject,
  calls: readonly Call[],
  offload: boolean,
): Promise<number> {
  const settings = { checkpointDir, provider: "cpu", intraOpThreads: 1, offload } as const;
  const runtime: ChildRuntime = await startChildRuntime(settings);
  try {
    for (const [graph, inputs] of calls) {
      for (let i = 0; i < RUNS; i++) await runtime.run(graph, inputs);
    }
    const status = await readFile(`/proc/${runtime.pid}/status`, "utf8");
    return 1024 * Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]);
  } finally {
    await runtime.close();
  }
}
