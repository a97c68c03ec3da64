// `npm run bench [-- flags]`: measurements; see bench/.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { prepare, root } from "./prepare.mjs";

prepare();
const { status } = spawnSync(
  process.execPath,
  [join(root, "dist/bench/main.js"), ...process.argv.slice(2)],
  { cwd: root, stdio: "inherit" },
);
process.exit(status ?? 1);
