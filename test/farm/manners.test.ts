/** @file How the command line behaves: settings from files, data on stdout, exit codes. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { parse } from "yaml";
import { runCli, startCli } from "./cli-process.js";
import { CHECKPOINT, PICTURE, startFarm, type TestFarm } from "./farm-harness.js";

const ROOT = join(import.meta.dirname, "../..");

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "farm-manners-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
});

/** A command whose settings are those of a file, and nothing else. */
function withConfig(text: string, ...args: string[]) {
  const path = join(folder, "renderfarm.yaml");
  writeFileSync(path, text);
  return runCli(args, { RENDERFARM_CONFIG: path });
}

test("a file names the farm; nodes and jobs come as tables, names and data", async () => {
  const farm: TestFarm = await startFarm(2);
  const config = `address: ${farm.client.address}\n`;
  const { jobId } = await farm.render({ numInferenceSteps: 2 });

  const names = await withConfig(config, "nodes", "-o", "name");
  expect(names).toMatchObject({ exitCode: 0, stdout: "node-1\nnode-2\n", stderr: "" });
  const table = await withConfig(config, "list");
  expect(table.stdout.split("\n")[0]).toMatch(/^JOB +STATE +PRIORITY/);
  const lines = await withConfig(config, "list", "-o", "jsonl");
  expect(lines.stdout.split("\n")).toHaveLength(2);
  expect(JSON.parse(lines.stdout)).toMatchObject({ jobId, state: "succeeded" });
  const yaml = await withConfig(config, "get", jobId, "-o", "yaml");
  expect(parse(yaml.stdout)).toMatchObject({ jobId, parameters: { seeds: ["7"] } });

  const shown = await withConfig(`${config}token: rf_secret\n`, "config", "show", "--origin");
  expect(shown.stdout).toContain(`address  ${farm.client.address}`);
  expect(shown.stdout).toContain(join(folder, "renderfarm.yaml"));
  expect(shown.stdout).not.toContain("rf_secret");

  const mistyped = await withConfig("adress: x\nfsp: 7\n", "nodes");
  expect(mistyped).toMatchObject({ exitCode: 2, stdout: "" });
  expect(mistyped.stderr).toContain(
    "renderfarm.yaml adress: is no setting, did you mean 'address'?",
  );
  expect(mistyped.stderr).toContain("renderfarm.yaml fsp: is no setting, did you mean 'fps'?");

  const limited = await withConfig(
    config,
    ...["submit", PICTURE, "--out", join(folder, "clip.gif"), "--timeout", "1s"],
    ...["--height", "16", "--width", "16", "--num-frames", "4", "--start-after", "+1h"],
  );
  expect(limited).toMatchObject({ exitCode: 124, stdout: "" });
  const waiting = (await farm.client.listJobs({ states: ["queued"] })).jobs[0]!.jobId;
  expect(limited.stderr).toContain(`renderfarm watch ${waiting} --out`);
});

test("stderr says as much as is wanted, and stdin is left alone where it is to be", async () => {
  const farm = await startFarm(1);
  const { jobId } = await farm.render({ numInferenceSteps: 2 });
  const address = ["--address", farm.client.address];
  const watch = (...args: string[]) =>
    runCli(["watch", jobId, "--out", join(folder, "clips"), ...address, ...args]);
  const plain = await watch();
  expect(plain.stderr).toContain("succeeded");
  const quiet = await watch("-q");
  expect(quiet).toEqual({ exitCode: 0, stdout: plain.stdout, stderr: "" });
  // Before the verb as well as after it.
  const verbose = await runCli(["-v", "get", jobId, ...address, "-o", "name"]);
  expect(verbose.stdout).toBe(`${jobId}\n`);
  expect(verbose.stderr).toMatch(/^GetJob: OK, \d\.\d{3} s\n$/);
  const both = await watch("--quiet", "--verbose");
  expect(both).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("cannot be used") });
  const quietError = await runCli(["get", "0".repeat(26), ...address, "--quiet"]);
  expect(quietError).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("no job") });

  const clip = ["--out", join(folder, "clip.gif")];
  const unread = await runCli(["submit", "-", ...clip, ...address, "--no-input"]);
  expect(unread).toMatchObject({ exitCode: 2, stdout: "" });
  expect(unread.stderr).toContain("-: is stdin, which --no-input leaves alone; name a file");
});

