// `npm run demo`: renders the sample picture with the demo checkpoint on two node processes.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { prepare, root } from "./prepare.mjs";

const clip = join("out", "demo.mp4");
const args = [
  join(root, "bin", "renderfarm"),
  ...["run", join("checkpoints", "demo", "samples", "scene1.png")],
  ...["--checkpoint", join("checkpoints", "demo"), "--nodes", "2"],
  ...["--height", "64", "--width", "64", "--num-frames", "14", "--num-inference-steps", "25"],
  ...["--max-guidance-scale", "1.5", "--seed", "42", "--out", clip],
];

try {
  prepare();
  process.stderr.write(`renderfarm: ${["bin/renderfarm", ...args.slice(1)].join(" ")}\n`);
  const { status } = spawnSync(process.execPath, args, {
    cwd: root,
    stdio: ["ignore", "ignore", "inherit"],
  });
  if (status !== 0) throw new Error(`the demo ended with ${status}`);
  process.stdout.write(`
The clip is at ${join(root, clip)}

Next, a picture of your own and a checkpoint of your own:
  bin/renderfarm run photo.jpg --checkpoint DIR --out clip.mp4
  bin/renderfarm run --help
`);
} catch (error) {
  process.stderr.write(`renderfarm: ${error.message}\n`);
  process.exitCode = 1;
}
