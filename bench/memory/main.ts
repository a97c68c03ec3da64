/**
 * @file `npm run bench -- memory [--checkpoint NAME]`: the peak of a fresh runtime child for each
 * stage beside what the planner says before anything is loaded.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Checkpoint, openCheckpoint } from "../../gpu-node/checkpoint/open-checkpoint.js";
import { planMemory } from "../../gpu-node/model/memory-plan.js";
import { type ChildRuntime, startChildRuntime } from "../../gpu-node/runtime/child-runtime.js";
import type { GraphSpec } from "../../gpu-node/runtime/runtime.js";
import { formatBytes } from "../../shared/core/bytes.js";
import { elementCount, type Tensor, tensor } from "../../shared/tensor/tensor.js";
import { mediumCheckpoint, pythonWithDiffusers } from "../diffusers/python-environment.js";
import { root, SUBJECTS, type Subject } from "../subjects.js";

/** What the planner may be off by. */
const TOLERANCE = 0.15;
/** The second run of a graph may take more than the first one did. */
const RUNS = 2;

type Part = "condition" | "denoise" | "decode" | "together" | "together, --offload";
type Call = readonly [GraphSpec, Readonly<Record<string, Tensor>>];

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
  const subjects = [...SUBJECTS, await medium()];
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

async function medium(): Promise<Subject> {
  const checkpoint = await mediumCheckpoint(await pythonWithDiffusers());
  return { ...SUBJECTS[0]!, name: "medium", checkpoint, frames: 8, height: 256, width: 256 };
}

async function measure(subject: Subject): Promise<Row[]> {
  const checkpoint = await openCheckpoint(subject.checkpoint);
  const { configs, components } = checkpoint;
  const { unet, vae, image_encoder } = components;
  const weights = { unet: unet.weights, vae: vae.weights, image_encoder: image_encoder.weights };
  const plan = planMemory(configs, weights, { ...subject, decodeChunk: subject.frames });
  const calls = callsOf(checkpoint, subject);
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

function callsOf(
  { configs }: Checkpoint,
  { frames, height, width }: Subject,
): Record<"condition" | "denoise" | "decode", readonly Call[]> {
  const { unet, vae, image_encoder } = configs;
  const factor = 2 ** (vae.block_out_channels.length - 1);
  const cells = { height: height / factor, width: width / factor };
  const side = image_encoder.image_size;
  const ids = unet.projection_class_embeddings_input_dim / unet.addition_time_embed_dim;
  const { height: h, width: w } = cells;
  return {
    condition: [
      [{ module: "image_encoder" }, { pixel_values: wave(1, 3, side, side) }],
      [{ module: "vae_encoder", height, width }, { x: wave(1, 3, height, width) }],
    ],
    denoise: [
      [
        { module: "unet", frames, ...cells },
        {
          sample: wave(1, frames, unet.in_channels, h, w),
          timestep: wave(1),
          encoder_hidden_states: wave(1, 1, image_encoder.projection_dim),
          added_time_ids: wave(1, ids),
        },
      ],
    ],
    decode: [
      [{ module: "vae_decoder", frames, ...cells }, { z: wave(frames, vae.latent_channels, h, w) }],
    ],
  };
}

function wave(...shape: number[]): Tensor {
  const length = elementCount(shape);
  return tensor(
    shape,
    Float32Array.from({ length }, (_, i) => Math.sin(i)),
  );
}
