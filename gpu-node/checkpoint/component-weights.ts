/** @file The parameters of one component: which files hold them, and where in these. */
import { z } from "zod";
import type { Violation } from "../../shared/core/errors.js";
import { quoteName } from "../../shared/core/strict-json.js";
import {
  decodeSafetensorsHeader,
  SAFETENSORS_PREFIX_BYTES,
  type SafetensorsEntry,
  safetensorsHeaderEnd,
} from "../../shared/tensor/safetensors.js";
import { collectProblemsAsync, refuseCheckpoint } from "../model/checkpoint-problems.js";
import { readConfig } from "../model/configs/read-config.js";
import type { WeightDtype, WeightEntry, WeightIndex } from "../model/weights.js";
import {
  type CheckpointFile,
  type CheckpointRoot,
  findFile,
  needFile,
  problem,
  readBeginning,
  readJson,
} from "./checkpoint-files.js";

/** "fp32" are the files without a variant in their name, whatever they hold. */
export type Variant = "fp32" | "fp16";

export type ComponentName = "unet" | "vae" | "image_encoder";

/** One component's parameters. */
export interface ComponentWeights {
  readonly variant: Variant;
  /** The real folder of all its files: what onnxruntime is told. */
  readonly folder: string;
  /** Each parameter's `file` is a name in `folder`. */
  readonly weights: WeightIndex;
  /** The files with parameters, and the index file that names them. */
  readonly files: readonly CheckpointFile[];
}

/** 68 bytes a parameter in the reference's own files: room for 200,000 of them. */
const INDEX_BYTES_MAX = 16 * 1024 * 1024;

/**
 * Finds a component's files and reads where each parameter lies; the parameters stay on disk.
 *
 * @param variants in the order of preference
 * @throws FarmError "checkpoint-invalid" with every problem, naming the file and the tensor
 */
export async function readComponentWeights(
  root: CheckpointRoot,
  component: ComponentName,
  variants: readonly Variant[],
): Promise<ComponentWeights> {
  for (const variant of variants) {
    for (const name of candidates(component, variant)) {
      const file = await findFile(root, name);
      if (file === null) continue;
      return name.endsWith(".json")
        ? readShards(root, component, variant, file)
        : gather(component, variant, [file], [file]);
    }
  }
  throw problem(component, await whatIsMissing(root, component, variants));
}

/**
 * The names under which a component may be stored, in the order in which its own library looks.
 *
 * @source diffusers models/model_loading_utils.py, _fetch_index_file and _fetch_index_file_legacy
 *   (the index first); transformers modeling_utils.py, _get_resolved_checkpoint_files (the file first)
 */
function candidates(component: ComponentName, variant: Variant): string[] {
  const base = `${component}/${baseName(component)}`;
  const tag = variant === "fp16" ? ".fp16" : "";
  const single = `${base}${tag}.safetensors`;
  const index = `${base}.safetensors.index${tag}.json`;
  if (component === "image_encoder") return [single, index];
  return tag === "" ? [index, single] : [index, `${base}.safetensors${tag}.index.json`, single];
}

function baseName(component: ComponentName): string {
  return component === "image_encoder" ? "model" : "diffusion_pytorch_model";
}

async function whatIsMissing(
  root: CheckpointRoot,
  component: ComponentName,
  variants: readonly Variant[],
): Promise<string> {
  const names = variants.flatMap((variant) => candidates(component, variant));
  const missing = `has none of ${names.map((name) => name.split("/")[1]).join(", ")}`;
  const pickle = component === "image_encoder" ? "pytorch_model.bin" : `${baseName(component)}.bin`;
  const other = await findFile(root, `${component}/${pickle}`);
  return other === null ? missing : `${missing}; ${pickle} is not read: save it as safetensors`;
}

const indexSchema = z.object({
  weight_map: z.record(
    z.string(),
    z.string().regex(/^[^/\\]+\.safetensors$/, "must be a .safetensors file beside the index"),
  ),
});

async function readShards(
  root: CheckpointRoot,
  component: ComponentName,
  variant: Variant,
  index: CheckpointFile,
): Promise<ComponentWeights> {
  const json = await readJson(index, INDEX_BYTES_MAX);
  const { weight_map: weightMap } = readConfig(indexSchema, json, index.name);
  const problems: Violation[] = [];
  const shards: CheckpointFile[] = [];
  for (const name of new Set(Object.values(weightMap))) {
    const shard = await collectProblemsAsync(problems, () =>
      needFile(root, `${component}/${name}`),
    );
    if (shard !== null) shards.push(shard);
  }
  if (Object.keys(weightMap).length === 0) {
    problems.push({ field: index.name, description: "weight_map names no tensor" });
  }
  refuseCheckpoint(problems);
  return gather(component, variant, shards, [index, ...shards], { index, weightMap });
}

