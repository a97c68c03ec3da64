/** @file The documents of this checkout and the fenced blocks in them. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export interface Block {
  /** From 1, of the fence. */
  readonly line: number;
  /** Behind the fence; "" where it says nothing. */
  readonly language: string;
  readonly text: string;
}

/** Every document that is kept here, relative to the checkout. */
export const DOCUMENTS: readonly string[] = [
  ...["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"],
  ...readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`)
    .sort(),
];

export function readDocument(document: string): string {
  return readFileSync(join(ROOT, document), "utf8");
}

export function blocksOf(document: string): Block[] {
  const blocks: { line: number; language: string; text: string }[] = [];
  let open: (typeof blocks)[number] | null = null;
  for (const [i, line] of readDocument(document).split("\n").entries()) {
    const fence = /^\s*```(\w*)/.exec(line);
    if (!fence) {
      if (open) open.text += `${line}\n`;
    } else if (open) open = null;
    else {
      open = { line: i + 1, language: fence[1]!, text: "" };
      blocks.push(open);
    }
  }
  return blocks;
}

/** Commands of ours that stand within sentences: "renderfarm drain NODE --json", without what it is drained. */
export function commandsInProse(document: string): string[] {
  const prose = readDocument(document).replace(/^\s*```[\s\S]*?^\s*```/gm, "");
  return [...prose.matchAll(/`([^`]+)`/g)]
    .map((match) => match[1]!.replace(/\s+/g, " "))
    .filter((text) => /^(?:bin\/)?renderfarm [a-z]/.test(text));
}
