/** @file A command line becomes a request, or the list of everything that is wrong with it. */
import { randomBytes } from "node:crypto";
import { extname } from "node:path";
import type { Violation } from "../shared/core/errors.js";
import { CLIPS_MAX } from "../shared/farm/limits.js";
import { clipCountOf, type JobParameters, OUTPUT_FORMATS } from "../shared/farm/parameters.js";
import { resolveParameters } from "../shared/farm/validate-request.js";
import type { ModelInfo } from "../shared/farm/work.js";
import { expandFolders, readBatchFile } from "./batch-file.js";
import { checkPictures, readLatents } from "./input-files.js";
import { pathKind, placeOutputs } from "./output-place.js";
import { formatOfPath, isFilePath, type OutputPlan, type PathKind } from "./output-plan.js";
import { flagName, type RenderFlags, rawParameters } from "./render-flags.js";

/** A request that nothing is wrong with, as far as can be known before any work. */
export interface PreparedRequest {
  /** Without the reference to uploaded latents. */
  readonly parameters: JobParameters;
  /** In order, folders replaced by what is in them; each could be decoded. */
  readonly picturePaths: readonly string[];
  readonly latents: Uint8Array | null;
  readonly outputs: OutputPlan;
}

/** What a request is checked against. */
export interface RequestSurroundings {
  /** Null when the checkpoint cannot be read: whatever depends on it is not checked. */
  readonly model: ModelInfo | null;
  readonly hasFfmpeg: boolean;
  /** The seed where none is named. */
  readonly drawnSeed: number;
}

/** Stands in for a checkpoint that cannot be read, so that the other mistakes are found as well. */
const UNKNOWN_MODEL: ModelInfo = {
  digest: "",
  name: "",
  numFrames: 25,
  sampleSize: null,
  vaeScaleFactor: 8,
  latentChannels: 4,
  numTrainTimesteps: 1000,
  stepRule: "as-asked",
};

/** 48 bits: what every language reads from JSON as it is. */
export function drawSeed(): number {
  return randomBytes(6).readUIntBE(0, 6);
}

/**
 * Checks everything a request says.
 *
 * @param violations gets every mistake; the result is null exactly when there is one in it
 */
export async function prepareRequest(
  images: readonly string[],
  flags: RenderFlags,
  { model, hasFfmpeg, drawnSeed }: RequestSurroundings,
  violations: Violation[],
): Promise<PreparedRequest | null> {
  const kind = await pathKind(flags.out);
  const { batch } = flags;
  const listed = batch === undefined ? null : await readBatchFile(batch, violations);
  if (batch !== undefined && images.length > 0) {
    violations.push({ field: "IMAGE", description: "beside --batch; name pictures in its lines" });
  }
  const picturePaths = listed?.picturePaths ?? (await expandFolders(images, violations));
  const named = rawParameters(flags, formatsOf(flags, kind, violations));
  const resolved = resolveParameters(
    { ...named, clips: listed?.clips },
    {
      model: model ?? UNKNOWN_MODEL,
      // A batch that cannot be read is said already.
      imageCount: batch === undefined ? picturePaths.length : Math.max(1, picturePaths.length),
      drawnSeed,
      hasFfmpeg,
      spell: (field) => listed?.spell(field) ?? flagName(field),
    },
  );
  if ("violations" in resolved) violations.push(...resolved.violations);
  const parameters = "parameters" in resolved ? resolved.parameters : resolved.assumed;

  // Too many are refused above, and not read one by one to find more.
  if (picturePaths.length <= CLIPS_MAX) await checkPictures(picturePaths, violations);
  const clipCount = clipCountOf(parameters, picturePaths.length);
  const needed = model && "parameters" in resolved ? { parameters, clipCount, model } : null;
  const latents =
    flags.latents === undefined ? null : await readLatents(flags.latents, needed, violations);
  const outputs = await placeOutputs(flags, { ...parameters, clipCount }, violations);

  if (violations.length > 0 || outputs === null) return null;
  return { parameters, picturePaths, latents, outputs };
}

/** The format that the extension of `--out` names, where `--format` names none. */
function formatsOf(
  flags: RenderFlags,
  kind: PathKind,
  violations: Violation[],
): readonly string[] | undefined {
  const { out, format } = flags;
  if (out === undefined || format !== undefined || !isFilePath(out, kind)) return undefined;
  const found = formatOfPath(out, kind);
  if (found) return [found];
  violations.push({
    field: "--out",
    description: `'${extname(out)}' is no format; legal are ${OUTPUT_FORMATS.map((f) => `.${f}`).join(", ")}, a folder (a path without extension), or any name beside --format`,
  });
  return undefined;
}
