import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { cp, mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { FarmError } from "../../shared/core/errors.js";
import { type Tensor, tensor } from "../../shared/tensor/tensor.js";
import { goldenPath } from "../../test/golden/read-golden.js";
import { type ChildRuntime, startChildRuntime } from "./child-runtime.js";
import { openInProcessRuntime } from "./in-process-runtime.js";
import type { GraphSpec } from "./runtime.js";
import { runtimeChildPath } from "./runtime-process.js";

const settings = {
  checkpointDir: goldenPath("two-level/checkpoint"),
  provider: "cpu",
  intraOpThreads: 1,
} as const;

const encoder: GraphSpec = { module: "image_encoder" };
const decoder: GraphSpec = { module: "vae_decoder", frames: 2, height: 4, width: 6 };
const pixels = { pixel_values: wave([1, 3, 224, 224]) };
const chunk = { z: wave([2, 4, 4, 6]) };

function wave(shape: readonly number[]): Tensor {
  const length = shape.reduce((a, b) => a * b, 1);
  return tensor(
    shape,
    Float32Array.from({ length }, (_, i) => Math.sin(i)),
  );
}

const started: ChildRuntime[] = [];
async function start(options: Partial<Parameters<typeof startChildRuntime>[0]> = {}) {
  const runtime = await startChildRuntime({ ...settings, ...options });
  started.push(runtime);
  return runtime;
}
afterAll(() => Promise.all(started.map((runtime) => runtime.close())));

/** Starts a child, and gives a promise of its own death as well. */
async function startWatched() {
  let died: (reason: FarmError) => void = () => {};
  const death = new Promise<FarmError>((resolve) => {
    died = resolve;
  });
  return { runtime: await start({ onDeath: (reason) => died(reason) }), death };
}

describe("a runtime child", () => {
  let runtime: ChildRuntime;
  beforeAll(async () => {
    runtime = await start();
  });

  test("says what it has opened, and gives the bytes of a runtime in this process", async () => {
    const here = await openInProcessRuntime(settings);
    expect(runtime.info).toEqual(here.info);
    for (const [graph, inputs] of [
      [encoder, pixels],
      [decoder, chunk],
    ] as const) {
      expect(await runtime.run(graph, inputs)).toEqual(await here.run(graph, inputs));
    }
    await here.close();
  });

  test("answers runs that were asked for at once, each with its own result", async () => {
    const other = { z: tensor([2, 4, 4, 6], new Float32Array(192)) };
    const inputs = [chunk, other, chunk];
    const [first, second, third] = await Promise.all(inputs.map((z) => runtime.run(decoder, z)));
    expect(third).toEqual(first);
    expect(second).not.toEqual(first);
  });

  test("names graph and output when a result is not finite", async () => {
    const wrong = { z: tensor([2, 4, 4, 6], new Float32Array(192).fill(Number.NaN)) };
    await expect(runtime.run(decoder, wrong)).rejects.toMatchObject({
      code: "numerical",
      detail: expect.stringMatching(/^vae_decoder 2x4x6: sample: .*NaN/) as string,
    });
  });

  test("refuses inputs that do not fit the graph, and lives on", async () => {
    await expect(runtime.run(decoder, pixels)).rejects.toMatchObject({
      code: "graph-shape-mismatch",
    });
    expect(await runtime.run(decoder, chunk)).toHaveProperty("sample");
  });
});

describe("a child that is killed", () => {
  test("fails every run with the signal's name, and the next child goes on", async () => {
    const { runtime, death } = await startWatched();
    const before = await runtime.run(encoder, pixels);
    const runs = [runtime.run(decoder, chunk), runtime.run(encoder, pixels)];
    const failures = Promise.all(runs.map((run) => run.catch((error: unknown) => error)));
    process.kill(runtime.pid!, "SIGKILL");

    const [first, second] = await failures;
    expect(first).toMatchObject({ code: "runtime-failed" });
    expect((first as FarmError).detail).toMatch(/^vae_decoder 2x4x6: .*signal SIGKILL/);
    expect((second as FarmError).detail).toMatch(/^image_encoder: .*signal SIGKILL/);
    expect((await death).detail).toContain("signal SIGKILL");

    expect(runtime.pid).toBeNull();
    await expect(runtime.run(encoder, pixels)).rejects.toThrow("signal SIGKILL");
    await runtime.restart();
    expect(await runtime.run(encoder, pixels)).toEqual(before);
  });

  test("by its owner is no news to its owner", async () => {
    const news: FarmError[] = [];
    const runtime = await start({ onDeath: (reason) => news.push(reason) });
    const run = runtime.run(decoder, chunk);
    runtime.kill();
    await expect(run).rejects.toMatchObject({ code: "runtime-failed" });
    await runtime.restart();
    await runtime.run(decoder, chunk);
    await runtime.close();
    expect(news).toEqual([]);
  });

  test("comes back only with the same checkpoint", async () => {
    const folder = await mkdtemp(join(tmpdir(), "renderfarm-checkpoint-"));
    await cp(settings.checkpointDir, folder, { recursive: true });
    const runtime = await start({ checkpointDir: folder });
    const weights = await open(join(folder, "unet/diffusion_pytorch_model.safetensors"), "r+");
    const { size } = await weights.stat();
    await weights.write(Buffer.from([1]), 0, 1, size - 1);
    await weights.close();

    await expect(runtime.restart()).rejects.toMatchObject({ code: "checkpoint-invalid" });
    await expect(runtime.run(encoder, pixels)).rejects.toMatchObject({ code: "runtime-failed" });
    await rm(folder, { recursive: true });
  });
});

describe("a child that does not become ready", () => {
  test("because of the checkpoint: with every problem of it", async () => {
    const failure = start({ checkpointDir: goldenPath("parts") });
    await expect(failure).rejects.toMatchObject({
      code: "checkpoint-invalid",
      violations: expect.arrayContaining([
        expect.objectContaining({ field: "model_index.json" }),
        expect.objectContaining({ field: "unet/config.json" }),
      ]) as unknown[],
    });
  });

  test("in time: after the deadline", async () => {
    await expect(start({ readyTimeoutMs: 1 })).rejects.toMatchObject({ code: "deadline" });
  });
});

describe("a child whose parent is killed ends too,", () => {
  const script = (graph: GraphSpec, inputs: string) => `
    import { startChildRuntime } from ${JSON.stringify(moduleUrl)};
    const runtime = await startChildRuntime(${JSON.stringify(settings)});
    const run = () => runtime.run(${JSON.stringify(graph)}, ${inputs});
    await run();
    const begin = performance.now();
    const second = run();
    void run();
    await second;
    console.log(runtime.pid, performance.now() - begin);`;
  const moduleUrl = pathToFileURL(runtimeChildPath().replace("runtime-child", "child-runtime"));
  const zeros = (shape: readonly number[]) =>
    `{ shape: ${JSON.stringify(shape)}, data: new Float32Array(${shape.reduce((a, b) => a * b)}) }`;
  /** A few seconds in one run. */
  const long: GraphSpec = { module: "vae_decoder", frames: 24, height: 64, width: 64 };

  test.each([
    ["when it is idle", encoder, `{ pixel_values: ${zeros([1, 3, 224, 224])} }`, 30_000],
    ["in the middle of a run", long, `{ z: ${zeros([24, 4, 64, 64])} }`, null],
  ])("%s", async (_name, graph, inputs, timeoutMs) => {
    const parent = spawn(process.execPath, ["--input-type=module", "-e", script(graph, inputs)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = (await once(parent.stdout, "data")) as [Buffer];
    const [pid, runMs] = line.toString().split(" ").map(Number) as [number, number];
    expect(isAlive(pid)).toBe(true);
    parent.kill("SIGKILL");
    // The third run has just begun; a child that waits for its end comes too late.
    const timeout = timeoutMs ?? 0.8 * runMs;
    await expect.poll(() => isAlive(pid), { interval: 20, timeout }).toBe(false);
  });
});

/** A process that has ended and waits for its parent to notice (a zombie) is not alive. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    const stat = `/proc/${pid}/stat`;
    return !existsSync(stat) || !/\) [ZX] /.test(readFileSync(stat, "utf8"));
  } catch {
    return false;
  }
}
