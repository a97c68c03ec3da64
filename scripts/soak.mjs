// `npm run soak -- [--minutes 60] [--seed 1]`: a farm of processes under load, one fault every 20 s; see
// test/farm/soak.test.ts. With `--kills coordinator=100` one process is killed so often instead, and
// nothing that was accepted may be lost or doubled; see the tests named kills-under-load.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { prepare, root } from "./prepare.mjs";

const USAGE = `npm run soak -- [--minutes 60] [--seed 1]: minutes above 0, a whole number as seed
npm run soak -- --kills KIND=COUNT[,KIND=COUNT] [--seed 1]: coordinator, node, nats or leader, as in nats=100`;

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "60" },
    kills: { type: "string" },
    seed: { type: "string", default: "1" },
  },
});
const { minutes, kills, seed } = values;
const areKills = kills === undefined || /^[a-z-]+=[1-9]\d*(,[a-z-]+=[1-9]\d*)*$/.test(kills);
if (!(Number(minutes) > 0) || !/^\d+$/.test(seed) || !areKills) {
  console.error(USAGE);
  process.exit(2);
}
prepare();
const [tests, asked] = kills
  ? ["kills-under-load", { RENDERFARM_SOAK_KILLS: kills }]
  : ["test/farm/soak.test.ts", { RENDERFARM_SOAK_MINUTES: minutes }];
const { status } = spawnSync(
  process.execPath,
  [join(root, "node_modules/vitest/vitest.mjs"), "run", tests],
  { cwd: root, stdio: "inherit", env: { ...process.env, ...asked, RENDERFARM_FAULTS: seed } },
);
process.exit(status ?? 1);
