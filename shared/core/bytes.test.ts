import { expect, test } from "vitest";
import { formatBytes, parseBytes } from "./bytes.js";

test.each<[text: string, bytes: number | null]>([
  ["24GiB", 24 * 2 ** 30],
  ["24 gib", 24 * 2 ** 30],
  ["1.5MiB", 1.5 * 2 ** 20],
  ["80GB", 80e9],
  ["123", 123],
  ["512B", 512],
  ["", null],
  ["GiB", null],
  ["-1GiB", null],
  ["0", null],
  ["1e9", null],
  ["24 G", null],
  ["24GiB more", null],
  ["999999999999999TiB", null],
])("%j are %j bytes", (text, bytes) => {
  expect(parseBytes(text)).toBe(bytes);
});

test.each<[bytes: number, text: string]>([
  [24 * 2 ** 30, "24.0 GiB"],
  [1_500_000, "1.4 MiB"],
  [1023, "1023 B"],
  [0, "0 B"],
])("%i bytes are written as %j", (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});
