/** @file The pipeline for programs, called as diffusers was called for the golden runs. */
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { exportToVideo, StableVideoDiffusion, type Tensor } from "../../engine/index.js";
import { goldenPath, goldenTensor, maxDifference, readGolden } from "./read-golden.js";

const PICTURE = goldenPath("two-level/runs/plain/input0.png");
const SMALL = { height: 16, width: 16, numFrames: 4, numInferenceSteps: 2, generator: 7 } as const;

let pipe: StableVideoDiffusion;
beforeAll(async () => {
  const folder = goldenPath("two-level/checkpoint");
  pipe = await StableVideoDiffusion.fromPretrained(folder, { threads: 1 });
});
afterAll(() => pipe.close());

describe("as diffusers", () => {
  test("one picture: every step's latents and the frames", async () => {
    const expected = readGolden("two-level/runs/plain/expected.safetensors");
    const seen: number[] = [];
    const { frames, seeds } = await pipe.run(PICTURE, {
      ...{ height: 64, width: 96, numFrames: 7, numInferenceSteps: 4, decodeChunkSize: 3 },
      ...{ generator: 42, outputType: "np" },
      callbackOnStepEnd: (step, timestep, { latents }) => {
        const golden = goldenTensor(expected, `latents_after_step_${step}`).data;
        expect(maxDifference(latents.data, golden)).toBeLessThan(1e-3 * largest(golden));
        expect(timestep).toBeCloseTo(goldenTensor(expected, "timesteps").data[step]!, 4);
        seen.push(step);
      },
    });
    expect(seen).toEqual([0, 1, 2, 3]);
    expect(seeds).toEqual([42n]);
    expect(frames.map((clip) => clip.shape)).toEqual([[7, 64, 96, 3]]);
    expect(
      maxDifference(frames[0]!.data, goldenTensor(expected, "frames").data),
    ).toBeLessThanOrEqual(5e-4);
  });

  test("two pictures and a seed each", async () => {
    const folder = goldenPath("two-level/runs/two-images");
    const call = JSON.parse(readFileSync(join(folder, "call.json"), "utf8")) as {
      images: string[];
      seeds: number[];
      [name: string]: unknown;
    };
    const expected = goldenTensor(readGolden(join(folder, "expected.safetensors")), "frames");
    const { frames } = await pipe.run(
      call.images.map((name) => readFileSync(join(folder, name))),
      {
        ...camelCase(call, ["images", "seeds", "one_seed"]),
        generator: call.seeds,
        outputType: "np",
      },
    );
    const joined = frames.flatMap(({ data }) => [...data]);
    expect(maxDifference(joined, expected.data)).toBeLessThanOrEqual(5e-4);
  });
});

describe("output types", () => {
  test("rgb are the float frames in 8 bits, latent is what they were decoded from", async () => {
    const rgb = (await pipe.run(PICTURE, SMALL)).frames[0]!;
    const np = (await pipe.run(PICTURE, { ...SMALL, outputType: "np" })).frames[0]!;
    const latent = (await pipe.run(PICTURE, { ...SMALL, outputType: "latent" })).frames[0]!;
    expect(rgb.map(({ width, height }) => [width, height])).toEqual(Array(4).fill([16, 16]));
    const bytes = rgb.flatMap(({ data }) => [...data]);
    expect(
      maxDifference(
        bytes,
        np.data.map((value) => value * 255),
      ),
    ).toBeLessThanOrEqual(0.5001);
    expect(latent.shape).toEqual([4, 4, 8, 8]);
  });

  test("pixels, bytes and a path of one picture give one clip", async () => {
    const bySource = [];
    for (const source of [PICTURE, readFileSync(PICTURE)]) {
      bySource.push((await pipe.run(source, SMALL)).frames);
    }
    expect(bySource[1]).toEqual(bySource[0]);
  });
});

describe("the callback", () => {
  test("other latents go on in place of the step's", async () => {
    const latents = { ...SMALL, outputType: "latent" } as const;
    const zeroed = (tensor: Tensor) => ({ ...tensor, data: new Float32Array(tensor.data.length) });
    const { frames } = await pipe.run(PICTURE, {
      ...latents,
      callbackOnStepEnd: (step, _timestep, end) =>
        step === 1 ? { latents: zeroed(end.latents) } : undefined,
    });
    expect(frames[0]!.data.every((value) => value === 0)).toBe(true);
  });

  test("an abort in it stops the call before the next run of the model", async () => {
    const stop = new AbortController();
    const steps: number[] = [];
    const call = pipe.run(PICTURE, {
      ...SMALL,
      numInferenceSteps: 5,
      signal: stop.signal,
      callbackOnStepEnd: (step) => {
        steps.push(step);
        stop.abort();
      },
    });
    await expect(call).rejects.toMatchObject({ code: "cancelled" });
    expect(steps).toEqual([0]);
  });
});

describe("bad calls", () => {
  test("every mistake at once, in the caller's names", async () => {
    const wrong = { height: 17, numFrame: 3, fps: 0, generator: -1, outputType: "pil" };
    await expect(pipe.run(PICTURE, wrong as object)).rejects.toMatchObject({
      code: "invalid-argument",
      violations: [
        { field: "numFrame", description: "is no parameter, did you mean 'numFrames'?" },
        { field: "outputType", description: "'pil' is unknown; legal are rgb, np, latent" },
        { field: "height" },
        { field: "generator" },
        { field: "fps" },
      ],
    });
  });

  test.each([
    ["a file that is not there", "missing.png", /missing\.png' cannot be read \(ENOENT\)/],
    ["bytes that are no picture", Buffer.from("hello"), /neither png, jpeg nor webp/],
  ])("%s", async (_case, source, message) => {
    await expect(pipe.run(source, SMALL)).rejects.toThrow(message);
  });
});

describe("exportToVideo", () => {
  const folderOfTest = () => {
    const folder = mkdtempSync(join(tmpdir(), "engine-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    return folder;
  };

  test("writes a file of the extension's format, in place of an older one, always the same", async () => {
    const folder = folderOfTest();
    const { frames } = await pipe.run(PICTURE, SMALL);
    const sha256 = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");
    for (const name of ["clip.mp4", "clip.gif", "clip.webp"]) {
      const path = join(folder, name);
      expect(await exportToVideo(frames[0]!, path, 7)).toBe(path);
      const before = sha256(path);
      await exportToVideo(frames[0]!, path, 7);
      expect(sha256(path)).toBe(before);
      expect(statSync(path).size).toBeGreaterThan(100);
    }
  });

  test.each([
    ["no frames", [], "clip.gif", 7, "frames"],
    ["an unknown extension", null, "clip.avi", 7, "path"],
    ["no frames a second", null, "clip.gif", 0, "fps"],
  ])("refuses %s", async (_case, given, name, fps, field) => {
    const picture = { width: 2, height: 2, data: new Uint8Array(12) };
    const path = join(folderOfTest(), name);
    await expect(exportToVideo(given ?? [picture], path, fps)).rejects.toMatchObject({
      violations: [{ field }],
    });
  });
});

function largest(values: Float32Array): number {
  return values.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
}

/** A call's parameters in our spelling, without those named. */
function camelCase(call: Record<string, unknown>, without: readonly string[]): object {
  return Object.fromEntries(
    Object.entries(call)
      .filter(([name]) => !without.includes(name))
      .map(([name, value]) => [
        name.replace(/_([a-z])/g, (_all, letter: string) => letter.toUpperCase()),
        value,
      ]),
  );
}
