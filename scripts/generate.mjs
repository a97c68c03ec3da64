// `npm run generate`: writes proto/gen from proto/ with buf and ts-proto, both from npm.
// The result is committed; `buf.gen.yaml` holds the options.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const buf = fileURLToPath(new URL("../node_modules/.bin/buf", import.meta.url));

for (const args of [["lint"], ["generate"]]) {
  const { status, error } = spawnSync(buf, args, { cwd: root, stdio: "inherit" });
  if (error !== undefined) throw error;
  if (status !== 0) process.exit(status ?? 1);
}
