/** Files on their way to their place: each is there when it is whole, and is fetched once. */
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { FarmClient } from "../client/farm-client.js";
import { FarmError } from "../shared/core/errors.js";
import type { JobView } from "../shared/farm/job.js";
import { OutputFailure } from "./failures.js";
import { writeOutputs } from "./write-outputs.js";

const { signal } = new AbortController();

/** Three clips of one gif each; what is fetched is noted, and the farm goes away before the last. */
function threeClips() {
  const folder = mkdtempSync(join(tmpdir(), "outputs-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const bytesOf = (index: number) => Buffer.from(`clip ${index}`);
  const state = { isAway: true, fetched: [] as number[] };
  const client = {
    outputsOf: async (_jobId: string, { index }: { index: number }) => {
      const sha256 = createHash("sha256").update(bytesOf(index)).digest("hex");
      const blob = { key: "v1/x", sha256, size: bytesOf(index).length };
      return [{ format: "gif", fileName: "clip.gif", blob }];
    },
    async *download(_jobId: string, index: number) {
      yield bytesOf(index).subarray(0, 2);
      if (state.isAway && index === 2) throw new FarmError("unreachable", "gone");
      state.fetched.push(index);
      yield bytesOf(index).subarray(2);
    },
  } as unknown as FarmClient;
  const clips = [0, 1, 2].map((index) => ({ index, outputCount: 1 }));
  const job = { jobId: "j", clips } as unknown as JobView;
  const plan = { kind: "folder", path: join(folder, "clips"), clipCount: 3 } as const;
  const write = () => writeOutputs(client, job, plan, { signal });
  return { folder, plan, state, write };
}

test("an interrupted download leaves whole files and nothing else; the next one fetches the rest", async () => {
  const { folder, plan, state, write } = threeClips();
  await expect(write()).rejects.toMatchObject({ code: "unreachable" });
  expect(readdirSync(folder)).toEqual(["clips"]);
  expect(readdirSync(plan.path)).toEqual(["clip-001.gif", "clip-002.gif"]);
  // As long as the right file, and another one.
  writeFileSync(join(plan.path, "clip-002.gif"), "clip ?");
  Object.assign(state, { isAway: false, fetched: [] });
  expect((await write()).map(({ path }) => path)).toEqual(
    ["clip-001.gif", "clip-002.gif", "clip-003.gif"].map((name) => join(plan.path, name)),
  );
  expect(state.fetched).toEqual([1, 2]);
  expect(readFileSync(join(plan.path, "clip-002.gif"), "utf8")).toBe("clip 1");
});

test("a folder that became a file meanwhile is a failure of the place, and nothing is left", async () => {
  const folder = mkdtempSync(join(tmpdir(), "outputs-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const blob = { key: "v1/x", sha256: "0".repeat(64), size: 1 };
  const output = { format: "gif", fileName: "clip.gif", blob } as const;
  const client = {
    outputsOf: async () => [output],
    async *download() {
      // Between the look at the place and the end of the download.
      writeFileSync(join(folder, "taken"), "");
      yield new Uint8Array([1]);
    },
  } as unknown as FarmClient;
  const job = { jobId: "j", clips: [{ index: 0, outputCount: 1 }] } as unknown as JobView;
  const plan = { kind: "file", path: join(folder, "taken", "clip.gif") } as const;
  const written = writeOutputs(client, job, plan, { signal });
  await expect(written).rejects.toThrow(OutputFailure);
  await expect(written).rejects.toThrow("--out: cannot be written: EEXIST");
  expect(readdirSync(folder)).toEqual(["taken"]);
});
