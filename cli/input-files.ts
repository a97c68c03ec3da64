/** @file Reads files that a user named: regular files of a bounded size, or a sentence about why not. */
import { readFile, stat } from "node:fs/promises";
import { decodePicture } from "../gpu-node/stages/picture.js";
import { asFarmError, FarmError, type Violation } from "../shared/core/errors.js";
import { INPUT_BYTES_MAX } from "../shared/farm/limits.js";
import { latentsShapeProblem } from "../shared/farm/validate-request.js";
import { decodeTensors } from "../shared/tensor/safetensors.js";
import { STANDARD_STREAM } from "./output-plan.js";
import { readStandardInput } from "./standard-input.js";

/** A picture file: 4096 x 4096 pixels of 16-bit RGBA take 128 MiB uncompressed. */
const PICTURE_BYTES_MAX = 128 * 1024 * 1024;

/**
 * Reads and decodes every picture; no more than one is in memory at a time.
 *
 * @param fieldOf how the user named a picture: its path, or the line of a batch that names it
 * @param violations gets one entry for each that cannot be used
 */
export async function checkPictures(
  paths: readonly string[],
  fieldOf: (path: string) => string,
  violations: Violation[],
): Promise<void> {
  for (const path of paths) {
    try {
      await decodePicture(await readPicture(path), path);
    } catch (error) {
      const field = fieldOf(path);
      const problem = problemOf(error);
      const description = field === path ? problem : `'${path}' ${problem}`;
      violations.push({ field, description });
    }
  }
}

/** @throws FarmError "invalid-argument" when it is no regular file of a legal size */
export function readPicture(path: string): Promise<Uint8Array> {
  return readBounded(path, PICTURE_BYTES_MAX);
}

/** @throws FarmError "invalid-argument" when it is no regular file, nor stdin, of a legal size */
export async function readTextFile(path: string, bytesMax: number): Promise<string> {
  return new TextDecoder().decode(await readBounded(path, bytesMax));
}

/**
 * The bytes of a file of initial noise that fits the job.
 *
 * @param needed as `latentsShapeProblem` takes it; null while the checkpoint is unknown
 * @returns null when there is a violation
 */
export async function readLatents(
  path: string,
  needed: Parameters<typeof latentsShapeProblem>[1] | null,
  violations: Violation[],
): Promise<Uint8Array | null> {
  try {
    const bytes = await readBounded(path, INPUT_BYTES_MAX);
    const problem = latentsProblem(bytes, path, needed);
    if (problem === null) return bytes;
    violations.push({ field: "--latents", description: `${path}: ${problem}` });
  } catch (error) {
    violations.push({ field: "--latents", description: `${path}: ${problemOf(error)}` });
  }
  return null;
}

function latentsProblem(
  bytes: Uint8Array,
  path: string,
  needed: Parameters<typeof latentsShapeProblem>[1] | null,
): string | null {
  const tensors = decodeTensors(bytes, path);
  const only = tensors.size === 1 ? [...tensors.values()][0] : undefined;
  const latents = tensors.get("latents") ?? only;
  if (!latents) return `holds ${tensors.size} tensors and none is named "latents"`;
  const problem = needed && latentsShapeProblem(latents.shape, needed);
  if (problem !== null) return problem;
  const wrong = latents.data.findIndex((value) => !Number.isFinite(value));
  return wrong < 0
    ? null
    : `holds ${latents.data[wrong]} at value ${wrong}; only numbers are legal`;
}

/** @throws FarmError "invalid-argument" when it is no regular file, nor stdin, of 1 to `bytesMax` bytes */
async function readBounded(path: string, bytesMax: number): Promise<Uint8Array> {
  if (path === STANDARD_STREAM) return readStandardInput(bytesMax);
  const stats = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw refused(error.code === "ENOENT" ? "does not exist" : `cannot be read (${error.code})`);
  });
  if (stats.isDirectory()) throw refused("is a folder; name the files in it");
  // A device or a pipe may have no end, or never begin.
  if (!stats.isFile()) throw refused("is no regular file");
  if (stats.size === 0) throw refused("is empty");
  if (stats.size > bytesMax) throw refused(`has ${stats.size} bytes, legal are up to ${bytesMax}`);
  return readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw refused(`cannot be read (${error.code})`);
  });
}

function refused(what: string): FarmError {
  return new FarmError("invalid-argument", what);
}

/** What is wrong with a file, without its name. */
function problemOf(error: unknown): string {
  const known = asFarmError(error);
  return known.violations.map((v) => v.description).join("; ") || known.detail;
}
