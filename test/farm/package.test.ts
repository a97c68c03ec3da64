/** @file The package as npm would publish it: its examples, run as a user's programs would be. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CHECKPOINT, PICTURE, startFarm } from "./farm-harness.js";

const ROOT = join(import.meta.dirname, "../..");
const run = promisify(execFile);

let project: string;
beforeAll(async () => {
  project = mkdtempSync(join(tmpdir(), "package-"));
  const modules = join(project, "node_modules");
  mkdirSync(modules);
  // What npm would install beside the package is there already.
  for (const name of readdirSync(join(ROOT, "node_modules"))) {
    if (!name.startsWith(".")) symlinkSync(join(ROOT, "node_modules", name), join(modules, name));
  }
  const pack = ["pack", "--ignore-scripts", "--json", "--pack-destination", project];
  const { stdout } = await run("npm", pack, { cwd: ROOT, maxBuffer: 64 * 1024 * 1024 });
  const [{ filename }] = JSON.parse(stdout) as [{ filename: string }];
  await run("tar", ["-xzf", join(project, filename), "-C", modules]);
  renameSync(join(modules, "package"), join(modules, "renderfarm"));
  cpSync(join(ROOT, "examples"), join(project, "examples"), { recursive: true });
});
afterAll(() => rmSync(project, { recursive: true, force: true }));

const example = (name: string, ...args: string[]) =>
  run(process.execPath, [join(project, "examples", name), ...args], { cwd: project });
const sha256 = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");

test("one process and a farm write the same bytes", async () => {
  const alone = join(project, "alone.mp4");
  const engine = await example("one-process.mjs", CHECKPOINT, PICTURE, alone);
  expect(engine.stdout).toBe(`${alone}\n`);
  expect(engine.stderr).toMatch(/^step 1, timestep .*\nstep 2, .*\nstep 3, .*\nseed 42\n$/);

  const farm = await startFarm(2);
  const folder = join(project, "clips");
  const client = await example("farm-client.mjs", farm.client.address, PICTURE, folder);
  const [video, sidecar] = client.stdout.trim().split("\n");
  expect([video, sidecar]).toEqual([
    join(folder, "clip-001/clip.mp4"),
    join(folder, "clip-001/clip.json"),
  ]);
  expect(client.stderr).toMatch(/succeeded: step 3\/3\n$/);
  expect(sha256(video!)).toBe(sha256(alone));
});

test("a program in TypeScript finds the types of both entries", async () => {
  const program = `
    import { RenderFarmClient, type JobView } from "renderfarm";
    import { StableVideoDiffusion, type Tensor } from "renderfarm/engine";
    export async function main(): Promise<[JobView, Tensor]> {
      const job = await new RenderFarmClient().render({ images: "a.png", fps: 7 });
      const pipe = await StableVideoDiffusion.fromPretrained("folder");
      const { frames } = await pipe.run("a.png", { outputType: "np" });
      // @ts-expect-error a misspelt parameter
      await pipe.run("a.png", { numFrame: 3 });
      return [job, frames[0]!];
    }`;
  writeFileSync(join(project, "main.mts"), program);
  const compiler = join(ROOT, "node_modules/typescript/bin/tsc");
  const options = ["--noEmit", "--strict", "--module", "NodeNext", "--target", "ES2022"];
  const args = [compiler, ...options, "--skipLibCheck", "--types", "node", "main.mts"];
  expect(await run(process.execPath, args, { cwd: project })).toEqual({ stdout: "", stderr: "" });
});

test("the package holds what runs, and neither tests nor benchmarks", () => {
  const folder = join(project, "node_modules/renderfarm");
  expect(readdirSync(folder).sort()).toEqual(
    expect.arrayContaining(["LICENSE", "README.md", "bin", "dist", "package.json", "proto"]),
  );
  const built = readdirSync(join(folder, "dist"));
  const run = ["cli", "client", "console", "coordinator", "engine", "gpu-node", "proto", "shared"];
  expect(built).toEqual(expect.arrayContaining(run));
  expect(built.filter((name) => ["bench", "deploy", "test"].includes(name))).toEqual([]);
});
