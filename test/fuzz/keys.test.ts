/** Ids and blob keys from anybody: only ours pass, and nothing lands outside of a store. */
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { clipPlace, conditioningKey, outputKey } from "../../gpu-node/stages/keys.js";
import { FileBlobStore } from "../../shared/adapters/files/file-blob-store.js";
import * as wire from "../../shared/adapters/grpc/wire-checks.js";
import { S3BlobStore } from "../../shared/adapters/s3/s3-blob-store.js";
import { FarmError } from "../../shared/core/errors.js";
import { isBlobKey } from "../../shared/ports/blob-key.js";
import type { BlobStore } from "../../shared/ports/blob-store.js";
import { silentLog } from "../../shared/ports/log.js";
import { StubS3 } from "../servers/stub-s3.js";
import { FUZZ_MS_MAX, inTime, tries } from "./inputs.js";

const ID = "0123456789abcdefghjkmnpqrs";
const oddPiece = fc.constantFrom(
  ...["..", ".", "/", "//", "\\", "%2e%2e", "%2f", "\0", "\n", "\r", " ", "~", "$HOME", "CON"],
  ...["é", "\u202e", "\uff0e\uff0e", "\ud800", ".tmp", "-", "_", "v1", "outside", ID, "aux."],
);
/** Texts that look like keys and paths, with what breaks them. */
const oddText = fc.oneof(
  fc
    .array(fc.oneof(oddPiece, fc.string({ maxLength: 8 })), { maxLength: 8 })
    .map((p) => p.join("")),
  fc.array(oddPiece, { maxLength: 8 }).map((p) => p.join("/")),
  fc.string({ unit: "binary", maxLength: 60 }),
  fc.nat(600).map((length) => "a".repeat(length)),
);
const SAFE = /^[A-Za-z0-9._-]+(\/[A-Za-z0-9._-]+)*$/;

/** The code of what was thrown; null when nothing was. */
async function refusal(work: () => unknown): Promise<string | null> {
  try {
    await work();
    return null;
  } catch (error) {
    if (error instanceof FarmError) return error.code;
    throw error;
  }
}

test(
  "ids of every kind are ours or refused",
  async () => {
    const checks = [wire.jobId, wire.clipId, wire.taskId, wire.nodeId, wire.sha256];
    const check = async (text: string) => {
      for (const each of checks) {
        const code = await refusal(() => each(text, "field"));
        expect([null, "invalid-argument"]).toContain(code);
        if (code === null) expect(text).toMatch(/^[a-z0-9-]{1,120}$/);
      }
    };
    await fc.assert(
      fc.asyncProperty(fc.oneof(oddText, fc.stringMatching(/^[a-z0-9-]{20,70}$/)), (text) =>
        inTime(() => check(text)),
      ),
      tries(4_000),
    );
  },
  FUZZ_MS_MAX,
);

test(
  "keys that stages build from ids and file names are keys of that clip, or refused",
  async () => {
    const check = async (jobId: string, suffix: string, name: string) => {
      const build = () => {
        const place = clipPlace({ jobId, clipId: jobId + suffix, epoch: 1 });
        for (const key of [conditioningKey(place), outputKey(place, name)]) {
          expect(isBlobKey(key)).toBe(true);
          expect(key.startsWith(`v1/${jobId}/`)).toBe(true);
        }
      };
      expect([null, "invalid-argument"]).toContain(await refusal(build));
    };
    const jobId = fc.oneof(fc.constant(ID), oddText);
    const suffix = fc.oneof(fc.constantFrom("-0", "-12", "-01", "-"), oddText);
    const name = fc.oneof(fc.constantFrom("clip.mp4", "frame-001.png"), oddText);
    await fc.assert(
      fc.asyncProperty(jobId, suffix, name, (...parts) => inTime(() => check(...parts))),
      tries(3_000),
    );
  },
  FUZZ_MS_MAX,
);

/** Everything that a store can be asked with a key. */
async function askAll(store: BlobStore, key: string): Promise<void> {
  const bytes = Buffer.from("x");
  const ref = { key, size: 1, sha256: createHash("sha256").update(bytes).digest("hex") };
  const legal = isBlobKey(key);
  if (legal) expect(key).toMatch(SAFE);
  const codes = [
    await refusal(() => store.put(key, bytes)),
    await refusal(() => store.putIfAbsent(key, bytes)),
    await refusal(() => store.get(ref)),
    await refusal(() => store.remove(key)),
  ];
  // A legal key may lead through what is a blob already: that is refused as well, by the disk.
  if (!legal) expect(codes).toEqual(Array(4).fill("invalid-argument"));
}

test(
  "no key leads out of a folder of blobs",
  async () => {
    const outside = await mkdtemp(join(tmpdir(), "fuzz-keys-"));
    try {
      await mkdir(join(outside, "outside"));
      await writeFile(join(outside, "sentinel"), "untouched");
      const store = await FileBlobStore.open(join(outside, "store"));
      await fc.assert(
        fc.asyncProperty(oddText, (key) => inTime(() => askAll(store, key))),
        tries(2_000),
      );
      expect((await readdir(outside)).sort()).toEqual(["outside", "sentinel", "store"]);
      expect(await readdir(join(outside, "outside"))).toEqual([]);
      expect(await readFile(join(outside, "sentinel"), "utf8")).toBe("untouched");
      expect(await readdir(join(outside, "store", ".tmp"))).toEqual([]);
    } finally {
      await rm(outside, { recursive: true });
    }
  },
  FUZZ_MS_MAX,
);

test(
  "no key leads out of a store's prefix in its bucket",
  async () => {
    const stub = await StubS3.start();
    const credentials = {
      ...({ kind: "keys", accessKey: "a", secretKey: "s", sessionToken: null } as const),
    };
    const log = silentLog;
    const store = await S3BlobStore.open({
      ...{ location: stub.location(), credentials, log, role: "uses" },
    });
    try {
      const names: string[] = [];
      stub.rule = ({ name }) => {
        names.push(name);
        return null;
      };
      await fc.assert(
        fc.asyncProperty(oddText, (key) => inTime(() => askAll(store, key))),
        tries(1_000),
      );
      expect(names.length).toBeGreaterThan(0);
      const strays = names.filter((name) => !name.startsWith("p/") || !SAFE.test(name));
      expect(strays).toEqual([]);
    } finally {
      store.close();
      await stub.stop();
    }
  },
  FUZZ_MS_MAX,
);
