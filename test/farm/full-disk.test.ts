/**
 * @file A disk that is really full, under the blobs and under the journal: nothing more is taken, what
 * runs waits, and what was answered for is done once there is room.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { asFarmError } from "../../shared/core/errors.js";
import { JOB_OPTIONS_DEFAULT } from "../../shared/farm/job.js";
import type { JobParameters } from "../../shared/farm/parameters.js";
import { canTest } from "./can-test.js";
import {
  CLIP,
  type FileHashes,
  hashesOf,
  isMidDenoise,
  PICTURE,
  stageOf,
  undisturbed,
} from "./farm-harness.js";
import { FaultFarm } from "./fault-farm.js";
import { Room, whyNoRoom } from "./room.js";

const PARAMETERS: JobParameters = { ...CLIP, numInferenceSteps: 20, pair: "never" };
const DISK_BYTES = 4 * 1024 * 1024;
const PATIENCE = { timeout: 60_000, interval: 50 };

/** A folder of the farm's data that is a disk of its own. */
class SmallDisk {
  #room: Room | null = null;
  readonly #name: string;
  #ballast = "";

  constructor(name: "blobs" | "journal") {
    this.#name = name;
  }

  async open(data: string): Promise<Room> {
    const path = join(data, this.#name);
    mkdirSync(path);
    const setUp = `mount -t tmpfs -o size=${DISK_BYTES} tmpfs ${path}`;
    this.#room = await Room.open("mount", setUp);
    this.#ballast = this.#room.outside(join(path, "ballast"));
    return this.#room;
  }

  /** Leaves no byte. */
  fill(): void {
    for (let bytes = DISK_BYTES; bytes >= 1; bytes >>= 1) {
      try {
        writeFileSync(this.#ballast, new Uint8Array(bytes), { flag: "a" });
      } catch (error) {
        expect(error).toMatchObject({ code: "ENOSPC" });
      }
    }
  }

  clear(): void {
    rmSync(this.#ballast);
  }
}

describe.runIf(canTest("a full disk", whyNoRoom("mount")))("a disk that is full", () => {
  let farm: FaultFarm;
  let disk: SmallDisk;
  let expected: FileHashes;
  beforeAll(async () => {
    expected = (await undisturbed(PARAMETERS))[0]!;
  }, 60_000);

  async function start(name: "blobs" | "journal"): Promise<void> {
    disk = new SmallDisk(name);
    farm = await FaultFarm.start(1, (data) => disk.open(data));
    farm.stopWithTest();
  }

  test("under the blobs: uploads are refused, what runs waits, and goes on when there is room", async () => {
    await start("blobs");
    const { jobId } = await farm.submit(PARAMETERS);
    const job = farm.follow(jobId);
    await job.until((state) => isMidDenoise(state));
    disk.fill();
    await expect(farm.client.upload(readFileSync(PICTURE))).rejects.toThrow(/the disk is full/);
    await vi.waitFor(() => {
      const waiting = farm.logOf("node-1").filter(({ msg }) => String(msg).includes("waits for"));
      expect(JSON.stringify(waiting)).toContain("the disk is full");
    }, PATIENCE);
    disk.clear();
    const ended = await job.end();
    expect(hashesOf(ended)).toEqual(expected);
    expect(stageOf(ended, "denoise")).toMatchObject({ attempts: 1 });
    expect(hashesOf(await farm.render(PARAMETERS))).toEqual(expected);
  });

  test("under the journal: nothing is answered for that is not kept, and all that was is done", async () => {
    await start("journal");
    const images = [await farm.client.upload(readFileSync(PICTURE))];
    const parameters = { ...PARAMETERS, numInferenceSteps: 4 };
    const accepted: string[] = [];
    let refusal: unknown = null;
    for (let i = 0; refusal === null; i++) {
      if (i === 3) disk.fill();
      const options = JOB_OPTIONS_DEFAULT;
      const request = { images, parameters, modelDigest: "", requestId: `full-${i}`, options };
      await farm.client.createJob(request).then(
        ({ jobId }) => accepted.push(jobId),
        (error: unknown) => {
          refusal = asFarmError(error);
        },
      );
    }
    expect(accepted.length).toBeGreaterThanOrEqual(3);
    expect(await farm.coordinator!.ended).toBe("exit code 1");
    expect(JSON.stringify(farm.logOf("coordinator"))).toContain("the disk is full, make room");
    await expect(farm.startCoordinator()).rejects.toThrow(/the disk is full, make room/);
    disk.clear();
    await farm.startCoordinator();
    for (const jobId of accepted) expect((await farm.follow(jobId).end()).state).toBe("succeeded");
    expect((await farm.client.listJobs({ size: 500 })).jobs).toHaveLength(accepted.length);
  });
});
