import { expect, test } from "vitest";
import { formatDryRun } from "./dry-run.js";

const view = {
  nodes: [
    { nodeId: "gpu-1", whyNot: "" },
    { nodeId: "gpu-22", whyNot: "draining" },
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

NODE    CAN WORK ON IT
gpu-1   yes
gpu-22  no, draining
`);
});

test("what is not known is not guessed, and what stands in the way is named", () => {
  const text = formatDryRun({ ...view, etaSeconds: null, whyNotNow: ["a", "b"] });
  expect(text).toContain("done in      unknown");
  expect(text).toContain("not at once: a; b");
});
