/**
 * @file Three NATS servers keep the journal together: any of them may die in the midst of a clip, the
 * leader of the stream too.
 */
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { CLIP, type FileHashes, isMidDenoise, undisturbed } from "../farm/farm-harness.js";
import { folderStore, publishedOnce } from "../farm/published.js";
import { natsServerPath, TestNatsServer } from "../servers/nats-server.js";
import { NatsFarm } from "./nats-farm.js";

const STREAM = "RF_JOURNAL_test";
/** Of starting three servers, two coordinators and two nodes. */
const START_MS_MAX = 120_000;
const TEST_MS_MAX = 240_000;
/** An election, or what a server that was down has missed. */
const PATIENCE = { timeout: 60_000, interval: 200 };

describe.runIf(natsServerPath)("a farm on three NATS servers", () => {
  let farm: NatsFarm;
  let expected: FileHashes;
  beforeAll(async () => {
    expected = (await undisturbed(CLIP))[0]!;
  }, 60_000);
  beforeEach(async () => {
    farm = await NatsFarm.start(1, { servers: await TestNatsServer.startCluster() });
    farm.explainFailure();
    await farm.startCoordinator(0);
    await Promise.all(["node-1", "node-2"].map((nodeId) => farm.startNode(nodeId)));
    await farm.nodesJoined(2, farm.coordinators[0]!);
  }, START_MS_MAX);
  afterEach(() => farm.stop());

  /** The stream as one of the servers that live tells of it. */
  async function streamSeenBy(server: TestNatsServer) {
    const admin = await server.connectAdmin();
    try {
      const { config, cluster, state } = await (await admin.jetstreamManager()).streams.info(
        STREAM,
      );
      const leader = farm.servers.find((_, i) => cluster?.leader === `test-${i + 1}`);
      const isCurrent = cluster?.replicas?.every(({ current }) => current) ?? false;
      return { copies: config.num_replicas, leader, isCurrent, messages: state.messages };
    } finally {
      await admin.close();
    }
  }

  async function wentWell(jobId: string): Promise<void> {
    const job = await farm.ended(jobId);
    expect(await publishedOnce(await folderStore(join(farm.folder, "blobs")), job)).toEqual(
      expected,
    );
  }

  test.each(["the leader of the stream", "another server"])(
    "%s dies in the midst of a clip: nothing is lost, the bytes are the same",
    async (which) => {
      const { leader, copies } = await streamSeenBy(farm.server);
      expect(copies).toBe(3);
      const isVictim = (server: TestNatsServer) =>
        (server === leader) === (which === "the leader of the stream");
      const victim = farm.servers.find(isVictim)!;
      const survivor = farm.servers.find((server) => server !== victim)!;
      const before = await farm.submit();
      await farm.until(before.jobId, isMidDenoise);

      await victim.kill();
      const meanwhile = await farm.submit();
      await wentWell(before.jobId);
      await wentWell(meanwhile.jobId);

      await victim.run();
      const caughtUp = async () => expect((await streamSeenBy(survivor)).isCurrent).toBe(true);
      await vi.waitFor(caughtUp, PATIENCE);
      await wentWell((await farm.submit()).jobId);
      const { jobs } = await farm.insist((client) => client.listJobs({ size: 10 }));
      expect(jobs).toHaveLength(3);
    },
    TEST_MS_MAX,
  );
});
