/** @file The fields of a request that hold several values: sigmas, seeds, formats. */
import type { FieldChecks, Raw } from "./field-checks.js";
import { show, splitList, toNumber } from "./field-checks.js";
import { SEED_MAX, SIGMA_COUNT, SIGMA_MAX } from "./limits.js";
import { OUTPUT_FORMATS, type OutputFormat, type Seeds } from "./parameters.js";

/**
 * Noise levels chosen for SVD, 10 steps in place of 25.
 *
 * @source Sabour et al. 2024, "Align Your Steps" (arXiv:2404.14507); diffusers
 *   schedulers/scheduling_utils.py, AysSchedules["StableDiffusionVideoSigmas"]
 */
export const ALIGN_YOUR_STEPS_SIGMAS: readonly number[] = [
  700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.0,
];

const SIGMA_PRESETS = new Map([
  ["ays", ALIGN_YOUR_STEPS_SIGMAS],
  ["align-your-steps", ALIGN_YOUR_STEPS_SIGMAS],
]);

/**
 * Noise levels: 2 to 1001 numbers, strictly falling, above 0 but for the last, which may be 0.
 *
 * @param raw numbers, a list "700,54.5,0", or "align-your-steps" ("ays"); absent: none
 */
export function checkSigmas(
  checks: FieldChecks,
  raw: Raw<readonly number[]> | undefined,
): readonly number[] | null {
  // An empty list is how the wire says "absent"; an empty text is a mistake.
  if (raw === undefined || (typeof raw !== "string" && raw.length === 0)) return null;
  const preset = typeof raw === "string" ? SIGMA_PRESETS.get(raw.trim().toLowerCase()) : undefined;
  if (preset) return preset;
  const parts: readonly Raw<number>[] = typeof raw === "string" ? splitList(raw) : raw;
  const { min, max } = SIGMA_COUNT;
  if (parts.length < min || parts.length > max) {
    checks.refuse(
      "sigmas",
      `has ${parts.length} values, legal are ${min} to ${max}: n values make n - 1 steps; or 'align-your-steps'`,
    );
    return null;
  }
  const values = parts.map(toNumber);
  const problem = sigmaProblem(parts, values);
  if (problem === null) return values;
  checks.refuse(
    "sigmas",
    `${problem}; legal are falling numbers from ${SIGMA_MAX} to above 0, the last may be 0`,
  );
  return null;
}

/** The first thing wrong, with its place counted from 1. */
function sigmaProblem(parts: readonly Raw<number>[], values: readonly number[]): string | null {
  for (const [i, value] of values.entries()) {
    const place = `value ${i + 1} of ${values.length}`;
    if (!Number.isFinite(value)) return `${show(parts[i])}, ${place}, is no finite number`;
    if (value < 0) return `${value}, ${place}, is negative`;
    if (value > SIGMA_MAX) return `${value}, ${place}, is above ${SIGMA_MAX}`;
    // The steps are computed in float32, where the smallest numbers are 0.
    if (Math.fround(value) === 0 && i < values.length - 1) {
      return `${value}, ${place}, is zero and not the last`;
    }
    if (i > 0 && value >= values[i - 1]!) {
      return `${value}, ${place}, is not below ${values[i - 1]} before it`;
    }
  }
  return null;
}

/**
 * Seeds: one for the whole batch, or one a clip.
 *
 * @param raw integers, or a list "7" or "7,8"; absent: none
 */
export function checkSeeds(
  checks: FieldChecks,
  raw: Raw<readonly bigint[]> | undefined,
  batch: { readonly imageCount: number; readonly videosPerImage: number },
): Seeds | null {
  if (raw === undefined) return null;
  const seeds: bigint[] = [];
  for (const part of typeof raw === "string" ? splitList(raw) : raw) {
    const seed = typeof part === "bigint" ? part : /^\d{1,20}$/.test(part) ? BigInt(part) : -1n;
    if (seed >= 0n && seed <= SEED_MAX) seeds.push(seed);
    else {
      checks.refuse("seeds", `seed ${show(part)} is no whole number from 0 to ${SEED_MAX}`);
      return null;
    }
  }
  const { imageCount, videosPerImage } = batch;
  const clips = imageCount * videosPerImage;
  if (seeds.length === 1 || seeds.length === clips) return seeds;
  const several = clips === 1 ? "" : ` or ${clips} (one a clip)`;
  checks.refuse(
    "seeds",
    `has ${seeds.length} values for ${clips} clip(s) (${imageCount} picture(s) x ${videosPerImage} video(s)), legal are 1 (one generator over the whole batch)${several}`,
  );
  return null;
}

/**
 * Formats, each once; none given: mp4.
 *
 * @param raw names, or a list "mp4,gif"
 * @param hasFfmpeg whether what will write the files can write mp4
 */
export function checkFormats(
  checks: FieldChecks,
  raw: Raw<readonly string[]> | undefined,
  hasFfmpeg: boolean,
): readonly OutputFormat[] {
  const names = typeof raw === "string" ? splitList(raw) : (raw ?? []);
  const legal = OUTPUT_FORMATS.join(", ");
  const formats: OutputFormat[] = [];
  for (const name of names) {
    const format = OUTPUT_FORMATS.find((known) => known === name.toLowerCase());
    if (!format) checks.refuse("formats", `${show(name)} is no format; legal are ${legal}`);
    else if (formats.includes(format)) checks.refuse("formats", `names ${format} twice`);
    else formats.push(format);
  }
  if (names.length === 0) formats.push("mp4");
  if (formats.includes("mp4") && !hasFfmpeg) {
    const others = OUTPUT_FORMATS.filter((format) => format !== "mp4").join(", ");
    checks.refuse(
      "formats",
      `mp4 needs ffmpeg and none was found; install ffmpeg, or choose among ${others}`,
    );
  }
  return formats;
}
