// Makes a checkout ready to run: installs what package-lock.json names and builds dist/, each only
// when it is missing or older than what it comes from. Needs Node alone.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));
const NODE_MAJOR_MIN = 20;
const SOURCES = ["shared", "coordinator", "gpu-node", "cli", "proto", "bench"];
const BUILT = join(root, "dist", ".built");
const INSTALLED = join(root, "node_modules", ".installed");

/** Runs a command in the checkout; its output goes to stderr, since stdout is for data. */
export function runTool(command, args, options = {}) {
  const { status, error, signal } = spawnSync(command, args, {
    cwd: root,
    stdio: ["ignore", 2, 2],
    ...options,
  });
  if (error) throw new Error(`cannot run ${command}: ${error.message}`);
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${status ?? signal}`);
}

/** Runs a program of node_modules by its JavaScript entry, which works without a shell. */
export function runPackaged(entry, args, options = {}) {
  runTool(process.execPath, [join(root, "node_modules", entry), ...args], options);
}

function lockDigest() {
  const lock = readFileSync(join(root, "package-lock.json"));
  return createHash("sha256").update(lock).update(process.version).digest("hex");
}

function isInstalled() {
  return existsSync(INSTALLED) && readFileSync(INSTALLED, "utf8") === lockDigest();
}

function newestSourceMs() {
  const newest = (path) => {
    const info = statSync(path);
    if (!info.isDirectory()) return /\.(ts|json)$/.test(path) ? info.mtimeMs : 0;
    // A folder's own time tells of files that were removed.
    return Math.max(info.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))));
  };
  const files = ["package-lock.json", "tsconfig.json", "tsconfig.build.json", ...SOURCES];
  return Math.max(
    ...files
      .map((name) => join(root, name))
      .filter(existsSync)
      .map(newest),
  );
}

function isBuilt() {
  return existsSync(BUILT) && statSync(BUILT).mtimeMs >= newestSourceMs();
}

export function build() {
  runPackaged("typescript/bin/tsc", ["-p", "tsconfig.build.json"]);
  mkdirSync(join(root, "dist"), { recursive: true });
  writeFileSync(BUILT, "");
}

/** Installs and builds as far as needed; says on stderr what it does. */
export function prepare() {
  if (Number(process.versions.node.split(".")[0]) < NODE_MAJOR_MIN) {
    throw new Error(`renderfarm needs Node ${NODE_MAJOR_MIN} or newer; this is ${process.version}`);
  }
  if (!isInstalled()) {
    process.stderr.write("renderfarm: installing the packages of package-lock.json\n");
    // Without a script of any package: none of ours needs one.
    const npm = process.platform === "win32" ? "npm.cmd" : "npm";
    runTool(npm, ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
    writeFileSync(INSTALLED, lockDigest());
  }
  if (!isBuilt()) {
    process.stderr.write("renderfarm: building\n");
    build();
  }
}
