/**
 * @file `npm run bench -- gpu [--provider cuda] [--dtype float16] [--preset svd-xt] [--only WORK,...]
 * [--without-diffusers]`: a device at the real size: every graph beside the processor's results, the
 * time of each stage beside diffusers on the same device, whether two starts give the same bytes, and
 * where the time goes. Where there is no such device it says so and ends well.
 */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { chooseProvider, providerSurroundings } from "../../gpu-node/runtime/choose-provider.js";
import { PROVIDERS } from "../../gpu-node/runtime/provider.js";
import { formatBytes } from "../../shared/core/bytes.js";
import { asFarmError, refusal } from "../../shared/core/errors.js";
import { COMPUTE_TYPES } from "../../shared/tensor/tensor.js";
import { pythonWithDiffusers } from "../diffusers/python-environment.js";
import { fullSizeCheckpoint } from "../full-size/make-checkpoint.js";
import { root, SUBJECTS } from "../subjects.js";
import { compareModules } from "./modules.js";
import { profileStages } from "./profile.js";
import { type Measured, STAGES, type Stage, type Timed, XT_CLIP } from "./work.js";

const WORKS = ["modules", ...STAGES, "profile"] as const;
/** Of an error's text: the end says what went wrong. */
const ERROR_CHARACTERS = 1_500;

/** @returns false when a graph differs too much, two starts differ, or something of ours failed */
export async function benchGpu(args: readonly string[]): Promise<boolean> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      provider: { type: "string", default: "cuda" },
      dtype: { type: "string", default: "float16" },
      preset: { type: "string", default: "svd-xt" },
      only: { type: "string", default: WORKS.join(",") },
      "without-diffusers": { type: "boolean", default: false },
    },
  });
  const provider = oneOf("--provider", values.provider, PROVIDERS);
  const dtype = oneOf("--dtype", values.dtype, COMPUTE_TYPES);
  const works = new Set(values.only.split(",").map((work) => oneOf("--only", work, WORKS)));
  try {
    chooseProvider(provider, providerSurroundings());
  } catch (error) {
    process.stdout.write(`left out: ${asFarmError(error).detail}\n`);
    return true;
  }
  const kept: boolean[] = [];
  if (works.has("modules")) kept.push(await attempt("modules", () => compareModules(provider)));
  const stages = STAGES.filter((stage) => works.has(stage));
  if (stages.length > 0 || works.has("profile")) {
    const checkpoint = await fullSizeCheckpoint(values.preset);
    const python = values["without-diffusers"] ? null : await pythonWithDiffusers();
    const image = SUBJECTS[0]!.image;
    writeHead();
    for (const stage of stages) {
      const ours = () => ask(process.execPath, [OURS, stage, checkpoint, provider, dtype, image]);
      const size = Object.values(XT_CLIP).map(String);
      const theirs = () =>
        python ? ask(python, [THEIRS, stage, checkpoint, dtype, image, ...size]) : {};
      kept.push(await attempt(stage, () => compareStage(stage, ours, theirs)));
    }
    if (works.has("profile")) {
      const profiled = () => profileStages(checkpoint, provider, dtype).then(() => true);
      kept.push(await attempt("profile", profiled));
    }
  }
  return kept.every(Boolean);
}

const OURS = fileURLToPath(new URL("./ours.js", import.meta.url));
const THEIRS = join(root, "bench", "gpu", "theirs.py");

/** @throws FarmError "invalid-argument" that lists what is legal */
function oneOf<T extends string>(flag: string, value: string, legal: readonly T[]): T {
  const found = legal.find((each) => each === value);
  if (found === undefined) {
    const description = `'${value}' is unknown; legal are ${legal.join(", ")}`;
    throw refusal([{ field: flag, description }]);
  }
  return found;
}

/** @returns whether both starts of ours gave the same bytes in every run */
async function compareStage(
  stage: Stage,
  ours: () => Promise<Measured>,
  theirs: () => Promise<Measured> | Measured,
): Promise<boolean> {
  const mine = await ours();
  const again = await ours();
  const other = await Promise.resolve(theirs()).catch((error: Error) => {
    process.stdout.write(`diffusers, ${stage}: ${error.message.slice(-ERROR_CHARACTERS)}\n`);
    return {} as Measured;
  });
  writeRows(mine, other);
  const digests = new Set([...mine.digests!, ...again.digests!]);
  const words = digests.size === 1 ? "the same bytes in every run" : "OTHER BYTES";
  process.stdout.write(`${stage}, two starts: ${words}: ${[...digests].join(" ")}\n`);
  return digests.size === 1;
}

function writeHead(): void {
  process.stdout.write(
    "| figure | ours | first | diffusers | ratio | device memory |\n" +
      "| --- | --- | --- | --- | --- | --- |\n",
  );
}

function writeRows(mine: Measured, theirs: Measured): void {
  const memory = [mine, theirs].map(({ deviceBytes: b }) => (b ? formatBytes(b) : "-")).join(" / ");
  const row = (figure: string, ours: Timed | undefined, their: number | undefined): void => {
    if (ours === undefined) return;
    const their4 = their === undefined ? "-" : `${their.toFixed(4)} s`;
    const ratio = their === undefined ? "-" : (ours.median / their).toFixed(2);
    const cells = [figure, `${ours.median.toFixed(4)} s`, `${ours.first.toFixed(2)} s`];
    process.stdout.write(`| ${[...cells, their4, ratio, memory].join(" | ")} |\n`);
  };
  const { half, whole } = mine;
  const both = half && { first: half.first + half.median, median: 2 * half.median };
  row("one half", half, theirs.half?.median);
  row("a step's two halves", both, theirs.step?.median);
  row(`decode of ${XT_CLIP.chunk} frames`, mine.decode, theirs.decode?.median);
  row("image encoder", mine.clip, theirs.clip?.median);
  row("VAE encode", mine.encode, theirs.encode?.median);
  const clip = whole === undefined ? undefined : { first: whole, median: whole };
  row(`clip of ${XT_CLIP.steps} steps`, clip, theirs.whole);
}

/** One thing that fails leaves the others to be measured. */
async function attempt(what: string, work: () => Promise<boolean>): Promise<boolean> {
  try {
    return await work();
  } catch (error) {
    process.stdout.write(`${what} failed: ${(error as Error).message.slice(-ERROR_CHARACTERS)}\n`);
    return false;
  }
}

/** @returns the line of JSON that the program ends with */
async function ask(program: string, args: readonly string[]): Promise<Measured> {
  const env = { ...process.env, HF_HUB_OFFLINE: "1" };
  const { stdout } = await promisify(execFile)(program, args, { env, maxBuffer: 1 << 26 });
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as Measured;
}