interface ShardIndex {
  readonly index: CheckpointFile;
  readonly weightMap: Readonly<Record<string, string>>;
}

async function gather(
  component: ComponentName,
  variant: Variant,
  holders: readonly CheckpointFile[],
  files: readonly CheckpointFile[],
  shardIndex?: ShardIndex,
): Promise<ComponentWeights> {
  const problems: Violation[] = [];
  const weights = new Map<string, WeightEntry>();
  /** Stored names, by the file that holds them. */
  const holderOf = new Map<string, string>();
  for (const file of holders) {
    const entries = await collectProblemsAsync(problems, () => readEntries(file));
    for (const entry of entries ?? []) {
      const before = holderOf.get(entry.name);
      holderOf.set(entry.name, file.name);
      const wrong =
        before === undefined
          ? addWeight(component, weights, entry, file.fileName)
          : `is also in ${before}`;
      if (wrong !== null) problems.push(tensorProblem(file.name, entry.name, wrong));
    }
  }
  if (shardIndex !== undefined && problems.length === 0) {
    problems.push(...indexProblems(component, shardIndex, holderOf));
  }
  const folder = holders[0]!.folder;
  const apart = holders.find((file) => file.folder !== folder);
  if (apart !== undefined) {
    const description = `lies in ${apart.folder}, but ${holders[0]!.name} in ${folder}: the files of a component must lie in one folder; copy them into one`;
    problems.push({ field: apart.name, description });
  }
  refuseCheckpoint(problems);
  return { variant, folder, weights, files };
}

async function readEntries(file: CheckpointFile): Promise<readonly SafetensorsEntry[]> {
  const prefixEnd = Math.min(SAFETENSORS_PREFIX_BYTES, file.byteLength);
  const prefix = await readBeginning(file, prefixEnd);
  const head = await readBeginning(file, safetensorsHeaderEnd(prefix, file.byteLength, file.name));
  return decodeSafetensorsHeader(head, file.byteLength, file.name).entries;
}

/** Adds a tensor under the name that the model knows it by; a sentence when it cannot. */
function addWeight(
  component: ComponentName,
  weights: Map<string, WeightEntry>,
  entry: SafetensorsEntry,
  fileName: string,
): string | null {
  if (component === "image_encoder" && entry.name === POSITION_IDS) return null;
  if (!isWeightDtype(entry.dtype)) return `${entry.dtype} is not F32, F16 or BF16`;
  const name = component === "vae" ? currentAttentionName(entry.name) : entry.name;
  if (weights.has(name)) return `is stored a second time, as ${name}`;
  const { dtype, shape, begin, end } = entry;
  weights.set(name, { name, dtype, shape, file: fileName, offset: begin, byteLength: end - begin });
  return null;
}

/** 0, 1, 2 …, which transformers stored until version 4.31. */
const POSITION_IDS = "vision_model.embeddings.position_ids";

/**
 * The VAE's attention under its present name; before 0.15, diffusers wrote other ones.
 *
 * @source diffusers models/modeling_utils.py, _fix_state_dict_keys_on_load
 */
function currentAttentionName(name: string): string {
  return name.replace(
    /(\.attentions\.\d+)\.(query|key|value|proj_attn)\.(weight|bias)$/,
    (_match, path: string, part: keyof typeof ATTENTION_PARTS, kind: string) =>
      `${path}.${ATTENTION_PARTS[part]}.${kind}`,
  );
}

const ATTENTION_PARTS = { query: "to_q", key: "to_k", value: "to_v", proj_attn: "to_out.0" };

function indexProblems(
  component: ComponentName,
  { index, weightMap }: ShardIndex,
  holderOf: ReadonlyMap<string, string>,
): Violation[] {
  const problems: Violation[] = [];
  for (const [name, shard] of Object.entries(weightMap)) {
    const holder = holderOf.get(name);
    if (holder === `${component}/${shard}`) continue;
    const wrong = holder === undefined ? "which does not hold it" : `but it is in ${holder}`;
    problems.push(tensorProblem(index.name, name, `is said to be in ${shard}, ${wrong}`));
  }
  for (const [name, holder] of holderOf) {
    if (Object.hasOwn(weightMap, name)) continue;
    problems.push(tensorProblem(holder, name, `is not in ${index.name}`));
  }
  return problems;
}

function tensorProblem(file: string, tensor: string, description: string): Violation {
  return { field: `${file}: tensor ${quoteName(tensor)}`, description };
}

function isWeightDtype(dtype: string): dtype is WeightDtype {
  return dtype === "F32" || dtype === "F16" || dtype === "BF16";
}
