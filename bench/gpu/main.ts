/**
 * @file `npm run bench -- gpu [--provider cuda] [--dtype float16] [--preset svd-xt] [--only WORK,...]`:
 * a device at the real size: every graph beside the processor's results, the time of each stage beside
 * diffusers on the same device, whether two starts give the same bytes, and where a half's time goes.
 */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { chooseProvider, providerSurroundings } from "../../gpu-node/runtime/choose-provider.js";
import { formatBytes } from "../../shared/core/bytes.js";
import { asFarmError } from "../../shared/core/errors.js";
import { pythonWithDiffusers } from "../diffusers/python-environment.js";
import { fullSizeCheckpoint } from "../full-size/make-checkpoint.js";
import { root, SUBJECTS } from "../subjects.js";
import { compareModules } from "./modules.js";
import { profileStages } from "./profile.js";
import { type Measured, type Timed, XT_CLIP } from "./work.js";

const WORKS = ["modules", "unet", "decode", "condition", "whole", "profile"] as const;

/** @returns false when a graph differs too much, two starts differ, or something failed */
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
  const provider = values.provider as "cuda" | "tensorrt" | "webgpu" | "cpu";
  const dtype = values.dtype as "float16" | "float32";
  try {
    chooseProvider(provider, providerSurroundings());
  } catch (error) {
    process.stdout.write(`left out: ${asFarmError(error).detail}\n`);
    return true;
  }
  const works = new Set(values.only.split(","));
  let isKept = true;
  if (works.has("modules")) isKept = await attempt("modules", () => compareModules(provider));
  const checkpoint = await fullSizeCheckpoint(values.preset);
  const python = values["without-diffusers"] ? null : await pythonWithDiffusers();
  const { frames, height, width, chunk, steps } = XT_CLIP;
  const size = [frames, height, width, chunk, steps].map(String);
  const image = SUBJECTS[0]!.image;
  const ours = (work: string) =>
    ask(process.execPath, [
      fileURLToPath(new URL("./ours.js", import.meta.url)),
      ...[work, checkpoint, provider, dtype, ...size, image],
    ]);
  const theirs = (work: string) =>
    python === null
      ? Promise.resolve({} as Theirs)
      : (ask(python, [
          join(root, "bench", "gpu", "theirs.py"),
          ...[work, checkpoint, dtype, ...size, image],
        ]) as Promise<Theirs>);

  process.stdout.write(
    "| figure | ours | first | diffusers | ratio | device memory |\n| --- | --- | --- | --- | --- | --- |\n",
  );
  for (const work of ["unet", "decode", "condition", "whole"] as const) {
    if (!works.has(work)) continue;
    isKept =
      (await attempt(work, async () => {
        const mine = await ours(work);
        const again = work === "condition" || work === "whole" ? mine : await ours(work);
        const other = await theirs(work).catch((error: Error) => {
          process.stdout.write(`diffusers, ${work}: ${error.message.slice(-600)}\n`);
          return {} as Theirs;
        });
        writeRows(work, mine, other);
        const digests = new Set([...(mine.digests ?? []), ...(again.digests ?? [])]);
        if (digests.size > 1)
          process.stdout.write(`${work}: OTHER BYTES: ${[...digests].join(" ")}\n`);
        return digests.size <= 1;
      })) && isKept;
  }
  if (works.has("profile")) {
    isKept = (await attempt("profile", () => profileStages(checkpoint, provider, dtype))) && isKept;
  }
  return isKept;
}

type Theirs = Measured & { readonly half?: Timed };

function writeRows(work: string, mine: Measured, theirs: Theirs): void {
  const row = (
    figure: string,
    ours: Timed | undefined,
    their: number | undefined,
    times = 1,
  ): void => {
    if (ours === undefined) return;
    const median = ours.median * times;
    const ratio = their === undefined ? "" : (median / their).toFixed(2);
    const memory = [mine.deviceBytes, theirs.deviceBytes]
      .map((b) => (b ? formatBytes(b) : "-"))
      .join(" / ");
    process.stdout.write(
      `| ${figure} | ${median.toFixed(4)} s | ${ours.first.toFixed(2)} s | ${their?.toFixed(4) ?? "-"} s | ${ratio} | ${memory} |\n`,
    );
  };
  row("a step's two halves", mine.unet, theirs.unet?.median, 2);
  row("one half", mine.unet, theirs.half?.median);
  row(`decode of ${XT_CLIP.chunk} frames`, mine.decode, theirs.decode?.median);
  row("image encoder", mine.clip, theirs.clip?.median);
  row("VAE encode", mine.encode, theirs.encode?.median);
  const { whole } = mine;
  if (whole !== undefined)
    row(`clip of ${XT_CLIP.steps} steps`, { first: whole, median: whole }, theirs.whole);
  if (mine.digests) process.stdout.write(`${work}: results ${mine.digests.join(" ")}\n`);
}

async function attempt(what: string, work: () => Promise<boolean>): Promise<boolean> {
  try {
    return await work();
  } catch (error) {
    const { stderr = "" } = error as { stderr?: string };
    process.stdout.write(
      `${what} failed: ${(error as Error).message.slice(-1500)}\n${stderr.slice(-1500)}\n`,
    );
    return false;
  }
}

async function ask(program: string, args: readonly string[]): Promise<Measured> {
  const env = { ...process.env, HF_HUB_OFFLINE: "1" };
  const { stdout } = await promisify(execFile)(program, args, { env, maxBuffer: 1 << 26 });
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as Measured;
}
