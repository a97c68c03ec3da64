// Makes a checkout ready to run: installs what package-lock.json names where node_modules differs,
// and builds where a source is newer than dist. Says what it does on stderr; otherwise silent.
import { spawnSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const SOURCE_FOLDERS = [
  "shared",
  "coordinator",
  "gpu-node",
  "engine",
  "client",
  "cli",
  "console",
  "proto/gen",
  "bench",
  "test/sim",
  "test/servers",
  "test/faulty-node",
];
const SETTINGS = ["tsconfig.json", "tsconfig.build.json", "package.json", "package-lock.json"];
/** Touched after a build that worked. */
const STAMP = join(root, "dist/.built");

/** Installs and builds as far as needed; ends the process when one of them fails. */
export function prepare() {
  const hasInstalled = install();
  if (hasInstalled || isBuildStale()) build();
}

/** Installs where needed, and says whether it was. */
export function install() {
  const need = installNeed();
  if (need === null) return false;
  if (isLink(join(root, "node_modules"))) {
    say(`dependencies differ (${need}), and node_modules is a link: npm ci would empty what it points
to. Run npm ci there, or remove the link.`);
    process.exit(1);
  }
  say(`installing dependencies (${need})`);
  runOrExit("npm", ["ci", "--no-progress", "--loglevel=error"], "npm ci");
  return true;
}

/** Compiles everything and removes what belongs to sources that are gone. */
export function build() {
  say("building");
  const compiler = join(root, "node_modules/typescript/bin/tsc");
  rmSync(STAMP, { force: true });
  runOrExit(process.execPath, [compiler, "-p", "tsconfig.build.json"], "the TypeScript compiler");
  removeOrphans(join(root, "dist"), root);
  const bundler = join(root, "node_modules/vite/bin/vite.js");
  const bundle = [bundler, "build", "console", "--logLevel", "warn"];
  runOrExit(process.execPath, bundle, "the bundler of the console");
  mkdirSync(join(root, "dist"), { recursive: true });
  writeFileSync(STAMP, "");
}

function isLink(path) {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
}

/** Why an install is needed; null when node_modules holds exactly what the lock names. */
function installNeed() {
  const hidden = join(root, "node_modules/.package-lock.json");
  if (!existsSync(hidden)) return "none are installed";
  const installed = JSON.parse(readFileSync(hidden, "utf8")).packages;
  const locked = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages;
  for (const [path, { version, optional, devOptional }] of Object.entries(locked)) {
    if (path === "") continue;
    const found = installed[path];
    // Optional ones are left out where they are not made for this platform.
    if (found === undefined && (optional || devOptional)) continue;
    if (found?.version !== version) {
      const name = path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
      return `${name} ${version} is not installed`;
    }
  }
  return null;
}

function isBuildStale() {
  if (!existsSync(STAMP)) return true;
  const builtMs = statSync(STAMP).mtimeMs;
  const isNewer = (path) => existsSync(path) && statSync(path).mtimeMs > builtMs;
  if (SETTINGS.some((name) => isNewer(join(root, name)))) return true;
  return SOURCE_FOLDERS.some((folder) => {
    const path = join(root, folder);
    return existsSync(path) && hasNewer(path, isNewer);
  });
}

function hasNewer(folder, isNewer) {
  // A folder is newer when a file of it was removed.
  if (isNewer(folder)) return true;
  return readdirSync(folder, { withFileTypes: true }).some((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return hasNewer(path, isNewer);
    const isSource = /\.(tsx?|css|html|svg)$/.test(entry.name);
    return isSource && !entry.name.endsWith(".test.ts") && isNewer(path);
  });
}

/** A compiled file without its source would be found by nobody, until it is loaded by mistake. */
function removeOrphans(folder, sources) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    // The bundler empties its own folder.
    if (path === join(root, "dist/console")) continue;
    if (entry.isDirectory()) removeOrphans(path, join(sources, entry.name));
    else if (/\.(js|js\.map|d\.ts)$/.test(entry.name)) {
      const source = join(sources, entry.name.replace(/\.(js|js\.map|d\.ts)$/, ".ts"));
      if (!existsSync(source)) rmSync(path);
    }
  }
}

/** Output of the tool goes to stderr: stdout belongs to whoever asked for the preparation. */
function runOrExit(command, args, name) {
  const isNpmOnWindows = command === "npm" && process.platform === "win32";
  const { status, error } = spawnSync(command, args, {
    cwd: root,
    stdio: ["ignore", 2, 2],
    shell: isNpmOnWindows,
  });
  if (status === 0) return;
  say(`${name} failed${error ? `: ${error.message}` : ""}`);
  process.exit(1);
}

function say(text) {
  process.stderr.write(`renderfarm: ${text}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) prepare();
