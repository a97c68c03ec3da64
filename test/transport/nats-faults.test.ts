/**
 * @file The NATS server is killed, paused, emptied and filled under a farm, and coordinators are
 * killed or cut off: nothing accepted is lost or done twice, and the bytes are those of one node.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { FileBlobStore } from "../../shared/adapters/files/file-blob-store.js";
import type { JobView } from "../../shared/farm/job.js";
import {
  CLIP,
  type FileHashes,
  hashesOf,
  isMidDenoise,
  undisturbed,
} from "../farm/farm-harness.js";
import { natsServerPath } from "../servers/nats-server.js";
import { NatsFarm } from "./nats-farm.js";

/** Longer than a lease and what follows it. */
const PATIENCE = { timeout: 60_000, interval: 100 };

describe.runIf(natsServerPath)("a farm on NATS", () => {
  let farm: NatsFarm;
  let expected: FileHashes;
  beforeAll(async () => {
    expected = (await undisturbed(CLIP))[0]!;
  });
  afterEach(() => farm.stop());

  async function start(coordinatorCount: number, nodeCount: number): Promise<void> {
    farm = await NatsFarm.start(coordinatorCount);
    farm.explainFailure();
    for (let i = 0; i < coordinatorCount; i++) await farm.startCoordinator(i);
    const nodeIds = Array.from({ length: nodeCount }, (_, i) => `node-${i + 1}`);
    await Promise.all(nodeIds.map((nodeId) => farm.startNode(nodeId)));
    await farm.nodesJoined(nodeCount, farm.coordinators[0]!);
  }

  /** A job in the middle of its denoising. */
  async function midDenoise(): Promise<JobView> {
    const job = await farm.submit();
    await farm.until(job.jobId, isMidDenoise);
    return job;
  }

  /** It ended once, with the right bytes, and was published once. */
  async function wentWell({ jobId }: JobView): Promise<void> {
    const job = await farm.ended(jobId);
    expect(hashesOf(job)).toEqual(expected);
    const blobs = await FileBlobStore.open(join(farm.folder, "blobs"));
    const manifests: string[] = [];
    for await (const { key } of blobs.list(`v1/${jobId}/0/manifest-`)) manifests.push(key);
    expect(manifests).toHaveLength(1);
  }

  const leadsNoLonger = (index: number) =>
    vi.waitFor(
      () => expect(farm.logOf(farm.coordinators[index]!)).toContain("leads no longer"),
      PATIENCE,
    );

  test("a server that is killed and started again mid-denoise costs nothing", async () => {
    await start(1, 2);
    const job = await midDenoise();
    await farm.server.kill();
    await farm.server.run();
    await wentWell(job);
    expect(farm.logOf(farm.coordinators[0]!)).not.toContain("leads no longer");
  });

  test("a server that is away for longer than the lease: work stops, and goes on when it is back", async () => {
    await start(1, 2);
    const job = await midDenoise();
    await farm.server.kill();
    await leadsNoLonger(0);
    await expect(farm.coordinators[0]!.client.getFarm()).rejects.toThrow(/\[unreachable\]/);
    await farm.server.run();
    await wentWell(job);
  });

  test("a server that hangs for longer than the lease", async () => {
    await start(1, 2);
    const job = await midDenoise();
    farm.server.signal("SIGSTOP");
    await leadsNoLonger(0);
    farm.server.signal("SIGCONT");
    await wentWell(job);
    // Renewals that were on their way keep the old lease alive: it is the coordinator's own.
    expect(farm.logOf(farm.coordinators[0]!)).not.toContain("waiting as a standby");
  });

  test("a server that comes back without its store: the coordinator refuses to begin anew", async () => {
    await start(1, 1);
    await farm.ended((await farm.submit()).jobId);
    await farm.coordinators[0]!.process.stop();
    await farm.server.kill();
    await rm(farm.server.storeDir, { recursive: true });
    await farm.server.run();
    await expect(farm.startCoordinator()).rejects.toThrow(
      /\[wrong-state\] the stream RF_JOURNAL_test is missing, but the blob store knows/,
    );
  });

  test("a full stream: new jobs are refused, those that run wait, and all goes on with room", async () => {
    await start(1, 2);
    const job = await midDenoise();
    const admin = await farm.server.connectAdmin();
    const manager = await admin.jetstreamManager();
    const { state } = await manager.streams.info("RF_JOURNAL_test");
    const limit = (max_bytes: number) => manager.streams.update("RF_JOURNAL_test", { max_bytes });
    await limit(state.bytes + 1);
    const { client } = farm.coordinators[0]!;
    await vi.waitFor(
      () => expect(farm.logOf(farm.coordinators[0]!)).toContain("appends wait"),
      PATIENCE,
    );
    await expect(client.createJob(farm.request())).rejects.toThrow(/\[exhausted\] .* is full/);
    await limit(1_000_000_000);
    await admin.close();
    await wentWell(job);
    await wentWell(await farm.submit());
  });

  test("a standby takes over from a leader that is killed", async () => {
    await start(2, 2);
    const job = await midDenoise();
    farm.coordinators[0]!.process.kill();
    await wentWell(job);
    await farm.nodesJoined(2, farm.coordinators[1]!);
    // The one that was killed stands by now.
    expect(await (await farm.startCoordinator(0)).said).toBe("standby");
  });

  test("a leader that stops in order hands over at once", async () => {
    await start(2, 1);
    const job = await midDenoise();
    await farm.coordinators[0]!.process.stop();
    await wentWell(job);
  });

  test("a leader that is cut off from the server leaves its nodes to the standby", async () => {
    await start(2, 2);
    const job = await midDenoise();
    const [cut, next] = farm.coordinators;
    cut!.broker.setBoth({ kind: "timeout" });
    await leadsNoLonger(0);
    await farm.nodesJoined(2, next!);
    cut!.broker.heal();
    await wentWell(job);
    await vi.waitFor(() => expect(farm.logOf(cut!)).toContain("waiting as a standby"), PATIENCE);
  });

  test("a node that is cut off from the server leaves the clip to its partner", async () => {
    await start(1, 2);
    const job = await midDenoise();
    farm.nodes[0]!.broker.setBoth({ kind: "timeout" });
    await wentWell(job);
    farm.nodes[0]!.broker.heal();
    await wentWell(await farm.submit());
  });
});
