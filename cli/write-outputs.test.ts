/** Files that cannot be put where they should be. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { FarmClient } from "../client/farm-client.js";
import type { JobView } from "../shared/farm/job.js";
import { OutputFailure } from "./failures.js";
import { writeOutputs } from "./write-outputs.js";

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
  const written = writeOutputs(client, job, plan, new AbortController().signal);
  await expect(written).rejects.toThrow(OutputFailure);
  await expect(written).rejects.toThrow("--out: cannot be written: EEXIST");
  expect(readdirSync(folder)).toEqual(["taken"]);
});
