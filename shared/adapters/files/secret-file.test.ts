/** Who else may read a file of a secret, on disks and as Kubernetes mounts it. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readSecretFile } from "./secret-file.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "secret-file-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function place(name: string, mode: number): string {
  const path = join(folder, name);
  writeFileSync(path, "a key");
  chmodSync(path, mode);
  return path;
}

const refusal = (path: string) =>
  `[invalid-argument] --tls-key: everyone on this machine may read ${path}; chmod 600 it, or mount it with defaultMode: 0440`;

describe.skipIf(process.platform === "win32")("a file of mode", () => {
  test.each([0o600, 0o400, 0o640, 0o440])("%o is read", (mode) => {
    expect(readSecretFile(place("key", mode), "--tls-key")).toBe("a key");
  });

  test.each([0o644, 0o444, 0o604, 0o602])("%o is refused, with the way out", (mode) => {
    const path = place("key", mode);
    expect(() => readSecretFile(path, "--tls-key")).toThrow(refusal(path));
  });
});

describe.skipIf(process.platform === "win32")("a link to a file of mode 644", () => {
  test("is read where Kubernetes has mounted it: no other pod sees its folder", () => {
    mkdirSync(join(folder, "..2026_11_28"));
    place("..2026_11_28/key", 0o644);
    symlinkSync("..2026_11_28", join(folder, "..data"));
    symlinkSync("..data/key", join(folder, "key"));
    expect(readSecretFile(join(folder, "key"), "--tls-key")).toBe("a key");
  });

  test("is refused elsewhere", () => {
    place("open", 0o644);
    const path = join(folder, "key");
    symlinkSync("open", path);
    expect(() => readSecretFile(path, "--tls-key")).toThrow(refusal(path));
  });
});

test("one that is not there is named", () => {
  expect(() => readSecretFile(join(folder, "none"), "--tls-key")).toThrow(
    /--tls-key: .*none cannot be read \(ENOENT\)/,
  );
});
