// `npm run bench`: measures on this machine; see docs/performance.md.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { prepare, root } from "./prepare.mjs";

try {
  prepare();
  const args = [join(root, "dist", "bench", "main.js"), ...process.argv.slice(2)];
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" });
  process.exitCode = status ?? 1;
} catch (error) {
  process.stderr.write(`renderfarm: ${error.message}\n`);
  process.exitCode = 1;
}
