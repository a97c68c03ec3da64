/** @file The version of this package. */
import { readFileSync } from "node:fs";

/** As package.json says it. */
export function packageVersion(): string {
  const isCompiled = import.meta.url.endsWith(".js");
  const path = isCompiled ? "../../../../package.json" : "../../../package.json";
  const manifest = readFileSync(new URL(path, import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}
