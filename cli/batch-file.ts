/**
 * @file A batch from a JSONL file, one clip a line, or from a folder of pictures. Nothing of it is
 * sent before every line is right.
 */
import { readdir } from "node:fs/promises";
import { basename, dirname, extname, join, resolve } from "node:path";
import { didYouMean } from "../shared/core/closest-name.js";
import { asFarmError, type Violation } from "../shared/core/errors.js";
import { parseStrictJson } from "../shared/core/strict-json.js";
import { CLIPS_MAX } from "../shared/farm/limits.js";
import type { RawClip } from "../shared/farm/request-clips.js";
import { readTextFile } from "./input-files.js";
import { pathKind } from "./output-place.js";
import { STANDARD_STREAM } from "./output-plan.js";

export interface Batch {
  /** Every picture once, in the order of its first line. */
  readonly picturePaths: readonly string[];
  /** One a line. */
  readonly clips: readonly RawClip[];
  /** How messages name a field of a clip: "batch.jsonl:3 fps". */
  readonly spell: (field: string) => string | null;
  /** The first line that names a picture: "batch.jsonl:3 image". */
  readonly placeOf: (picturePath: string) => string;
}

/** Far more than 1000 lines with a list of 256 scales each. */
const FILE_BYTES_MAX = 16 * 1024 * 1024;
/** A line, and a list of scales in it. */
const LINE_DEPTH_MAX = 2;
const PICTURE_EXTENSIONS = [".png", ".jpg", ".jpeg", ".webp"];

/** Keys of a line, and what each is in a request. */
const CLIP_KEYS: Readonly<Record<string, keyof RawClip>> = {
  seed: "seed",
  fps: "fps",
  motion_bucket_id: "motionBucketId",
  noise_aug_strength: "noiseAugStrength",
  min_guidance_scale: "minGuidanceScale",
  max_guidance_scale: "maxGuidanceScale",
  guidance: "guidance",
};
const KEYS = ["image", ...Object.keys(CLIP_KEYS)];

/**
 * Reads a batch; blank lines are passed over, paths of pictures are relative to the file, or for stdin
 * to the folder of the command.
 *
 * @param violations gets every mistake, with the number of its line
 */
export async function readBatchFile(path: string, violations: Violation[]): Promise<Batch | null> {
  const refuse = (description: string) => violations.push({ field: "--batch", description });
  const text = await readTextFile(path, FILE_BYTES_MAX).catch((error: unknown) => {
    refuse(`'${path}' ${asFarmError(error).detail}`);
    return null;
  });
  if (text === null) return null;

  const lines = text
    .split(/\r?\n/)
    .map((text, i) => ({ text: text.trim(), number: i + 1 }))
    .filter(({ text }) => text !== "");
  if (lines.length === 0) refuse(`'${path}' holds no clip`);
  if (lines.length > CLIPS_MAX) {
    refuse(`'${path}' lists ${lines.length} clips, legal are up to ${CLIPS_MAX} a job; split it`);
  }
  if (lines.length === 0 || lines.length > CLIPS_MAX) return null;
  const name = path === STANDARD_STREAM ? "stdin" : basename(path);
  const place = (line: number) => `${name}:${line}`;
  const images = new Map<string, number>();
  const lineOf = new Map<string, number>();
  const clips = lines.map(({ text, number }): RawClip => {
    const { image, clip } = readLine(text, place(number), violations);
    const at = resolve(dirname(path), image ?? "");
    if (image !== null && !images.has(at)) {
      images.set(at, images.size);
      lineOf.set(at, number);
    }
    return { ...clip, imageIndex: image === null ? 0 : images.get(at)! };
  });
  return {
    picturePaths: [...images.keys()],
    clips,
    placeOf: (path) => `${place(lineOf.get(path)!)} image`,
    spell: (field) => {
      const [, index, name] = /^clips\[(\d+)\]\.(\w+)$/.exec(field) ?? [];
      return index === undefined ? null : `${place(lines[Number(index)]!.number)} ${name}`;
    },
  };
}

/** @returns null for a picture that the line does not name */
function readLine(
  text: string,
  place: string,
  violations: Violation[],
): { image: string | null; clip: RawClip } {
  const refuse = (key: string, description: string) =>
    violations.push({ field: key === "" ? place : `${place} ${key}`, description });
  const line = parseObject(text);
  if (typeof line === "string") {
    refuse("", `${line}; a line is such as {"image": "a.png", "seed": 7}`);
    return { image: null, clip: {} };
  }
  const clip: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(line)) {
    if (key === "image") continue;
    const name = Object.hasOwn(CLIP_KEYS, key) ? CLIP_KEYS[key] : undefined;
    if (name === undefined) {
      refuse(key, `is no key of a clip${didYouMean(key, KEYS)}; there are ${KEYS.join(", ")}`);
    } else if (
      name === "seed" &&
      Number(value) > Number.MAX_SAFE_INTEGER &&
      typeof value === "number"
    ) {
      refuse(
        key,
        `${value} has lost digits, as JSON's numbers above 2^53 do; write it as a text, "..."`,
      );
    } else if (name === "guidance" && Array.isArray(value)) {
      clip[name] = { kind: "frames", scales: value };
    } else if (typeof value === "string" || typeof value === "number") clip[name] = value;
    else refuse(key, `${JSON.stringify(value).slice(0, 40)} is neither a number nor a text`);
  }
  const { image } = line;
  if (typeof image === "string" && image !== "") return { image, clip };
  refuse("image", "is missing; name a png, jpeg or webp file");
  return { image: null, clip };
}

/** @returns what is wrong with a text that is no object, or names a key twice */
function parseObject(text: string): Record<string, unknown> | string {
  try {
    const value = parseStrictJson(text, { depthMax: LINE_DEPTH_MAX });
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    return isObject ? (value as Record<string, unknown>) : "is no JSON object";
  } catch (error) {
    return `is no JSON object: ${(error as SyntaxError).message.slice(0, 80)}`;
  }
}

/**
 * The paths with each folder replaced by the pictures in it, by name; what is in its folders is not
 * looked at.
 *
 * @param violations gets a folder without pictures
 */
export async function expandFolders(
  paths: readonly string[],
  violations: Violation[],
): Promise<string[]> {
  const expanded = [];
  for (const path of paths) {
    if (path === STANDARD_STREAM || (await pathKind(path)) !== "folder") {
      expanded.push(path);
      continue;
    }
    const names = await readdir(path);
    const pictures = names.filter((name) =>
      PICTURE_EXTENSIONS.includes(extname(name).toLowerCase()),
    );
    if (pictures.length === 0) {
      const description = `is a folder without ${PICTURE_EXTENSIONS.join(", ")} files`;
      violations.push({ field: path, description });
    }
    expanded.push(...pictures.sort().map((name) => join(path, name)));
  }
  return expanded;
}
