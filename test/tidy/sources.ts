/** @file The project's own source files and what each imports, for the tests of its structure. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Files that git knows or would add: what a clone of the next commit holds. */
export function trackedFiles(): string[] {
  const args = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
  const listed = execFileSync("git", args, { cwd: root, encoding: "utf8" });
  return [...new Set(listed.split("\0"))].filter((name) => name !== "");
}

export function readText(file: string): string {
  return readFileSync(join(root, file), "utf8");
}

/** TypeScript written by hand. */
export function ownSources(): string[] {
  return trackedFiles().filter((f) => /\.tsx?$/.test(f) && !f.startsWith("proto/gen/"));
}

/** What a source imports: paths from the root for our files, names for packages and node:*. */
export function importsOf(file: string): string[] {
  const pattern = /(?:^|\n)\s*(?:import|export)\s[^;]*?from\s+"([^"]+)"|import\(\s*"([^"]+)"\s*\)/g;
  return [...readText(file).matchAll(pattern)].map((match) => {
    const name = match[1] ?? match[2] ?? "";
    if (!name.startsWith(".")) return name;
    return normalize(join(dirname(file), name)).replace(/\.js$/, ".ts");
  });
}
