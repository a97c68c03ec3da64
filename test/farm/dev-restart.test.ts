/** A node of `renderfarm dev` that dies is started again, and the farm renders as before. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { runCli, startCli } from "./cli-process.js";
import { CHECKPOINT, PICTURE } from "./farm-harness.js";

test("a node that is killed comes back under its name; SIGINT lets both end in good order", async () => {
  const folder = mkdtempSync(join(tmpdir(), "farm-out-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const dev = startCli([
    ...["dev", "--checkpoint", CHECKPOINT, "--port", "0", "--nodes", "2", "--threads", "1"],
  ]);
  const [, address] = await dev.said("stdout", /^(127\.0\.0\.1:\d+)\n/);
  process.kill(dev.pidsOf("gpu-node/main.js")[0]!, "SIGKILL");
  const [, name] = await dev.said(
    "stderr",
    /(node-\d) ended \(SIGKILL\); starting it again in 1 s/,
  );
  await dev.said("stderr", new RegExp(`${name} is back`));

  const out = join(folder, "clip.gif");
  const small = ["--height", "16", "--width", "16", "--num-frames", "2", "--seed", "7"];
  const sent = await runCli([
    ...["submit", PICTURE, "--out", out, "--address", address!, ...small],
    ...["--num-inference-steps", "2"],
  ]);
  expect(sent).toMatchObject({ exitCode: 0, stdout: `${out}\n` });

  dev.signal("SIGINT");
  const { exitCode, stderr } = await dev.ended;
  expect(exitCode).toBe(0);
  expect(stderr).toContain("stopping: nodes end or give back what they work on, 30 s at most");
  await dev.leftNothing();
});
