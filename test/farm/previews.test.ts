/** @file What clips look like on their way, through a whole farm. */

import { readFileSync } from "node:fs";
import sharp from "sharp";
import { expect, test } from "vitest";
import type { ClipPreview } from "../../shared/farm/job.js";
import { JOB_OPTIONS_DEFAULT } from "../../shared/farm/job.js";
import { PREVIEW_BYTES_MAX } from "../../shared/farm/limits.js";
import { CLIP, PICTURE, startFarm } from "./farm-harness.js";

test("a watcher of a job that asks for previews sees its clips; of another job nothing", async () => {
  const farm = await startFarm(2);
  const image = await farm.client.upload(readFileSync(PICTURE));
  const watch = async (preview: boolean): Promise<ClipPreview[]> => {
    const { jobId } = await farm.client.createJob({
      ...{ images: [image], modelDigest: "", requestId: "" },
      parameters: { ...CLIP, numVideosPerPrompt: 2 },
      options: { ...JOB_OPTIONS_DEFAULT, preview },
    });
    const seen: ClipPreview[] = [];
    const signal = AbortSignal.timeout(60_000);
    for await (const job of farm.client.watchJob(jobId, signal, (shown) => seen.push(shown))) {
      expect(job.options.preview).toBe(preview);
    }
    return seen;
  };
  expect(await watch(false)).toEqual([]);

  const seen = await watch(true);
  expect(new Set(seen.map(({ clipIndex }) => clipIndex))).toEqual(new Set([0, 1]));
  for (const clipIndex of [0, 1]) {
    const steps = seen.filter((s) => s.clipIndex === clipIndex).map(({ step }) => step);
    expect(steps).toEqual([...new Set(steps)].sort((a, b) => a - b));
    expect(steps.every((step) => step % 5 === 0)).toBe(true);
  }
  for (const { image: file } of seen) {
    expect(file.length).toBeLessThanOrEqual(PREVIEW_BYTES_MAX);
    // Four frames of 8 x 8 cells.
    expect(await sharp(file).metadata()).toMatchObject({ format: "webp", width: 32, height: 8 });
  }
});
