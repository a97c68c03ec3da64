/** Readers that take nothing, over real sockets: they are cut, and others are served meanwhile. */
import { once } from "node:events";
import { connect } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import type { BlobRef } from "../../shared/ports/blob-store.js";
import { type Gateway, startGateway } from "../../test/http/gateway.js";
import { PICTURE_HEAD } from "../../test/plan/picture-head.js";

/** More than the buffers of both ends of a connection hold. */
const FILE_BYTES = 24 * 1024 * 1024;
const READERS = 4;

/** How many files were opened in the store, and how many of them are read at the moment. */
function countReads({ blobs }: Gateway) {
  const read = blobs.read.bind(blobs);
  const reads = { opened: 0, open: 0 };
  blobs.read = async function* (ref: BlobRef) {
    reads.opened += 1;
    reads.open += 1;
    try {
      yield* read(ref);
    } finally {
      reads.open -= 1;
    }
  };
  return reads;
}

test("whoever asks for a file and takes nothing of it is cut, and nothing is held for him", async () => {
  const gateway = await startGateway({ stalledMs: 1_000 });
  const picture = Buffer.alloc(FILE_BYTES);
  picture.write(PICTURE_HEAD);
  const { json } = await gateway.json<{ blob: object }>("/v1/inputs", {
    ...{ method: "POST", body: picture },
  });
  const made = await gateway.post<{ job: { jobId: string } }>("/v1/jobs", { images: [json.blob] });
  const path = `/v1/jobs/${made.json.job.jobId}/inputs/0`;
  const reads = countReads(gateway);

  const { host, hostname, port } = new URL(gateway.url);
  const stalled = Array.from({ length: READERS }, () => {
    const socket = connect({ host: hostname, port: Number(port) }).pause();
    socket.on("error", () => {});
    onTestFinished(() => {
      socket.destroy();
    });
    socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    return socket;
  });
  // Each file is opened twice: for its first bytes, which tell what it is, and then to be sent.
  await expect.poll(() => reads.opened, { timeout: 20_000 }).toBe(2 * READERS);
  expect((await gateway.ask(path)).body.length).toBe(FILE_BYTES);
  await expect.poll(() => reads.open, { timeout: 20_000 }).toBe(0);
  for (const socket of stalled) {
    let taken = 0;
    socket.on("data", (piece: Buffer) => {
      taken += piece.length;
    });
    const closed = once(socket, "close");
    socket.resume();
    await closed;
    expect(taken).toBeLessThan(FILE_BYTES);
  }
});
