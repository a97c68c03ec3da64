/** @file Copies of golden checkpoints in temporary folders, for tests that change them. */

import { createHash } from "node:crypto";
import {
  cpSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import {
  decodeSafetensorsHeader,
  encodeSafetensorsFile,
  type SafetensorsTensor,
} from "../../shared/tensor/safetensors.js";
import { goldenPath } from "./read-golden.js";

/** A temporary folder of one test file; the test removes it. */
export class TestFolders {
  readonly root = realpathSync(mkdtempSync(join(tmpdir(), "renderfarm-checkpoint-")));
  #count = 0;

  /** A fresh path; nothing is there. */
  path(): string {
    return join(this.root, String(this.#count++));
  }

  /** A golden checkpoint's copy. */
  copy(golden: string): string {
    const folder = this.path();
    cpSync(goldenPath(`${golden}/checkpoint`), folder, { recursive: true });
    return folder;
  }

  /** The same as a Hugging Face cache: links to files named by their hash. Returns the snapshot. */
  cache(golden: string): string {
    const repository = join(this.path(), "models--somebody--tiny-svd");
    const snapshot = join(repository, "snapshots", "0123abcd");
    cpSync(goldenPath(`${golden}/checkpoint`), snapshot, { recursive: true });
    mkdirSync(join(repository, "blobs"));
    for (const name of filesBelow(snapshot)) {
      const path = join(snapshot, name);
      const hash = createHash("sha256").update(readFileSync(path)).digest("hex");
      const blob = join(repository, "blobs", hash);
      renameSync(path, blob);
      symlinkSync(relative(dirname(path), blob), path);
    }
    return snapshot;
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** Names of all files in a folder, with forward slashes. */
export function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => !lstatSync(join(folder, name)).isDirectory())
    .sort();
}

/** Changes fields of a JSON file. */
export function editJson(path: string, change: object): void {
  const json = JSON.parse(readFileSync(path, "utf8")) as object;
  writeFileSync(path, JSON.stringify({ ...json, ...change }));
}

/** Rewrites a safetensors file: each tensor as the function says, null to leave it out. */
export function editTensors(
  path: string,
  change: (name: string, tensor: SafetensorsTensor) => [string, SafetensorsTensor] | null,
  added: readonly [string, SafetensorsTensor][] = [],
): void {
  const bytes = readFileSync(path);
  const { entries } = decodeSafetensorsHeader(bytes, bytes.length, path);
  const tensors = entries.flatMap(({ name, dtype, shape, begin, end }) => {
    const changed = change(name, { dtype, shape, bytes: bytes.subarray(begin, end) });
    return changed === null ? [] : [changed];
  });
  writeFileSync(path, encodeSafetensorsFile([...tensors, ...added]));
}
