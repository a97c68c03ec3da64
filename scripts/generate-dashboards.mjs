// Writes the dashboards and the operator's form of the rules from deploy/grafana and
// deploy/prometheus; `--check` only says whether the committed files are what would be written.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { prepare, root } from "./prepare.mjs";

prepare();
const { generatedFiles, RULES } = await import("../dist/deploy/grafana/dashboards.js");
const deploy = join(root, "deploy");
const isCheck = process.argv.includes("--check");
let stale = 0;
for (const [name, text] of generatedFiles(readFileSync(join(deploy, RULES), "utf8"))) {
  const path = join(deploy, name);
  if (read(path) === text) continue;
  stale += 1;
  console.log(isCheck ? `stale: ${name}` : `wrote ${name}`);
  if (isCheck) continue;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
process.exitCode = isCheck && stale > 0 ? 1 : 0;

function read(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}
