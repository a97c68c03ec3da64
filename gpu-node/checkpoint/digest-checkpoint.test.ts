import { createHash } from "node:crypto";
import { appendFileSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { editJson, filesBelow, TestFolders } from "../../test/golden/checkpoint-folders.js";
import { goldenPath } from "../../test/golden/read-golden.js";
import { digestCheckpoint } from "./digest-checkpoint.js";
import { openCheckpoint } from "./open-checkpoint.js";

const folders = new TestFolders();
afterAll(() => folders.remove());

const golden = goldenPath("three-level/checkpoint");
const digestOf = async (folder: string) =>
  (await digestCheckpoint(await openCheckpoint(folder))).digest;

test("the digest is the sha256 of what sha256sum prints for the files used", async () => {
  const lines = filesBelow(golden).map((name) => {
    const hash = createHash("sha256")
      .update(readFileSync(join(golden, name)))
      .digest("hex");
    return `${hash}  ${name}\n`;
  });
  const expected = createHash("sha256").update(lines.join("")).digest("hex");
  const { digest, files } = await digestCheckpoint(await openCheckpoint(golden));
  expect(digest).toBe(expected);
  expect(files.map((file) => file.name)).toEqual(filesBelow(golden));
});

test("a copy, and a cache of links to hashes, have the same digest", async () => {
  const expected = await digestOf(golden);
  expect(await digestOf(folders.copy("three-level"))).toBe(expected);
  expect(await digestOf(folders.cache("three-level"))).toBe(expected);
});

test("another config changes the digest, a file that nobody reads does not", async () => {
  const expected = await digestOf(golden);
  const folder = folders.copy("three-level");
  writeFileSync(join(folder, "README.md"), "notes");
  expect(await digestOf(folder)).toBe(expected);
  editJson(join(folder, "scheduler/scheduler_config.json"), { sigma_max: 81 });
  expect(await digestOf(folder)).not.toBe(expected);
});

test("a file that grew since the checkpoint was opened is refused", async () => {
  const folder = folders.copy("three-level");
  const checkpoint = await openCheckpoint(folder);
  appendFileSync(join(folder, "unet/config.json"), " ");
  await expect(digestCheckpoint(checkpoint)).rejects.toThrow(
    /\[checkpoint-invalid\] unet\/config.json: had \d+ bytes when it was opened/,
  );
});

test("a damaged file of a Hugging Face cache is told by its name", async () => {
  const folder = folders.cache("three-level");
  const path = realpathSync(
    join(folder, "vae/diffusion_pytorch_model.fp16-00002-of-00002.safetensors"),
  );
  const bytes = readFileSync(path);
  bytes[bytes.length - 1]! ^= 1;
  writeFileSync(path, bytes);
  await expect(digestOf(folder)).rejects.toThrow(/vae\/.*00002-of-00002.safetensors: has sha256 /);
});

test("progress ends at the bytes of all files, and an aborted digest stops", async () => {
  const checkpoint = await openCheckpoint(golden);
  const total = checkpoint.files.reduce((sum, file) => sum + file.byteLength, 0);
  const seen: number[] = [];
  await digestCheckpoint(checkpoint, {
    onProgress: (done, of) => {
      expect(of).toBe(total);
      seen.push(done);
    },
  });
  expect(seen.at(-1)).toBe(total);
  expect(seen).toEqual(seen.toSorted((a, b) => a - b));
  const signal = AbortSignal.abort(new Error("stopped"));
  await expect(digestCheckpoint(checkpoint, { signal })).rejects.toThrow("stopped");
});
