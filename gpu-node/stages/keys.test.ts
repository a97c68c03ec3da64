import { describe, expect, test } from "vitest";
import { chunkKey, clipPlace, conditioningKey, latentsKey, outputKey, stepKey } from "./keys.js";

const jobId = "0123456789abcdefghjkmnpqrs";
const place = clipPlace({ jobId, clipId: `${jobId}-3`, epoch: 2 });

test("every blob of a clip has a key of its own, and a later grant other keys", () => {
  expect(conditioningKey(place)).toBe(`v1/${jobId}/3/conditioning-2`);
  expect(latentsKey(place)).toBe(`v1/${jobId}/3/latents-2`);
  expect(stepKey(place, 7)).toBe(`v1/${jobId}/3/step-7-2`);
  expect(chunkKey(place, 16)).toBe(`v1/${jobId}/3/chunk-16-2`);
  expect(outputKey(place, "frame-001.png")).toBe(`v1/${jobId}/3/out-2/frame-001.png`);
  expect(outputKey({ ...place, epoch: 3 }, "clip.mp4")).toBe(`v1/${jobId}/3/out-3/clip.mp4`);
});

describe("ids that cannot name a blob are refused:", () => {
  const wrong: [name: string, jobId: string, clipId: string, epoch: number][] = [
    ["a path as job", "../../../../../../etc/pass", "../../../../../../etc/pass-0", 1],
    ["a short job", "abc", "abc-0", 1],
    ["another job's clip", jobId, `${"z".repeat(26)}-0`, 1],
    ["a clip without index", jobId, jobId, 1],
    ["a negative index", jobId, `${jobId}--1`, 1],
    ["an index with a path", jobId, `${jobId}-0/../1`, 1],
    ["an index with a leading zero", jobId, `${jobId}-01`, 1],
    ["half an epoch", jobId, `${jobId}-0`, 1.5],
    ["a negative epoch", jobId, `${jobId}-0`, -1],
  ];
  test.each(wrong)("%s", (_name, job, clipId, epoch) => {
    expect(() => clipPlace({ jobId: job, clipId, epoch })).toThrow("[invalid-argument]");
  });
});

test.each([0, -1, 1.5, Number.NaN])("step %d is refused", (step) => {
  expect(() => stepKey(place, step)).toThrow("[invalid-argument]");
});

test.each(["", ".hidden", "a/b", "..", "Clip.mp4\n", "x".repeat(65)])(
  "file name %j is refused",
  (name) => {
    expect(() => outputKey(place, name)).toThrow("[invalid-argument]");
  },
);
