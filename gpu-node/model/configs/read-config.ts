/** @file What all config readers share: schema in, every problem of a file out. */
import { z } from "zod";
import type { Violation } from "../../../shared/core/errors.js";
import { refuseCheckpoint } from "../checkpoint-problems.js";

/** More of anything than this is damage, not a model. */
const COUNT_MAX = 1_048_576;

/** An integer from 1; the usual kind of field. */
export const count = z.int().min(1).max(COUNT_MAX);
/** An integer from 0. */
export const countOrZero = z.int().min(0).max(COUNT_MAX);
export const positive = z.number().positive();
/** Levels, layers, channels of a picture: lists of a few entries. */
export const listOf = <T extends z.ZodType>(item: T) => z.array(item).min(1).max(16);

/** Parameters are then no longer the numbers that the model computes with. */
const noQuantization = z
  .null({ error: "quantized checkpoints are not supported; save it without quantization_config" })
  .optional();

/**
 * What diffusers and transformers write into every model's config. Other fields that a schema does
 * not name are ignored, as the reference's constructors do.
 */
export const modelFields = { quantization_config: noQuantization };

/** The class that a config was written by: absent in hand-made files, but never another one. */
export const className = (name: string) =>
  z.literal(name, { error: `must be ${name}: no other class is supported` }).optional();

/**
 * Checks a parsed file against its schema.
 *
 * @param file name for messages, such as "unet/config.json"
 * @throws FarmError "checkpoint-invalid" with every wrong field, its value and what is legal
 */
export function readConfig<T extends z.ZodType>(
  schema: T,
  json: unknown,
  file: string,
): z.output<T> {
  const result = schema.safeParse(json, { reportInput: true });
  if (result.success) return result.data;
  refuseConfig(
    file,
    result.error.issues.map((issue) => ({
      field: showPath(issue.path),
      description: `${issue.message} (is ${showValue(issue.input)})`,
    })),
  );
  throw new Error("bug: expected a failed parse to have issues");
}

/** Refuses a file with every problem at once; fields are paths inside the file. */
export function refuseConfig(file: string, problems: readonly Violation[]): void {
  refuseCheckpoint(
    problems.map(({ field, description }) => ({
      field: field === "" ? file : `${file}: ${field}`,
      description,
    })),
  );
}

/** ["size", "height"] as "size.height", ["a", 1] as "a[1]". */
function showPath(path: readonly PropertyKey[]): string {
  return path
    .map((key) => (typeof key === "number" ? `[${key}]` : `.${String(key)}`))
    .join("")
    .replace(/^\./, "");
}

function showValue(value: unknown): string {
  const text = value === undefined ? "missing" : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
