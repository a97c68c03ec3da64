/** @file The flags of commands that start a farm on this machine. */
import type { Command } from "commander";
import {
  DTYPE_CHOICES,
  type DtypeChoice,
  PROVIDER_CHOICES,
  type ProviderChoice,
} from "../gpu-node/runtime/provider.js";
import { findFfmpeg } from "../gpu-node/stages/media/find-ffmpeg.js";
import { asFarmError, type Violation } from "../shared/core/errors.js";
import { FieldChecks, show } from "../shared/farm/field-checks.js";
import { NUM_FRAMES } from "../shared/farm/limits.js";
import type { LocalFarmOptions } from "./local-farm.js";
import { flagName } from "./render-flags.js";
import { isVerbose } from "./voice.js";

/** As commander gives them. */
export interface FarmFlags {
  readonly checkpoint?: string;
  readonly variant?: string;
  readonly nodes?: string;
  readonly threads?: string;
  readonly provider?: string;
  readonly dtype?: string;
  readonly offload?: boolean;
  readonly forwardChunkSize?: string;
}

const VARIANTS = ["auto", "fp32", "fp16"] as const;
export type VariantChoice = (typeof VARIANTS)[number];

const NODE_COUNT = { min: 1, max: 16 };
const THREADS = { min: 1, max: 256 };
const NODE_COUNT_DEFAULT = 2;

export function addFarmFlags(command: Command): Command {
  return command
    .option("-c, --checkpoint <folder>", "a diffusers folder of Stable Video Diffusion")
    .option("--variant <name>", "files of the checkpoint: auto, fp32, fp16 (default: auto)")
    .option("--nodes <n>", `node processes (default: ${NODE_COUNT_DEFAULT})`)
    .option("--threads <n>", "threads of each node (default: the cores, shared equally)")
    .option(
      "--provider <name>",
      "what runs graphs: cpu, webgpu, cuda, tensorrt, auto (default: cpu)",
    )
    .option("--dtype <name>", "what graphs compute in: float32, float16, auto (default: auto)")
    .option(
      "--offload",
      "nodes keep the models of one stage only: less memory, and loading at each",
    )
    .option(
      "--forward-chunk-size <n>",
      "frames that the UNet's feed-forward networks compute at a time: less memory (default: all)",
    );
}

export interface CheckedFarm
  extends Pick<
    LocalFarmOptions,
    "checkpoint" | "nodeCount" | "threads" | "verbose" | "offload" | "forwardChunkSize"
  > {
  readonly variant: VariantChoice;
  readonly provider: ProviderChoice;
  readonly dtype: DtypeChoice;
}

/** @param violations gets every mistake; `checkpoint` is "" when it is missing */
export function checkFarmFlags(flags: FarmFlags, violations: Violation[]): CheckedFarm {
  const checks = new FieldChecks(flagName);
  const nodeCount = checks.whole("nodes", flags.nodes, NODE_COUNT, NODE_COUNT_DEFAULT);
  const threads = checks.whole("threads", flags.threads, THREADS, 0);
  const variant = VARIANTS.find((known) => known === (flags.variant ?? "auto"));
  if (!variant) {
    checks.refuse("variant", `${show(flags.variant)} is unknown; legal are ${VARIANTS.join(", ")}`);
  }
  const provider = PROVIDER_CHOICES.find((known) => known === (flags.provider ?? "cpu"));
  if (!provider) {
    const legal = PROVIDER_CHOICES.join(", ");
    checks.refuse("provider", `${show(flags.provider)} is unknown; legal are ${legal}`);
  }
  const dtype = DTYPE_CHOICES.find((known) => known === (flags.dtype ?? "auto"));
  if (!dtype) {
    checks.refuse(
      "dtype",
      `${show(flags.dtype)} is unknown; legal are ${DTYPE_CHOICES.join(", ")}`,
    );
  }
  const chunk = checks.whole("forward_chunk_size", flags.forwardChunkSize, NUM_FRAMES, 0);
  const checkpoint = flags.checkpoint ?? "";
  if (checkpoint === "") {
    checks.refuse("checkpoint", "is missing; name a diffusers folder such as checkpoints/demo");
  }
  violations.push(...checks.violations);
  return {
    checkpoint,
    variant: variant ?? "auto",
    nodeCount,
    threads: threads === 0 ? null : threads,
    verbose: isVerbose(),
    provider: provider ?? "cpu",
    dtype: dtype ?? "auto",
    offload: flags.offload ?? false,
    forwardChunkSize: chunk === 0 ? null : chunk,
  };
}

/** Whether this machine can write mp4; a wrong setting is a violation. */
export async function hasFfmpegHere(violations: Violation[]): Promise<boolean> {
  try {
    return (await findFfmpeg()) !== null;
  } catch (error) {
    violations.push({ field: "ffmpeg", description: asFarmError(error).detail });
    return true; // said already
  }
}
