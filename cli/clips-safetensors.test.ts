import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  decodeTensors,
  encodeSafetensorsFile,
  toSafetensorsTensor,
} from "../shared/tensor/safetensors.js";
import { elementCount, tensor } from "../shared/tensor/tensor.js";
import { joinClips } from "./clips-safetensors.js";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "renderfarm-test-"));
});
afterEach(() => rm(folder, { recursive: true }));

/** A clip's file in which every value tells its clip and place. */
async function writeClip(clip: number, framesShape: readonly number[]): Promise<string> {
  const numbered = (shape: readonly number[], offset: number) => {
    const data = Float32Array.from({ length: elementCount(shape) }, (_, i) => offset + i);
    return toSafetensorsTensor(tensor(shape, data));
  };
  const path = join(folder, `${clip}.safetensors`);
  const file = encodeSafetensorsFile([
    ["frames", numbered(framesShape, clip * 1000)],
    ["latents", numbered([2, 4, 1, 1], clip * 1000 + 500)],
  ]);
  await writeFile(path, file);
  return path;
}

test.each([1, 3])("%d clip(s) become the first axis of every tensor, in order", async (count) => {
  const framesShape = [2, 3, 5, 3];
  const paths = await Promise.all(
    Array.from({ length: count }, (_, clip) => writeClip(clip, framesShape)),
  );
  const out = join(folder, "clips.safetensors");
  await joinClips(paths, out);

  const tensors = decodeTensors(await readFile(out));
  expect([...tensors.keys()].sort()).toEqual(["frames", "latents"]);
  const frames = tensors.get("frames")!;
  expect(frames.shape).toEqual([count, ...framesShape]);
  expect(tensors.get("latents")!.shape).toEqual([count, 2, 4, 1, 1]);
  const size = elementCount(framesShape);
  for (let clip = 0; clip < count; clip++) {
    expect(frames.data[clip * size]).toBe(clip * 1000);
    expect(frames.data[clip * size + size - 1]).toBe(clip * 1000 + size - 1);
    expect(tensors.get("latents")!.data[clip * 8 + 7]).toBe(clip * 1000 + 507);
  }
});

test("clips of different shapes are a bug, not a file", async () => {
  const paths = [await writeClip(0, [2, 3, 5, 3]), await writeClip(1, [2, 3, 4, 3])];
  await expect(joinClips(paths, join(folder, "x"))).rejects.toThrow("equal shapes of frames");
});
