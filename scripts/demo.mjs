// `npm run demo`: from a fresh clone to a clip: installs, builds, renders the sample picture on two
// node processes of this machine.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { prepare, root } from "./prepare.mjs";

const picture = "checkpoints/demo/samples/scene1.png";
const clip = "out/demo.mp4";

prepare();
const { status } = spawnSync(
  process.execPath,
  [
    ...[join(root, "bin/renderfarm"), "run", picture, "--checkpoint", "checkpoints/demo"],
    ...["--nodes", "2", "--num-frames", "14", "--num-inference-steps", "25"],
    ...["--max-guidance-scale", "1.5", "--seed", "42", "--out", clip],
  ],
  { cwd: root, stdio: ["ignore", "ignore", "inherit"] },
);
if (status !== 0 || !existsSync(join(root, clip))) {
  console.error(`the demo failed (exit code ${status})`);
  process.exit(status || 1);
}
console.log(`
The clip is at ${join(root, clip)}
What it was made with is beside it, in ${join(root, "out/demo.json")}

Next, from ${root}:
  bin/renderfarm run checkpoints/demo/samples/scene2.png --checkpoint checkpoints/demo \\
    --max-guidance-scale 1.5 --motion-bucket-id 255 --seed 7 --out out/fast.gif
  bin/renderfarm run --help
`);
