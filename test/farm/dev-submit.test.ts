/** @file A farm that stays up, and the commands that speak to it. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { type CliProcess, runCli, startCli } from "./cli-process.js";
import { CHECKPOINT, PICTURE } from "./farm-harness.js";

const SMALL = ["--height", "16", "--width", "16", "--num-frames", "4", "--seed", "7"];
const FAST = [...SMALL, "--num-inference-steps", "2"];

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "farm-out-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
});

async function startDev(): Promise<{ dev: CliProcess; address: string }> {
  const dev = startCli([
    ...["dev", "--checkpoint", CHECKPOINT, "--port", "0", "--nodes", "2", "--threads", "1"],
  ]);
  const [, address] = await dev.said("stdout", /^(127\.0\.0\.1:\d+)\n/);
  return { dev, address: address! };
}

test("dev says where it is and what to type next; that command makes a clip; SIGINT ends it all", async () => {
  const { dev, address } = await startDev();
  const [, console] = await dev.said("stderr", /\nconsole: (http:\/\/127\.0\.0\.1:\d+\/)\n/);
  expect(await (await fetch(console!)).text()).toContain("<title>renderfarm</title>");
  const [, next] = await dev.said("stderr", /\n {2}renderfarm (submit photo\.jpg .*)\n/);
  expect(next).toBe(`submit photo.jpg --out clip.mp4 --address ${address}`);

  const out = join(folder, "clip.mp4");
  const typed = next!.replace("photo.jpg", PICTURE).replace("clip.mp4", out).split(" ");
  const sent = await runCli([...typed, ...FAST]);
  expect(sent).toMatchObject({ exitCode: 0 });
  expect(sent.stdout.trim().split("\n")).toEqual([out, join(folder, "clip.json")]);
  expect(readFileSync(out).subarray(4, 8).toString("latin1")).toBe("ftyp");
  expect(readdirSync(folder).sort()).toEqual(["clip.json", "clip.mp4"]);

  expect(dev.pidsOf("coordinator/main.js")).toHaveLength(1);
  expect(dev.pidsOf("gpu-node/main.js")).toHaveLength(2);
  expect(dev.pidsOf("runtime-child.js")).toHaveLength(2);
  dev.signal("SIGINT");
  expect(await dev.ended).toMatchObject({ exitCode: 0, stdout: `${address}\n` });
  await dev.leftNothing();

  const late = await runCli([...typed, ...FAST]);
  expect(late.exitCode).toBe(3);
  expect(late.stderr).toContain(`no answer from ${address}`);
});

test("SIGINT of submit leaves the job to the farm; watch fetches it, cancel ends another", async () => {
  const { address } = await startDev();
  const out = join(folder, "clip.gif");
  const at = ["--address", address];
  const submit = startCli([
    ...["submit", PICTURE, "--out", out, ...at, ...SMALL, "--num-inference-steps", "80"],
  ]);
  await submit.said("stderr", /step \d+\/80/);
  submit.signal("SIGINT");
  const left = await submit.ended;
  expect(left).toMatchObject({ exitCode: 130, stdout: "" });
  expect(existsSync(out)).toBe(false);
  const [, jobId] = /renderfarm watch (\w+) --out/.exec(left.stderr)!;
  const watched = await runCli(["watch", jobId!, "--out", out, ...at]);
  expect(watched).toMatchObject({ exitCode: 0, stdout: `${out}\n` });
  expect(readFileSync(out).subarray(0, 6).toString("latin1")).toBe("GIF89a");
  // Files of a folder have no links; the way out is said.
  const linked = await runCli(["link", jobId!, "--file", "clip.gif", ...at]);
  expect(linked).toMatchObject({ exitCode: 4, stdout: "" });
  expect(linked.stderr).toMatch(/wrong-state.* gives no links; use DownloadOutput/);

  const long = ["--num-inference-steps", "1000", "--detach"];
  const named = ["--request-id", "shot-12a", "--label", "shot=12a", "--label", "team=blue"];
  // No seed is named: the same command is the same request all the same.
  const unseeded = SMALL.filter((word) => word !== "--seed" && word !== "7");
  const send = () => runCli(["submit", PICTURE, ...at, ...unseeded, ...long, ...named]);
  const [detached, again] = [await send(), await send()];
  const other = detached.stdout.trim();
  expect(again).toMatchObject({ exitCode: 0, stdout: detached.stdout });
  const found = await runCli(["list", "-l", "team=blue,shot", "-o", "name", ...at]);
  expect(found.stdout).toBe(`${other}\n`);
  const wide = await runCli(["list", "--selector", "shot=12a", "-o", "wide", ...at]);
  expect(wide.stdout).toMatch(/ LABELS .*\n.* shot=12a,team=blue /);
  const differing = await runCli(["submit", PICTURE, ...at, ...SMALL, ...long, ...named]);
  expect(differing).toMatchObject({ exitCode: 2, stdout: "" });
  expect(differing.stderr).toContain(`request_id: made job ${other} of other pictures`);
  const cancelled = await runCli(["cancel", other, ...at]);
  expect(cancelled).toMatchObject({ exitCode: 0, stdout: `${other} cancelled\n` });
  const gone = await runCli(["watch", other, "--out", join(folder, "none.mp4"), ...at]);
  expect(gone).toMatchObject({ exitCode: 5, stdout: "" });
  expect(readdirSync(folder)).toEqual(["clip.gif"]);
});