test("version tells what runs here, and at the other end", async () => {
  const farm = await startFarm(1);
  const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
    version: string;
  };
  const here = await runCli(["version", "-o", "name"]);
  expect(here.stdout).toMatch(
    new RegExp(`^renderfarm@${version}\nnode@${process.versions.node}\nonnxruntime@[0-9.]+\n$`),
  );
  const both = await runCli(["version", "--server", "--address", farm.client.address]);
  expect(both.stdout).toMatch(new RegExp(`^coordinator +${version}$`, "m"));
  expect((await runCli(["version", "--server", "--address", "127.0.0.1:1"])).exitCode).toBe(3);
});

test("doctor looks at the farm, the checkpoint and the tools, and says what to do", async () => {
  const farm = await startFarm(1);
  const blobs = join(folder, "blobs");
  const address = ["--address", farm.client.address];
  const data = ["--checkpoint", CHECKPOINT, "-o", "jsonl"];
  const missing = await runCli(["doctor", ...address, ...data, "--blobs", `file:${blobs}`]);
  expect(missing.exitCode).toBe(1);
  expect(missing.stderr).toContain("not in order: blobs");
  const found = missing.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { check: string; result: string; detail: string });
  expect(found.map(({ check, result }) => `${check} ${result}`)).toEqual([
    "tls skip",
    "farm ok",
    "nats skip",
    "blobs FAIL",
    "model ok",
    "provider ok",
    "ffmpeg ok",
  ]);
  expect(found[4]!.detail).toContain("a structure of its own");
  expect(found[1]!.detail).toContain("1 nodes, serving");
  expect(found[3]!.detail).toContain("is not a folder");

  const nobody = await runCli(["doctor", "--address", "127.0.0.1:1"]);
  expect(nobody.exitCode).toBe(1);
  expect(nobody.stdout).toMatch(/farm +FAIL +no answer from 127\.0\.0\.1:1.*renderfarm dev/);
});

test("completion is a script that the shell takes, and completes verbs and flags", async () => {
  const { stdout, exitCode } = await runCli(["completion", "bash"]);
  expect(exitCode).toBe(0);
  const ask = `${stdout}\nCOMP_WORDS=(renderfarm submit --num-f); COMP_CWORD=2; _renderfarm; echo "\${COMPREPLY[*]}"`;
  expect(execFileSync("bash", ["-c", ask], { encoding: "utf8" })).toBe("--num-frames\n");
});

test("the first Ctrl-C leaves the job running and says how to go on", async () => {
  const farm = await startFarm(1);
  const out = join(folder, "clip.gif");
  const release = farm.holdRuntimes(["node-1"]);
  const sent = startCli([
    ...["submit", PICTURE, "--out", out, "--address", farm.client.address],
    ...["--height", "16", "--width", "16", "--num-frames", "4", "--num-inference-steps", "2"],
  ]);
  const jobCount = async () => (await farm.client.listJobs()).jobs.length;
  await expect.poll(jobCount, { timeout: 30_000 }).toBe(1);
  const { jobId } = (await farm.client.listJobs()).jobs[0]!;
  sent.signal("SIGINT");
  const { exitCode, stdout, stderr } = await sent.ended;
  expect({ exitCode, stdout }).toEqual({ exitCode: 130, stdout: "" });
  expect(stderr).toContain(`renderfarm watch ${jobId} --out ${out}`);
  release();
  await farm.follow(jobId).end();
  const watched = await runCli(["watch", jobId, "--out", out, "--address", farm.client.address]);
  expect(watched).toMatchObject({ exitCode: 0, stdout: `${out}\n` });
});
