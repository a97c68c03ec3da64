/** @file What a command says of jobs and nodes on stdout: a table for people, or data for programs. */
import type { Command } from "commander";
import { stringify } from "yaml";
import { didYouMean } from "../shared/core/closest-name.js";
import { refuseViolations } from "../shared/core/errors.js";
import { formatTable } from "./table.js";

const FORMATS = ["table", "wide", "json", "jsonl", "yaml", "name"] as const;
type Format = (typeof FORMATS)[number];

export interface OutputFlags {
  readonly output?: string;
  readonly json?: boolean;
}

/** How things of one kind are shown. */
export interface Shown<T> {
  readonly columns: readonly Column<T>[];
  /** What other commands know it by. */
  readonly name: (thing: T) => string;
}

interface Column<T> {
  readonly heading: string;
  readonly cell: (thing: T) => string;
  /** Shown in a wide table only. */
  readonly isWide?: boolean;
}

export function addOutput(command: Command): Command {
  return command
    .option("-o, --output <format>", `one of ${FORMATS.join(", ")} (default: table)`)
    .option("--json", "the same as --output json");
}

/** Prints a list. */
export function printList<T>(things: readonly T[], flags: OutputFlags, shown: Shown<T>): void {
  process.stdout.write(formatList(things, outputFormat(flags), shown));
}

/**
 * Prints one thing.
 *
 * @param text what a table says of it
 */
export function printOne<T>(
  thing: T,
  flags: OutputFlags,
  { name, text }: { readonly name: string; readonly text: string },
): void {
  const format = outputFormat(flags);
  const isTable = format === "table" || format === "wide";
  const data = format === "name" ? `${name}\n` : formatData([thing], format)[0]!;
  process.stdout.write(isTable ? text : data);
}

/** @throws FarmError "invalid-argument" for a format that there is not */
export function outputFormat({ output, json }: OutputFlags): Format {
  const found = FORMATS.find((format) => format === (output ?? (json ? "json" : "table")));
  if (found === undefined) {
    const legal = `is none of ${FORMATS.join(", ")}${didYouMean(output!, FORMATS)}`;
    refuseViolations([{ field: "--output", description: `'${output!.slice(0, 40)}' ${legal}` }]);
  }
  return found!;
}

export function formatList<T>(things: readonly T[], format: Format, shown: Shown<T>): string {
  switch (format) {
    case "table":
    case "wide": {
      const columns = shown.columns.filter(({ isWide }) => format === "wide" || !isWide);
      const rows = things.map((thing) => columns.map(({ cell }) => cell(thing)));
      return formatTable(
        columns.map(({ heading }) => heading),
        rows,
      );
    }
    case "name":
      return things.map((thing) => `${shown.name(thing)}\n`).join("");
    case "jsonl":
      return formatData(things, format).join("");
    default:
      return formatData([things], format)[0]!;
  }
}

/** A text for each; 64-bit seeds are texts, as JSON numbers cannot hold them. */
function formatData(things: readonly unknown[], format: Format): string[] {
  return things.map((thing) => {
    const text = JSON.stringify(
      thing,
      (_key, value: unknown) => (typeof value === "bigint" ? value.toString() : value),
      format === "jsonl" ? 0 : 2,
    );
    return format === "yaml" ? stringify(JSON.parse(text)) : `${text}\n`;
  });
}
