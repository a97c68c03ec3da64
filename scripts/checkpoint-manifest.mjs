// Prints the ConfigMap "model-manifest" for a checkpoint folder: one line "sha256  bytes  path" a file.
//
//   node scripts/checkpoint-manifest.mjs FOLDER [--namespace renderfarm] | kubectl apply -f -
//
// The files themselves go into the bucket under the same paths, with any S3 client.
import { createHash } from "node:crypto";
import { createReadStream, readdirSync, statSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { pipeline } from "node:stream/promises";
import { parseArgs } from "node:util";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { namespace: { type: "string", default: "renderfarm" } },
});
const [folder] = positionals;
if (!folder) {
  console.error("usage: node scripts/checkpoint-manifest.mjs FOLDER | kubectl apply -f -");
  process.exit(2);
}
const lines = [];
for (const path of filesIn(folder).sort()) {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  const name = relative(folder, path).split(sep).join("/");
  lines.push(`${hash.digest("hex")}  ${statSync(path).size}  ${name}\n`);
}
const metadata = { name: "model-manifest", namespace: values.namespace };
const data = { "checkpoint.sha256": lines.join("") };
console.log(JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata, data }));

function filesIn(path) {
  return readdirSync(path, { withFileTypes: true }).flatMap((entry) => {
    const full = join(path, entry.name);
    if (entry.isDirectory()) return filesIn(full);
    return statSync(full).isFile() ? [full] : [];
  });
}
