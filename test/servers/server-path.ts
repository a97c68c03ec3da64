/** @file Where the real servers of tests are; the first test that asks may have to install one. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";

/** Compiled, this file is a folder deeper: in dist. */
const up = import.meta.url.endsWith(".js") ? "../../.." : "../..";
const installer = fileURLToPath(new URL(`${up}/scripts/servers/install.mjs`, import.meta.url));

type ServerName = "minio" | "seaweedfs" | "nats-server" | "kustomize" | "prometheus" | "promtool";

/**
 * The path of a server's program; null where it can neither be found nor installed, and then the
 * tests that need it are left out with a word of why on stderr.
 *
 * @throws Error instead of null when RENDERFARM_REQUIRE_SERVERS is 1
 */
export async function serverPath(name: ServerName): Promise<string | null> {
  const found = JSON.parse(await installerOutput(name)) as Record<string, Found>;
  const { path, missing } = found[name] ?? { missing: "the installer does not know it" };
  if (path !== undefined) return path;
  const text = `tests with a real ${name} server are left out: ${missing}`;
  if (process.env["RENDERFARM_REQUIRE_SERVERS"] === "1") throw new Error(text);
  process.stderr.write(`${text}\n`);
  return null;
}

interface Found {
  readonly path?: string;
  readonly missing?: string;
}

/** What it prints, also where it exits 1 because a server is missing. */
function installerOutput(name: string): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [installer, name], (error, stdout, stderr) => {
      if (stdout.startsWith("{")) resolve(stdout);
      else reject(new Error(`${installer} ${name}: ${stderr || String(error)}`));
    });
  });
}
