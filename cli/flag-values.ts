/** @file Values of flags that several verbs take. */
import { refuseViolations, type Violation } from "../shared/core/errors.js";
import { OUTPUT_FORMATS, type OutputFormat } from "../shared/farm/parameters.js";

/** @throws FarmError "invalid-argument" naming the field and its range */
export function readWhole(field: string, text: string, min: number, max: number): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max)) {
    const description = `'${text.slice(0, 40)}' is no whole number from ${min} to ${max}`;
    refuseViolations([{ field, description }]);
  }
  return value;
}

/**
 * Some of the formats that a job has.
 *
 * @param text "mp4,gif"; absent: all of them
 * @param violations gets each that it does not have
 */
export function chooseFormats(
  text: string | undefined,
  made: readonly OutputFormat[],
  violations: Violation[],
): readonly OutputFormat[] {
  if (text === undefined) return made;
  const names = text.split(",");
  for (const name of names.filter((each) => !made.some((format) => format === each))) {
    const isFormat = OUTPUT_FORMATS.some((format) => format === name);
    const what = isFormat ? "was not asked for" : "is no format";
    const description = `'${name.slice(0, 40)}' ${what}; the job has ${made.join(", ")}`;
    violations.push({ field: "--format", description });
  }
  return made.filter((format) => names.includes(format));
}
