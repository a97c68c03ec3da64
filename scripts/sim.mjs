// `npm run sim [-- flags]`: the farm in a seeded world of faults; see test/sim/.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { prepare, root } from "./prepare.mjs";

prepare();
const { status } = spawnSync(
  process.execPath,
  ["--enable-source-maps", join(root, "dist/test/sim/main.js"), ...process.argv.slice(2)],
  { cwd: root, stdio: "inherit" },
);
process.exit(status ?? 1);
