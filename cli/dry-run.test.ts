import { expect, test } from "vitest";
import { formatDryRun } from "./dry-run.js";

const view = {
  nodes: [
    { nodeId: "gpu-1", whyNot: "", memoryBytes: 24 * 2 ** 30, tooSmallFor: [] },
    { nodeId: "gpu-22", whyNot: "draining", memoryBytes: 8 * 2 ** 30, tooSmallFor: ["decode"] },
  ],
  plan: "pair",
  clips: 2,
  chunksPerClip: 1,
  jobsAhead: 0,
  etaSeconds: 61.4,
  whyNotNow: [],
} as const;

test("a dry run says what, how, when and who", () => {
  expect(formatDryRun(view)).toBe(`clips        2, each decoded in 1 chunk
plan         pair: two nodes a clip
jobs ahead   0
done in      61 s
starts       at once

NODE    MEMORY    CAN WORK ON IT  TOO SMALL FOR
gpu-1   24.0 GiB  yes
gpu-22  8.0 GiB   no, draining    decode
`);
});

test("what is not known is not guessed, and what stands in the way is named", () => {
  const text = formatDryRun({ ...view, etaSeconds: null, whyNotNow: ["a", "b"] });
  expect(text).toContain("done in      unknown");
  expect(text).toContain("not at once: a; b");
});
