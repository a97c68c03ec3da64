/**
 * @file S3 servers whose own disk is really full: what is put is refused by name, what was acknowledged
 * is there, and puts go on once there is room.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { asFarmError } from "../../shared/core/errors.js";
import type { BlobRef } from "../../shared/ports/blob-store.js";
import { canTest } from "../farm/can-test.js";
import { Room, whyNoRoom } from "../farm/room.js";
import { TestS3Server } from "../servers/s3-server.js";
import { openStore, SOON, serversAtHand } from "./s3-stores.js";

/** More than either server takes for itself. */
const DISK_BYTES = 192 * 1024 * 1024;
const BLOB_BYTES = 4 * 1024 * 1024;
const PATIENCE = { timeout: 60_000, interval: 500 };
const kinds = await serversAtHand();

describe.runIf(canTest("a full disk under an S3 server", whyNoRoom("mount")))(
  "a full disk under",
  () => {
    let folder: string;
    let room: Room;
    let ballast: string;
    beforeEach(async () => {
      folder = mkdtempSync(join(tmpdir(), "s3-disk-"));
      const mount = `mount -t tmpfs -o size=${DISK_BYTES} tmpfs ${folder}`;
      room = await Room.open("mount", `${mount} && mkdir ${folder}/data`);
      ballast = room.outside(join(folder, "ballast"));
    });
    afterEach(async () => {
      await room.close();
      rmSync(folder, { recursive: true, force: true });
    });

    /** Leaves no byte. */
    function fill(): void {
      for (let bytes = DISK_BYTES; bytes >= 1; bytes >>= 1) {
        try {
          writeFileSync(ballast, new Uint8Array(bytes), { flag: "a" });
        } catch (error) {
          expect(error).toMatchObject({ code: "ENOSPC" });
        }
      }
    }

    test.each(kinds)(
      "%s: puts are refused, nothing that was acknowledged is lost, and room lets it go on",
      async (kind) => {
        const { launcher } = room;
        const server = await TestS3Server.start(kind, {
          dataFolder: join(folder, "data"),
          launcher,
        });
        const store = await openStore(server, { role: "uses", limits: SOON });
        try {
          const content = randomBytes(BLOB_BYTES);
          const kept: BlobRef[] = [await store.put("kept/before", content)];
          fill();
          const refused = await vi.waitFor(async () => {
            const outcome = await store.put(`kept/${kept.length}`, content).catch(asFarmError);
            if ("key" in outcome) kept.push(outcome);
            expect(outcome).toHaveProperty("code");
            return outcome;
          }, PATIENCE);
          expect(refused).toMatchObject({ code: "unreachable" });
          rmSync(ballast);
          await vi.waitFor(async () => kept.push(await store.put("kept/after", content)), PATIENCE);
          for (const ref of kept) {
            expect(Buffer.from(await store.get(ref)).equals(content)).toBe(true);
          }
        } finally {
          store.close();
          await server.stop();
        }
      },
      240_000,
    );
  },
);
