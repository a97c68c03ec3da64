// `npm run generate`: writes proto/gen from proto/ with buf and ts-proto, both from npm, and
// docs/parameters.md.
// The result is committed; `buf.gen.yaml` holds the options. With `--check` nothing is written:
// it fails when the committed files are not what the schemas give, or when the schemas break what
// proto/released.binpb promises. `--release` makes the schemas as they are that promise.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parameterReference } from "./parameter-reference.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const buf = join(root, "node_modules/.bin/buf");
const isCheck = process.argv.includes("--check");
/** The schemas of the last release: clients built with them must go on working. */
const released = join(root, "proto/released.binpb");
const committed = join(root, "proto/gen");
/** In a folder that every tool passes over. */
const fresh = join(root, "node_modules/.cache/proto-gen");
/** The reference of parameters comes from the same sources. */
const reference = join(root, "docs/parameters.md");

copyForeignSchemas();
runBuf(["lint"]);
if (isCheck) {
  rmSync(fresh, { recursive: true, force: true });
  runBuf(["generate", "--output", fresh]);
  writeDescriptors(join(fresh, "proto/gen"));
  runBuf(["breaking", "proto", "--against", released]);
  const stale = differences(join(fresh, "proto/gen"), committed);
  if (readFileSync(reference, "utf8") !== formatted(reference, parameterReference(root)))
    stale.push(reference);
  if (stale.length > 0) {
    console.error(`Not what the schemas give; run npm run generate:\n  ${stale.join("\n  ")}`);
    process.exit(1);
  }
} else {
  runBuf(["generate"]);
  writeDescriptors(committed);
  writeFileSync(reference, formatted(reference, parameterReference(root)));
  if (process.argv.includes("--release")) runBuf(["build", "proto", "-o", released]);
}

/** What a server tells of its own schemas to whoever asks by reflection. */
function writeDescriptors(folder) {
  const set = (source, ...paths) => {
    const file = join(root, ".cache/descriptors.binpb");
    const options = ["--as-file-descriptor-set", "--exclude-source-info", "-o", file];
    runBuf(["build", source, ...options, ...paths.flatMap((path) => ["--path", path])]);
    return readFileSync(file);
  };
  // The details of errors are google.rpc's, health is gRPC's own. One set after the other is one of all.
  const sets = [
    set("proto", "proto/renderfarm", "proto/grpc"),
    set(".cache/foreign-proto", ".cache/foreign-proto/google/rpc/error_details.proto"),
    set(".cache/health-proto"),
  ];
  const lines = Buffer.concat(sets)
    .toString("base64")
    .match(/.{1,96}/g)
    .map((line) => `  "${line}",`);
  const text = [
    "// Written by scripts/generate.mjs from proto/. DO NOT EDIT.",
    "/** A google.protobuf.FileDescriptorSet of every service and what it needs, in base64. */",
    "export const FILE_DESCRIPTOR_SET: string = [",
    ...lines,
    '].join("");',
  ];
  writeFileSync(join(folder, "descriptors.ts"), `${text.join("\n")}\n`);
}

/** Schemas of others come from their npm packages at generation time: they are not kept here. */
function copyForeignSchemas() {
  const files = ["google/rpc/status.proto", "google/rpc/error_details.proto"];
  copySchemas(".cache/foreign-proto", files, (file) => `google-proto-files/${file}`);
  // Told by reflection, and served by its package: nothing is generated of it.
  const health = "grpc-health-check/proto/health/v1/health.proto";
  copySchemas(".cache/health-proto", ["grpc/health/v1/health.proto"], () => health);
}

function copySchemas(folder, files, packaged) {
  rmSync(join(root, folder), { recursive: true, force: true });
  for (const file of files) {
    mkdirSync(dirname(join(root, folder, file)), { recursive: true });
    cpSync(join(root, "node_modules", packaged(file)), join(root, folder, file));
  }
  writeFileSync(join(root, folder, "buf.yaml"), "version: v2\n");
}

function runBuf(args) {
  const { status, error } = spawnSync(buf, args, { cwd: root, stdio: "inherit" });
  if (error !== undefined) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

/** A text as the formatter would leave it in that file, so that the two never disagree. */
function formatted(file, text) {
  const args = ["format", `--stdin-file-path=${file}`];
  const biome = join(root, "node_modules/.bin/biome");
  const { status, stdout, stderr } = spawnSync(biome, args, { input: text, encoding: "utf8" });
  if (status === 0) return stdout;
  console.error(stderr);
  process.exit(1);
}

/** Files that one of the folders lacks, or that differ. */
function differences(a, b) {
  const list = (folder) =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(folder, join(entry.parentPath ?? entry.path, entry.name)));
  const [inA, inB] = [new Set(list(a)), new Set(list(b))];
  return [...new Set([...inA, ...inB])]
    .filter(
      (file) =>
        !inA.has(file) ||
        !inB.has(file) ||
        !readFileSync(join(a, file)).equals(readFileSync(join(b, file))),
    )
    .sort();
}
