// `npm run harness`: two nodes on the CPU, a real nats-server and a real S3 store; see bench/harness.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { prepare, root } from "./prepare.mjs";

prepare();
const servers = ["nats-server", "seaweedfs"];
const installer = join(root, "scripts/servers/install.mjs");
const stdio = ["ignore", "ignore", "inherit"];
const installed = spawnSync(process.execPath, [installer, ...servers], { cwd: root, stdio });
if (installed.status !== 0) {
  console.error(`the harness needs ${servers.join(" and ")} in PATH, or pip or Go to install them`);
  process.exit(2);
}
const { status } = spawnSync(process.execPath, [join(root, "dist/bench/harness/main.js")], {
  cwd: root,
  stdio: "inherit",
});
process.exit(status ?? 1);
