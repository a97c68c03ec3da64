import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sendError } from "./answers.js";
import { contentTypeOf, pictureTypeOf } from "./content-types.js";
import { sendBlob } from "./send-blob.js";

const file = {
  ...{ size: 10, sha256: "ab", contentType: "video/mp4", fileName: "clip.mp4" },
  async *read() {
    yield Buffer.from("0123");
    yield Buffer.from("456");
    yield Buffer.from("789");
  },
};

const server = createServer((request, response) => {
  sendBlob(request, response, file).catch((error: unknown) => sendError(request, response, error));
});
let url = "";
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
});
afterAll(() => {
  server.close();
});

type Case = [range: string | null, status: number, content: string | null, body: string];

test.each<Case>([
  [null, 200, null, "0123456789"],
  ["bytes=0-", 206, "bytes 0-9/10", "0123456789"],
  ["bytes=2-5", 206, "bytes 2-5/10", "2345"],
  ["bytes=4-4", 206, "bytes 4-4/10", "4"],
  ["bytes=7-999", 206, "bytes 7-9/10", "789"],
  ["bytes=-3", 206, "bytes 7-9/10", "789"],
  ["bytes=-99", 206, "bytes 0-9/10", "0123456789"],
  ["bytes=0-1,4-5", 200, null, "0123456789"],
  ["bytes=-", 200, null, "0123456789"],
  ["lines=1-2", 200, null, "0123456789"],
])("%s of a file of ten bytes", async (range, status, content, body) => {
  const response = await fetch(url, { headers: range === null ? {} : { range } });
  expect(response.status).toBe(status);
  expect(response.headers.get("content-range")).toBe(content);
  expect(await response.text()).toBe(body);
});

test.each(["bytes=10-", "bytes=5-4", "bytes=-0"])("%s is no part of it", async (range) => {
  const response = await fetch(url, { headers: { range } });
  expect(response.status).toBe(416);
  expect(response.headers.get("content-range")).toBe("bytes */10");
});

test("what a reader has already is not sent again, and a part of another file is not mixed in", async () => {
  const same = await fetch(url, { headers: { "if-none-match": '"ab"' } });
  expect(same.status).toBe(304);
  const headers = { range: "bytes=2-3", "if-range": '"other"' };
  expect(await (await fetch(url, { headers })).text()).toBe("0123456789");
  const head = await fetch(url, { method: "HEAD" });
  expect(head.headers.get("content-length")).toBe("10");
});

test("only what is known by its first bytes or extension is more than bytes", () => {
  expect(pictureTypeOf(Buffer.from("\x89PNG\r\n\x1a\n", "latin1"))).toBe("image/png");
  expect(pictureTypeOf(Buffer.from("RIFF....WEBPVP8 "))).toBe("image/webp");
  expect(pictureTypeOf(Buffer.from("<svg onload=alert(1)>"))).toBe("application/octet-stream");
  expect(pictureTypeOf(new Uint8Array())).toBe("application/octet-stream");
  expect(contentTypeOf("clip.mp4")).toBe("video/mp4");
  expect(contentTypeOf("clips.safetensors")).toBe("application/octet-stream");
});
