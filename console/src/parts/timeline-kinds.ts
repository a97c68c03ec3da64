/** @file Kinds of work as the timeline tells them apart: by colour, and by word. */
import type { IntervalJson } from "../api/types.js";

export const KINDS = [
  { kind: "condition", word: "condition" },
  { kind: "denoise", word: "denoise" },
  { kind: "cond", word: "conditional half" },
  { kind: "uncond", word: "unconditional half" },
  { kind: "decode", word: "decode" },
  { kind: "mux", word: "write files" },
  { kind: "waiting", word: "waiting" },
] as const;

export type Kind = (typeof KINDS)[number]["kind"];

export function kindOf({ stage, half }: IntervalJson): Kind {
  return stage === "denoise" && half !== null ? half : stage;
}

export function kindWord(kind: Kind, { chunkIndex }: Pick<IntervalJson, "chunkIndex">): string {
  const word = KINDS.find((known) => known.kind === kind)?.word ?? kind;
  return kind === "decode" ? `${word}, chunk ${chunkIndex + 1}` : word;
}
