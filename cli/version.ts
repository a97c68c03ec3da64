/** @file The version of this package. */
import { readFileSync } from "node:fs";

/** As package.json says it. */
export function packageVersion(): string {
  const isCompiled = import.meta.url.endsWith(".js");
  const manifest = new URL(isCompiled ? "../../package.json" : "../package.json", import.meta.url);
  return (JSON.parse(readFileSync(manifest, "utf8")) as { version: string }).version;
}
