// `npm run soak -- [--minutes 60] [--seed 1]`: a farm of processes under load, one fault every 20 s;
// see test/farm/soak.test.ts.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { prepare, root } from "./prepare.mjs";

const { values } = parseArgs({
  options: { minutes: { type: "string", default: "60" }, seed: { type: "string", default: "1" } },
});
if (!(Number(values.minutes) > 0) || !/^\d+$/.test(values.seed)) {
  console.error(
    "npm run soak -- [--minutes 60] [--seed 1]: minutes above 0, a whole number as seed",
  );
  process.exit(2);
}
prepare();
const { status } = spawnSync(
  process.execPath,
  [join(root, "node_modules/vitest/vitest.mjs"), "run", "test/farm/soak.test.ts"],
  {
    cwd: root,
    stdio: "inherit",
    env: {
      ...process.env,
      RENDERFARM_SOAK_MINUTES: values.minutes,
      RENDERFARM_FAULTS: values.seed,
    },
  },
);
process.exit(status ?? 1);
