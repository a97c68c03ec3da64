// `npm run generate`: writes proto/gen from proto/ with buf and ts-proto, both from npm.
// `--check` writes elsewhere and fails when the committed files differ.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const committed = join(root, "proto", "gen");

function buf(...args) {
  const { status, error } = spawnSync(join(root, "node_modules", ".bin", "buf"), args, {
    cwd: root,
    stdio: ["ignore", 2, 2],
  });
  if (error) throw error;
  if (status !== 0) throw new Error(`buf ${args.join(" ")} ended with ${status}`);
}

function filesOf(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}

function differences(a, b) {
  const names = new Set([...filesOf(a), ...filesOf(b)]);
  const read = (folder, name) => {
    try {
      return readFileSync(join(folder, name), "utf8");
    } catch {
      return null;
    }
  };
  return [...names].filter((name) => read(a, name) !== read(b, name));
}

try {
  buf("lint");
  if (process.argv.includes("--check")) {
    mkdirSync(join(root, ".cache"), { recursive: true });
    const fresh = mkdtempSync(join(root, ".cache", "gen-"));
    try {
      buf("generate", "--output", fresh);
      const stale = differences(join(fresh, "proto", "gen"), committed);
      if (stale.length > 0)
        throw new Error(`run "npm run generate": differs in ${stale.join(", ")}`);
    } finally {
      rmSync(fresh, { recursive: true, force: true });
    }
  } else buf("generate");
} catch (error) {
  process.stderr.write(`generate: ${error.message}\n`);
  process.exitCode = 1;
}
