import { spawnSync } from "node:child_process";
import { chmod, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { OutputFormat } from "../../shared/farm/parameters.js";
import type { MuxWork, Output } from "../../shared/farm/work.js";
import type { BlobRef } from "../../shared/ports/blob-store.js";
import { decodeTensors } from "../../shared/tensor/safetensors.js";
import { tensor } from "../../shared/tensor/tensor.js";
import { createMemoryBlobs } from "../../test/golden/memory-blobs.js";
import { framesToBytes } from "../diffusion/frames.js";
import { chunkKey, clipPlace } from "./keys.js";
import { type Ffmpeg, findFfmpeg } from "./media/find-ffmpeg.js";
import { runMux } from "./mux.js";
import { encodeFrames, encodeLatents } from "./tensor-blobs.js";

const WIDTH = 48;
const HEIGHT = 32;
const FRAMES = 7;
const FPS = 7;
const FRAME_VALUES = HEIGHT * WIDTH * 3;
const jobId = "0123456789abcdefghjkmnpqrs";
const place = clipPlace({ jobId, clipId: `${jobId}-1`, epoch: 4 });

/** A disc that moves over a gradient: every frame is different. */
const frames = Float32Array.from({ length: FRAMES * FRAME_VALUES }, (_, i) => {
  const [frame, rest] = [Math.floor(i / FRAME_VALUES), i % FRAME_VALUES];
  const [y, x, channel] = [Math.floor(rest / (WIDTH * 3)), Math.floor(rest / 3) % WIDTH, rest % 3];
  if (Math.hypot(x - 8 - 5 * frame, y - 16) < 6) return channel === 0 ? 0.9 : 0.2;
  return channel === 2 ? y / HEIGHT : x / WIDTH;
});
const frameBytes = framesToBytes(frames);
const latents = tensor([FRAMES, 4, 4, 6], Float32Array.from({ length: FRAMES * 96 }, Math.cos));

let ffmpeg: Ffmpeg;
let folder: string;
beforeAll(async () => {
  const found = await findFfmpeg();
  if (found === null) throw new Error("these tests need ffmpeg: npm install brings one");
  ffmpeg = found;
  folder = await mkdtemp(join(tmpdir(), "renderfarm-mux-test-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface MuxOptions {
  readonly formats: readonly OutputFormat[];
  readonly keepFloat?: boolean;
  readonly chunkFrames?: number;
  readonly ffmpeg?: Ffmpeg | null;
  /** The task is stopped while this chunk is read. */
  readonly abortAtChunk?: number;
  readonly change?: (work: MuxWork) => MuxWork;
}

async function mux(options: MuxOptions) {
  const { keepFloat = false, chunkFrames = 3, change = (work) => work } = options;
  const blobs = createMemoryBlobs();
  const chunks: BlobRef[] = [];
  for (let first = 0; first < FRAMES; first += chunkFrames) {
    const count = Math.min(chunkFrames, FRAMES - first);
    const [begin, end] = [first * FRAME_VALUES, (first + count) * FRAME_VALUES];
    const shape = [count, HEIGHT, WIDTH, 3];
    const floats = new Uint8Array(frames.slice(begin, end).buffer);
    const chunk = keepFloat
      ? encodeFrames({ dtype: "F32", shape, bytes: floats })
      : encodeFrames({ dtype: "U8", shape, bytes: frameBytes.subarray(begin, end) });
    chunks.push(await blobs.put(chunkKey(place, first), chunk));
  }
  const work: MuxWork = {
    stage: "mux",
    parameters: {
      ...{ height: HEIGHT, width: WIDTH, numFrames: FRAMES, numInferenceSteps: 25, sigmas: null },
      ...{ minGuidanceScale: 1, maxGuidanceScale: 3, fps: FPS, motionBucketId: 127 },
      ...{ guidance: { kind: "linear" as const }, fit: "stretch" as const },
      ...{ noiseAugStrength: 0.02, decodeChunkSize: chunkFrames, cacheInterval: 1 },
    },
    chunks,
    latents: await blobs.put("latents", encodeLatents(latents)),
    formats: options.formats,
    noise: {
      ...{ seeds: [7n, 2n ** 63n + 1n], imageCount: 1, clipCount: 2 },
      ...{ imageIndex: 0, clipIndex: 1, latents: null },
    },
    modelDigest: "d".repeat(64),
    modelName: "demo",
    branch: null,
  };
  const abort = new AbortController();
  const outputs = await runMux(change(work), place, {
    blobs: {
      ...blobs,
      get(ref) {
        if (ref.key === chunks[options.abortAtChunk ?? -1]?.key) abort.abort();
        return blobs.get(ref);
      },
    },
    ffmpeg: options.ffmpeg === undefined ? ffmpeg : options.ffmpeg,
    version: "1.2.3",
    signal: abort.signal,
  });
  return { outputs, blobs, fileOf: (output: Output) => blobs.contents.get(output.blob.key)! };
}

async function muxOne(format: OutputFormat, options: Omit<MuxOptions, "formats"> = {}) {
  const { outputs, fileOf } = await mux({ ...options, formats: [format] });
  return fileOf(outputs[0]!);
}

test("files come in the order asked for, under the keys of this grant", async () => {
  const { outputs } = await mux({ formats: ["webp", "mp4", "gif"] });
  expect(outputs.map((output) => [output.format, output.fileName])).toEqual([
    ["webp", "clip.webp"],
    ["mp4", "clip.mp4"],
    ["mp4", "clip.json"],
    ["gif", "clip.gif"],
  ]);
  expect(outputs[1]!.blob.key).toBe(`v1/${jobId}/1/out-4/clip.mp4`);
});

describe("mp4", () => {
  test("is h264 in yuv420p at the right rate, and every frame is there", async () => {
    const path = join(folder, "probe.mp4");
    await writeFile(path, await muxOne("mp4"));
    const { stderr } = spawnSync(ffmpeg.path, ["-i", path, "-f", "null", "-"], {
      encoding: "utf8",
    });
    expect(stderr).toMatch(/Video: h264 .*yuv420p\(tv, bt709/);
    expect(stderr).toMatch(/48x32/);
    expect(stderr).toMatch(/, 7 fps/);
    expect(stderr).toMatch(/frame= *7 /);
  });

  test("begins with its index, so that it plays while it loads", async () => {
    expect(boxNames(await muxOne("mp4")).filter((name) => name !== "free")).toEqual([
      "ftyp",
      "moov",
      "mdat",
    ]);
  });

  test("shows the frames it was given", async () => {
    const path = join(folder, "decoded.mp4");
    await writeFile(path, await muxOne("mp4"));
    const decoded = spawnSync(
      ffmpeg.path,
      [
        ...["-v", "error", "-i", path, "-vf", "scale=in_color_matrix=bt709"],
        ...["-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
      ],
      { maxBuffer: 1e8 },
    ).stdout;
    expect(decoded.length).toBe(frameBytes.length);
    const difference = frameBytes.reduce((sum, value, i) => sum + Math.abs(value - decoded[i]!), 0);
    expect(difference / frameBytes.length).toBeLessThan(4); // of 255: what 4:2:0 costs here
  });

  test("has the same bytes whatever the chunks were, and whatever their type", async () => {
    const first = await muxOne("mp4");
    expect(await muxOne("mp4", { chunkFrames: 7, keepFloat: true })).toEqual(first);
  });

  test("lies beside a sidecar that holds everything to make it again", async () => {
    const { outputs, fileOf } = await mux({ formats: ["mp4"] });
    const text = new TextDecoder().decode(fileOf(outputs[1]!));
    const facts = JSON.parse(text) as Record<string, unknown>;
    expect(facts).toMatchObject({
      file: "clip.mp4",
      sha256: outputs[0]!.blob.sha256,
      renderfarm_version: "1.2.3",
      model: { name: "demo", digest: "d".repeat(64) },
      clip_index: 1,
      clip_count: 2,
      parameters: {
        ...{ height: 32, width: 48, num_frames: 7, num_inference_steps: 25, sigmas: null },
        ...{ min_guidance_scale: 1, max_guidance_scale: 3, fps: 7, motion_bucket_id: 127 },
        ...{ noise_aug_strength: 0.02, decode_chunk_size: 3, num_videos_per_prompt: 2 },
      },
    });
    expect(text).toMatch(/"seeds": \[\s+7,\s+9223372036854775809\s+\]/);
    expect(text).toMatch(/"generator": \{\s+"seed": 9223372036854775809,\s+"draws": "this clip"/);
    expect((await mux({ formats: ["mp4"] })).fileOf(outputs[1]!)).toEqual(fileOf(outputs[1]!));
  });

  test("without ffmpeg fails and says what helps", async () => {
    const failure = mux({ formats: ["mp4"], ffmpeg: null });
    await expect(failure).rejects.toThrow(/\[tool-failed\].*RENDERFARM_FFMPEG/);
  });

  test("an ffmpeg that fails is quoted", async () => {
    const change = (work: MuxWork): MuxWork => ({
      ...work,
      parameters: { ...work.parameters, fps: -1 },
    });
    const failure = mux({ formats: ["mp4"], change });
    await expect(failure).rejects.toThrow(/\[tool-failed\].*exit 1: .*framerate/i);
  });

  test("an ffmpeg that is gone is named", async () => {
    const failure = mux({ formats: ["mp4"], ffmpeg: { path: "/nowhere/ffmpeg", version: "1" } });
    await expect(failure).rejects.toThrow(/\[tool-failed\] \/nowhere\/ffmpeg: .*ENOENT/);
  });

  test("an abort in the middle kills ffmpeg and leaves no file behind", async () => {
    vi.stubEnv("TMPDIR", await mkdtemp(join(folder, "abort-")));
    const failure = mux({ formats: ["mp4"], abortAtChunk: 1 });
    await expect(failure).rejects.toMatchObject({ code: "cancelled" });
    expect(await readdir(tmpdir())).toEqual([]);
    vi.unstubAllEnvs();
  });
});

describe("animations repeat for ever, with every frame and the right pace:", () => {
  const delays = {
    gif: [140, 150, 140, 140, 140, 150, 140],
    webp: [143, 143, 143, 142, 143, 143, 143],
  };

  test.each(["gif", "webp"] as const)("%s", async (format) => {
    const { pages, pageHeight, width, loop, delay } = await sharp(await muxOne(format), {
      pages: -1,
    }).metadata();
    expect({ pages, pageHeight, width, loop }).toEqual({
      ...{ pages: FRAMES, pageHeight: HEIGHT, width: WIDTH, loop: 0 },
    });
    expect(delay).toEqual(delays[format]);
  });

  test.each(["gif", "webp"] as const)("%s shows the frames it was given", async (format) => {
    const file = sharp(await muxOne(format), { pages: -1 });
    const decoded = await file.removeAlpha().raw().toBuffer();
    const difference = frameBytes.reduce((sum, value, i) => sum + Math.abs(value - decoded[i]!), 0);
    expect(decoded.length).toBe(frameBytes.length);
    expect(difference / frameBytes.length).toBeLessThan(format === "gif" ? 8 : 4);
  });
});

test("png: one lossless file a frame", async () => {
  const { outputs, fileOf } = await mux({ formats: ["png"] });
  expect(outputs.map((output) => output.fileName)).toEqual(
    [1, 2, 3, 4, 5, 6, 7].map((n) => `frame-00${n}.png`),
  );
  for (const [i, output] of outputs.entries()) {
    const decoded = await sharp(fileOf(output)).raw().toBuffer();
    const expected = frameBytes.subarray(i * FRAME_VALUES, (i + 1) * FRAME_VALUES);
    expect(Buffer.compare(decoded, expected)).toBe(0);
  }
});

describe("safetensors", () => {
  test("holds the float frames and the latents", async () => {
    const tensors = decodeTensors(await muxOne("safetensors", { keepFloat: true }));
    expect(tensors.get("frames")!.shape).toEqual([FRAMES, HEIGHT, WIDTH, 3]);
    expect(
      Buffer.compare(Buffer.from(tensors.get("frames")!.data.buffer), Buffer.from(frames.buffer)),
    ).toBe(0);
    expect(tensors.get("latents")).toEqual(latents);
  });

  test("cannot be made of 8-bit chunks", async () => {
    await expect(muxOne("safetensors")).rejects.toThrow("[wrong-state]");
  });
});

describe("chunks that are not the clip are refused:", () => {
  const wrong: [name: string, change: (work: MuxWork) => MuxWork][] = [
    ["one is missing", (work) => ({ ...work, chunks: work.chunks.slice(1) })],
    ["one comes twice", (work) => ({ ...work, chunks: [...work.chunks, work.chunks[0]!] })],
    ["another size", (work) => ({ ...work, parameters: { ...work.parameters, width: 40 } })],
    ["another blob", (work) => ({ ...work, chunks: [work.latents] })],
  ];
  test.each(wrong)("%s", async (_name, change) => {
    for (const format of ["png", "gif"] as const) {
      await expect(muxOne(format, { change })).rejects.toMatchObject({ code: "blob-corrupt" });
    }
  });
});

describe("findFfmpeg", () => {
  test("an ffmpeg that is named and does not run is an error, not another ffmpeg", async () => {
    const search = findFfmpeg({ RENDERFARM_FFMPEG: "/nowhere/ffmpeg" });
    await expect(search).rejects.toThrow("RENDERFARM_FFMPEG=/nowhere/ffmpeg");
  });

  test("a program of another kind is no ffmpeg", async () => {
    const search = findFfmpeg({ RENDERFARM_FFMPEG: process.execPath });
    await expect(search).rejects.toThrow("[tool-failed]");
  });

  test("the one named is taken, then one on PATH, then the one that npm brings", async () => {
    const named = await fakeFfmpeg("named", "1.0-named");
    const onPath = await fakeFfmpeg("ffmpeg", "2.0-path");
    const PATH = `${dirname(onPath)}:/bin`;
    expect(await findFfmpeg({ RENDERFARM_FFMPEG: named, PATH })).toEqual({
      path: named,
      version: "1.0-named",
    });
    expect(await findFfmpeg({ PATH })).toEqual({ path: "ffmpeg", version: "2.0-path" });
    const bundled = await findFfmpeg({ PATH: "/nowhere" });
    expect(bundled?.path).toContain("@ffmpeg-installer");
  });
});

/** A program that says it is an ffmpeg of this version. */
async function fakeFfmpeg(name: string, version: string): Promise<string> {
  const path = join(await mkdtemp(join(folder, "bin-")), name);
  await writeFile(path, `#!/bin/sh\necho "ffmpeg version ${version} built for a test"\n`);
  await chmod(path, 0o755);
  return path;
}

/** Top-level boxes of an mp4, in order. */
function boxNames(file: Uint8Array): string[] {
  const view = Buffer.from(file);
  const names: string[] = [];
  for (let at = 0; at < view.length; at += view.readUInt32BE(at)) {
    names.push(view.toString("latin1", at + 4, at + 8));
  }
  return names;
}
